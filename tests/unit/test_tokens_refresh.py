"""Refresh families: rotation at each use, a grace for retries, replay ends the family, hard ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pytest

from tests.support.tokens import ADMIN, Room, admin, room
from tradewarden.access.principal import Kind, Principal
from tradewarden.errors import IntegrityError, PermissionDeniedError, TokenError
from tradewarden.storage.memory_tokens import MemoryTokenStore
from tradewarden.tokens.commands import IssueToken, RefreshToken, RevokeToken, TokenIssued
from tradewarden.tokens.minting import token_digest
from tradewarden.tokens.store import TokenChange, TokenState, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

DAY = 86_400
REPLAY = "refresh token reuse; its family and all access tokens of it are ended"


async def started(made: Room, ttl: int | None = None) -> TokenIssued:
    """Return the first pair of a family."""
    command = IssueToken("bot", ("read",), ttl_seconds=ttl, refresh=True)
    return await made.tokens.issue(admin("tokens:issue", "bot"), command, made.entry())


async def refresh(made: Room, pair: TokenIssued, principal: Principal | None = None) -> TokenIssued:
    """Exchange a pair's refresh token."""
    async with made.entry("tokens:refresh") as entry:
        command = RefreshToken(pair.refresh_token or "")
        return await made.tokens.refresh(command, entry, principal)


async def refusal(made: Room, pair: TokenIssued) -> str:
    """Return the reason why a refresh token is refused."""
    with pytest.raises(TokenError) as refused:
        await refresh(made, pair)
    return refused.value.reason


async def test_a_refresh_gives_a_new_pair_with_the_same_rights() -> None:
    """Both tokens are new, permissions and lifetime are those of the first."""
    made = await room()
    first = await started(made, ttl=600)
    made.clock.move(300)
    second = await refresh(made, first)
    assert second.token != first.token
    assert second.refresh_token != first.refresh_token
    assert (second.permissions, second.expires_in) == (("read",), 600)
    assert (await made.authenticate(second.token)).names == ("read",)
    assert (second.refresh_token or "").startswith("twr_")
    assert len(second.refresh_token or "") == 4 + 43


async def test_a_long_chain_works() -> None:
    """Each newest token is good, however many there were before."""
    made = await room()
    pair = await started(made)
    for _ in range(20):
        made.clock.move(3600)
        pair = await refresh(made, pair)
    await made.authenticate(pair.token)


async def test_a_replay_ends_the_family_and_its_access_tokens() -> None:
    """A used refresh token that comes back after the grace voids everything of its family, and is denied."""
    made = await room()
    other = await started(made)
    first = await started(made)
    second = await refresh(made, first)
    await made.authenticate(second.token)
    made.clock.move(11)
    assert await refusal(made, first) == REPLAY
    for pair in (first, second):
        with pytest.raises(TokenError) as refused:
            await made.authenticate(pair.token)
        assert refused.value.reason == "token family is ended"
        assert await refusal(made, pair) == "token family is ended"
    await made.authenticate(other.token)
    await refresh(made, other)


async def test_a_replay_is_recorded_as_denied_with_the_family_it_ended() -> None:
    """The end of the family and its entry are one transaction; the denial goes to the journal too."""
    made = await room()
    first = await started(made)
    await refresh(made, first)
    made.clock.move(11)
    before = len(made.database.inbox)
    await refusal(made, first)
    (line,) = made.database.inbox[before:]
    for event in map(msgspec.json.decode, (line, made.journal.events[-1])):
        assert event["result"] == "denied"
        assert event["reason"] == REPLAY
        assert event["resource"] == "bot"
    assert len(msgspec.json.decode(line)["rows"]) == 1


async def test_a_retry_within_the_grace_gets_another_successor() -> None:
    """An answer that was lost can be asked for again; the successor nobody saw is void then."""
    made = await room()
    first = await started(made)
    lost = await refresh(made, first)
    made.clock.move(10)
    again = await refresh(made, first)
    assert again.refresh_token != lost.refresh_token
    third = await refresh(made, again)
    await made.authenticate(third.token)


async def test_a_retry_of_an_exchange_that_waited_long_ends_no_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """The grace begins when the exchange counts: who was told to try again while it waited for the disk is no thief."""
    made = await room()
    first = await started(made)
    change = made.store.change

    async def late(*arguments: Any) -> Any:  # noqa: ANN401
        made.clock.move(36)
        return await change(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(made.store, "change", late)
        await refresh(made, first)
    await made.authenticate((await refresh(made, first)).token)


async def test_the_successor_that_a_retry_voided_ends_the_family() -> None:
    """When both successors turn up there are two holders, and nobody knows which one is the thief."""
    made = await room()
    first = await started(made)
    stolen = await refresh(made, first)
    kept = await refresh(made, first)
    assert await refusal(made, stolen) == REPLAY
    assert await refusal(made, kept) == "token family is ended"


async def test_the_grace_does_not_slide_and_does_not_outlive_the_successors_use() -> None:
    """Retries never move the grace, and there is none once the successor was used."""
    made = await room()
    first = await started(made)
    await refresh(made, first)
    made.clock.move(6)
    await refresh(made, first)
    made.clock.move(6)
    assert await refusal(made, first) == REPLAY
    second = await started(made)
    await refresh(made, await refresh(made, second))
    assert await refusal(made, second) == REPLAY


async def test_an_absolute_end_that_rotation_cannot_move() -> None:
    """However active it is, a family ends after its days, and no access token outlives it."""
    made = await room()
    pair = await started(made)
    for _ in range(29):
        made.clock.move(DAY)
        pair = await refresh(made, pair)
    made.clock.move(DAY - 10)
    pair = await refresh(made, pair)
    assert pair.expires_in == 10
    made.clock.move(10)
    assert await refusal(made, pair) == "token family reached its absolute expiry"


async def test_an_idle_end() -> None:
    """A refresh token that nobody used for a week is void."""
    made = await room()
    pair = await started(made)
    made.clock.move(7 * DAY - 1)
    pair = await refresh(made, pair)
    made.clock.move(7 * DAY)
    assert await refusal(made, pair) == "refresh token was idle for too long"


@pytest.mark.parametrize("principal", [ADMIN, Principal(Kind.SERVICE, "other"), Principal(Kind.USER, "bot")])
async def test_another_principal_cannot_use_it(principal: Principal) -> None:
    """Who is proven to be somebody else is denied, and the token stays good for its holder."""
    made = await room()
    pair = await started(made)
    with pytest.raises(PermissionDeniedError):
        await refresh(made, pair, principal)
    await refresh(made, pair, Principal(Kind.SERVICE, "bot"))


async def test_a_narrowed_registration_narrows_what_is_renewed() -> None:
    """A renewed token gets no more than its service is registered for now."""
    made = await room()
    made.register.add("bot", "read", "write")
    command = IssueToken("bot", refresh=True)
    pair = await made.tokens.issue(admin("tokens:issue", "bot"), command, made.entry())
    made.register.add("bot", "write")
    assert (await refresh(made, pair)).permissions == ("write",)
    made.register.add("bot", "write", incarnation="2")
    reason = "the registration it was issued under does not stand any more"
    assert await refusal(made, pair) == reason


@pytest.mark.parametrize("named", ["refresh", "access", "jti", "service"])
async def test_a_revoked_family_renews_nothing(named: str) -> None:
    """Whatever of it was revoked, nothing of a family works any more."""
    made = await room()
    first = await started(made)
    second = await refresh(made, first)
    found = await made.authenticate(second.token)
    command = {
        "refresh": RevokeToken(token=second.refresh_token),
        "access": RevokeToken(token=second.token),
        "jti": RevokeToken(jti=found.jti),
        "service": RevokeToken(service_name="bot"),
    }[named]
    answer = await made.tokens.revoke(admin("tokens:revoke"), command, made.entry())
    assert answer.revoked
    assert answer.service_name == "bot"
    for pair in (first, second):
        with pytest.raises(TokenError):
            await made.authenticate(pair.token)
        await refusal(made, pair)


async def test_a_forged_row_renews_nothing() -> None:
    """A used refresh token cannot be made fresh in the database."""
    made = await room()
    first = await started(made)
    await refresh(made, first)
    made.clock.move(11)
    assert isinstance(made.store, MemoryTokenStore)
    digest = token_digest(first.refresh_token or "")
    row = made.store._refreshes[digest]
    made.store._refreshes[digest] = msgspec.structs.replace(row, used_at=0)
    with pytest.raises(IntegrityError):
        await refresh(made, first)


async def test_the_row_that_is_exchanged_is_the_one_that_was_checked() -> None:
    """A row that is changed between the first look and the transaction is refused there."""

    class Changing(MemoryTokenStore):
        async def change(self, wanted: Wanted, decide: Callable[[TokenState], TokenChange[T]]) -> T:
            for digest, row in self._refreshes.items():
                self._refreshes[digest] = msgspec.structs.replace(row, issued_at=row.issued_at + 1)
            return await super().change(wanted, decide)

    made = await room()
    pair = await started(made)
    assert isinstance(made.store, MemoryTokenStore)
    store = Changing(made.database)
    vars(store).update(vars(made.store))
    made.tokens._parts.store = store
    with pytest.raises(IntegrityError):
        await refresh(made, pair)

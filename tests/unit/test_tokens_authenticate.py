"""A token is accepted because it stands in the register, and only while it does (decision 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.tokens import SHARED_SECRET, START, Room, admin, room
from tradewarden.errors import StorageUnavailableError, TokenError
from tradewarden.storage.memory_tokens import MemoryTokenStore
from tradewarden.tokens import minting
from tradewarden.tokens.admission import CACHE_SIZE
from tradewarden.tokens.cache import Accepted, AcceptedTokens
from tradewarden.tokens.commands import IssueToken, TokenValid
from tradewarden.tokens.minting import Term, token_digest
from tradewarden.tokens.policy import TokenKind, TokenPolicy
from tradewarden.tokens.store import TokenRow, TokenState, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.tokens.authenticated import Authenticated

ALGORITHMS = ["HS256", "ES256", "EdDSA"]


async def issued(made: Room, *permissions: str) -> str:
    """Return a fresh token for `bot`."""
    command = IssueToken("bot", permissions or ("read",))
    return (await made.tokens.issue(admin("tokens:issue", "bot"), command, made.entry())).token


async def refusal(made: Room, token: str) -> str:
    """Return the reason why a token is refused."""
    with pytest.raises(TokenError) as refused:
        await made.authenticate(token)
    assert str(refused.value) == "JWT validation failed"
    return refused.value.reason


def stored(made: Room, token: str) -> TokenRow:
    """Return the token's row."""
    assert isinstance(made.store, MemoryTokenStore)
    return made.store._tokens[token_digest(token)]


def tamper(made: Room, token: str, **columns: object) -> None:
    """Change a row as somebody can who has the database and no key."""
    assert isinstance(made.store, MemoryTokenStore)
    changed = msgspec.structs.replace(stored(made, token), **columns)
    made.store._tokens[changed.digest] = changed


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_an_issued_token_is_accepted(algorithm: str) -> None:
    """What was issued proves its service and what it was given, by each algorithm."""
    made = await room(TokenPolicy(algorithm=algorithm, unregistered_ceiling=("read", "write")))
    token = await issued(made, "read", "write")
    found = await made.authenticate(token)
    assert str(found.principal) == "service:bot"
    assert found.names == ("read", "write")
    assert found.permissions.allows("secrets:read", "any/path")
    assert found.permissions.allows("tokens:revoke", "bot")
    assert not found.permissions.allows("tokens:revoke", "other")
    assert (
        await made.tokens.validate(token, await made.revisions())
        == found.answer
        == TokenValid(
            valid=True,
            service_name="bot",
            permissions=("read", "write"),
            expires_at="2027-01-16T08:00:00.000000Z",
        )
    )


async def test_the_second_look_is_answered_from_the_cache() -> None:
    """The same token at the same revisions is neither verified nor looked up again."""
    made = await room()
    token = await issued(made)
    assert await made.authenticate(token) is await made.authenticate(token)


async def test_a_moved_revision_looks_again() -> None:
    """An acceptance holds at the revisions it was made at, not at later ones."""
    made = await room()
    token = await issued(made)
    first = await made.authenticate(token)
    for kind in ("tokens", "services"):
        made.database.bump(kind)
        assert await made.authenticate(token) is not first


async def test_an_acceptance_carries_the_revision_read_before_it() -> None:
    """What was decided while a revocation came in is decided again on the next request (decision 21)."""
    made = await room()
    token = await issued(made)
    before = await made.revisions()
    made.database.bump("tokens")
    first = await made.tokens.authenticate(token, before)
    assert await made.authenticate(token) is not first


async def test_a_token_ends_when_it_says() -> None:
    """An expiry holds to the second, cached or not."""
    made = await room()
    token = await issued(made)
    made.clock.move(86_399.9)
    await made.authenticate(token)
    made.clock.move(0.1)
    assert await refusal(made, token) == "token is expired"


async def test_a_clock_that_is_behind_accepts_within_the_leeway() -> None:
    """Another replica's clock may be half a minute ahead of ours, and no more."""
    made = await room()
    token = await issued(made)
    made.clock.time = START - 30
    await made.authenticate(token)
    other = await issued(made)
    made.clock.time = START - 61
    assert await refusal(made, other) == "token is not valid yet"


async def test_a_signature_is_not_enough() -> None:
    """Who knows the shared secret can sign anything, and is nobody here: the register says what was issued."""
    made = await room(secret=SHARED_SECRET)
    await issued(made)
    signer = (await made.tokens._parts.ring()).signer(TokenKind.ACCESS)
    forged = minting.access_token(signer, made.policy, "a" * 32, "bot", ("admin",), Term(int(START), int(START) + 60))
    assert await refusal(made, forged) == "token is not in the register of issued tokens"


async def test_rights_come_from_the_register_and_not_from_the_claims() -> None:
    """A registration that was narrowed narrows its tokens at once, whatever they say."""
    made = await room()
    made.register.add("bot", "read", "write")
    token = await issued(made, "read", "write")
    assert (await made.authenticate(token)).names == ("read", "write")
    made.register.add("bot", "read")
    made.database.bump("services")
    assert (await made.authenticate(token)).names == ("read",)


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made.register.services.pop("bot"),
        lambda made: made.register.add("bot", "read", incarnation="2"),
    ],
    ids=["gone", "registered anew"],
)
async def test_no_token_outlives_its_registration(change: Callable[[Room], object]) -> None:
    """A token of a service that is gone, or registered anew, is refused."""
    made = await room()
    made.register.add("bot", "read")
    token = await issued(made)
    await made.authenticate(token)
    change(made)
    made.database.bump("services")
    reason = "the registration it was issued under does not stand any more"
    assert await refusal(made, token) == reason


async def test_a_name_that_becomes_registered_leaves_its_old_tokens_behind() -> None:
    """What an unregistered name was given is void once the name belongs to somebody."""
    made = await room()
    token = await issued(made)
    made.register.add("bot", "admin")
    made.database.bump("services")
    assert "registration" in await refusal(made, token)


@pytest.mark.parametrize(
    "columns",
    [
        {"permissions": '["admin"]'},
        {"subject": "service:other"},
        {"expires_at": 2**40},
        {"generation": 1},
        {"seal": b""},
        {"seal": b"\0\0\0\1" + bytes(32)},
        {"digest": bytes(32)},
    ],
    ids=str,
)
async def test_a_row_that_was_written_past_us_is_refused(columns: dict[str, object]) -> None:
    """Who can only write to the database can neither forge a row nor change one."""
    made = await room()
    token = await issued(made)
    assert isinstance(made.store, MemoryTokenStore)
    changed = msgspec.structs.replace(stored(made, token), **columns)
    made.store._tokens[token_digest(token)] = changed
    assert await refusal(made, token) == "seal of a tokens row does not match"


async def test_a_row_moved_to_another_token_is_refused() -> None:
    """A good row under another token's digest is caught by its seal."""
    made = await room()
    mine, theirs = await issued(made, "read"), await issued(made, "read", "write")
    tamper(made, mine)
    moved = msgspec.structs.replace(stored(made, theirs), digest=token_digest(mine))
    assert isinstance(made.store, MemoryTokenStore)
    made.store._tokens[token_digest(mine)] = moved
    assert "seal" in await refusal(made, mine)


async def test_a_database_that_is_away_is_not_a_bad_token() -> None:
    """A failed look is an error of its own, never an acceptance and never a 401."""

    class Broken(MemoryTokenStore):
        async def read(self, wanted: Wanted) -> TokenState:
            raise StorageUnavailableError("away")

    made = await room()
    token = await issued(made)
    made.tokens._parts.store = Broken(made.database)
    with pytest.raises(StorageUnavailableError):
        await made.authenticate(token)


def test_the_cache_is_bounded_and_keeps_what_is_used() -> None:
    """However many tokens come by, two generations are kept, and the one in use is among them."""
    cache = AcceptedTokens(100)
    acceptance = Accepted(1, 1, _nobody())
    used = b"used"
    cache.put(used, acceptance)
    for number in range(10_000):
        cache.put(number.to_bytes(4, "big"), acceptance)
        assert (cache.get(used) or cache.older(used)) is acceptance
    assert len(cache._young) + len(cache._old) <= 200
    assert CACHE_SIZE <= 10_000
    cache.forget(used)
    assert cache.get(used) is None
    assert cache.older(used) is None


def _nobody() -> Authenticated:
    return msgspec.json.decode(b"null")  # type: ignore[no-any-return]

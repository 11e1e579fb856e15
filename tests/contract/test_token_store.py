"""What every `TokenStore` does, in memory and in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.storage import ADAPTERS, Opened, inbox, kept_in, sqlite_database
from tests.support.storage import Kept as KeptStore
from tests.support.tokens import Room, admin, room_over
from tradewarden.errors import TokenError
from tradewarden.storage.memory_tokens import MemoryTokenStore
from tradewarden.storage.sql_tokens import SqlTokenStore
from tradewarden.storage.sqlite import SqliteDatabase
from tradewarden.tokens.commands import IssueToken, RefreshToken, RevokeToken
from tradewarden.tokens.policy import TokenPolicy
from tradewarden.tokens.store import (
    FamilyRow,
    RefreshRow,
    Row,
    SigningKeyRow,
    SubjectRow,
    TokenChange,
    TokenRow,
    TokenState,
    TokenStore,
    Wanted,
)
from tradewarden.tokens.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Kept(KeptStore[TokenStore]):
    """A store, the entries that its database kept, and its revisions."""

    async def put(self, *rows: Row, entry: bytes = b"entry", bump: tuple[str, ...] = ()) -> None:
        """Write rows in one change."""
        await self.store.change(Wanted(), lambda _: TokenChange(None, entry, rows, bump))


@pytest.fixture(params=ADAPTERS)
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    """Give each store in turn."""
    stores: Opened[TokenStore] = kept_in(request.param, tmp_path, MemoryTokenStore, SqlTokenStore)
    async with stores as found:
        yield Kept(found.store, found.entries, found.revisions)


def token(number: int, subject: str = "service:bot", **columns: object) -> TokenRow:
    """Return a token's row."""
    row = TokenRow(
        digest=bytes([number]) * 32,
        jti=f"{number:032x}",
        kind="access",
        subject=subject,
        permissions='["read"]',
        issued_at=100,
        expires_at=200,
        kid="k1",
        incarnation="",
        generation=0,
        family="",
        issued_by="user:admin",
        confirmation="",
        revoked_at=0,
        seal=b"seal",
    )
    return msgspec.structs.replace(row, **columns)


def family(name: str = "f", ends: int = 300, ended_at: int = 0) -> FamilyRow:
    """Return a family's row."""
    return FamilyRow(name, "service:bot", "[]", "", 0, 60, 100, ends, b"c", "a", ended_at, seal=b"s")


def refresh(number: int, line: str = "f") -> RefreshRow:
    """Return a refresh token's row."""
    return RefreshRow(bytes([number]) * 32, line, 100, 0, b"", b"s")


def key(kid: str, version: int = 1, retired_at: int = 0) -> SigningKeyRow:
    """Return a signing key's row."""
    return SigningKeyRow(kid, "access", version, "HS256", "generated", 1, retired_at, b"x", b"s")


async def test_nothing_is_where_nothing_was_written(kept: Kept) -> None:
    """Looking for what is not there gives an empty state."""
    wanted = Wanted(token=b"t", jti="j", refresh=b"r", subject="s", keys=True)
    assert await kept.store.read(wanted) == TokenState()
    assert await kept.store.read(Wanted()) == TokenState()
    assert await kept.store.page("", "", 10) == []
    assert await kept.store.count_active(0) == 0


async def test_rows_come_back_as_they_were_written(kept: Kept) -> None:
    """Every column keeps value and type, or seals could not be checked."""
    rows = token(1, family="f"), SubjectRow("service:bot", 3, b"s"), family(), refresh(2), key("k")
    await kept.put(*rows)
    wanted = Wanted(token=bytes([1]) * 32, refresh=bytes([2]) * 32, keys=True)
    state = await kept.store.read(wanted)
    assert state == TokenState(rows[0], rows[3], rows[2], rows[1], (rows[4],))


async def test_a_row_that_is_put_again_replaces_the_one_before(kept: Kept) -> None:
    """Putting is by key."""
    await kept.put(token(1), SubjectRow("service:bot", 1, b"s"), family(), refresh(1), key("k"))
    after = token(1, revoked_at=7), SubjectRow("service:bot", 2, b"t"), family(ended_at=9)
    await kept.put(*after, key("k", retired_at=4))
    state = await kept.store.read(Wanted(token=bytes([1]) * 32, refresh=bytes([1]) * 32, keys=True))
    assert (state.token, state.subject) == after[:2]
    assert state.keys == (key("k", retired_at=4),)
    assert (await kept.store.read(Wanted(refresh=bytes([1]) * 32))).family == after[2]


async def test_what_belongs_to_a_found_row_comes_with_it(kept: Kept) -> None:
    """The family of a token or refresh token, and the subject of either, come along; nothing else does."""
    subject = SubjectRow("service:bot", 1, b"s")
    await kept.put(token(1, family="f"), token(2), family(), refresh(3), subject, key("k"))
    for wanted in (Wanted(token=bytes([1]) * 32), Wanted(jti=f"{1:032x}")):
        state = await kept.store.read(wanted)
        assert state == TokenState(token(1, family="f"), None, family(), subject)
    assert await kept.store.read(Wanted(token=bytes([2]) * 32)) == TokenState(token(2), None, None, subject)
    assert await kept.store.read(Wanted(refresh=bytes([3]) * 32)) == TokenState(None, refresh(3), family(), subject)
    assert await kept.store.read(Wanted(subject="service:bot")) == TokenState(subject=subject)


async def test_a_change_writes_all_or_nothing(kept: Kept) -> None:
    """Rows, entry and revisions stand or fall together; without an entry nothing is written."""
    before = await kept.revisions()

    def fail(_: TokenState) -> TokenChange[None]:
        raise TokenError("no")

    with pytest.raises(TokenError):
        await kept.store.change(Wanted(), fail)
    answer = await kept.store.change(Wanted(), lambda _: TokenChange("quiet", rows=(token(1),)))
    assert answer == "quiet"
    assert await kept.entries() == []
    assert await kept.store.page("", "", 10) == []
    assert await kept.revisions() == before
    await kept.put(token(1), entry=b"one", bump=("tokens", "keys"))
    assert await kept.entries() == [b"one"]
    after = await kept.revisions()
    assert (after.tokens, after.keys) == (before.tokens + 1, before.keys + 1)
    assert after.services == before.services


async def test_a_decision_sees_what_the_one_before_wrote(kept: Kept) -> None:
    """Changes are decided one after the other."""
    await kept.put(SubjectRow("s", 1, b"s"))

    def look(state: TokenState) -> TokenChange[SubjectRow | None]:
        return TokenChange(state.subject)

    assert await kept.store.change(Wanted(subject="s"), look) == SubjectRow("s", 1, b"s")


async def test_pages_follow_one_another(kept: Kept) -> None:
    """Tokens come in the order of their `jti`, of one subject or of all."""
    await kept.put(*(token(n, "service:a" if n % 2 else "service:b") for n in (5, 3, 4, 1, 2)))
    first = await kept.store.page("", "", 2)
    assert first == [token(1, "service:a"), token(2, "service:b")]
    assert await kept.store.page("", first[-1].jti, 2) == [token(3, "service:a"), token(4, "service:b")]
    assert await kept.store.page("service:a", first[0].jti, 9) == [
        token(3, "service:a"),
        token(5, "service:a"),
    ]


async def test_only_what_would_be_accepted_is_counted(kept: Kept) -> None:
    """Each way to end takes a token out of the count."""
    await kept.put(
        token(1),
        token(2, revoked_at=5),
        token(3, expires_at=150),
        token(4, generation=1),
        token(5, family="ended"),
        token(6, family="missing"),
        token(7, family="f"),
        token(8, "service:other", generation=2),
        SubjectRow("service:other", 2, b"s"),
        family("ended", ended_at=1),
        family(),
    )
    assert await kept.store.count_active(150) == 3
    assert await kept.store.count_active(149) == 4
    assert await kept.store.count_active(200) == 0


async def test_the_sweep_takes_what_ended_before_and_no_more(kept: Kept) -> None:
    """Each table loses what ended before the time given, up to the limit."""
    await kept.put(*(token(n, expires_at=100 + n) for n in range(1, 6)))
    await kept.put(family("old", 104), refresh(1, "old"), refresh(2, "old"), family("new", 105), refresh(3, "new"))
    assert await kept.store.sweep(105, 1) == 2
    assert await kept.store.sweep(105, 1) == 3
    assert await kept.store.sweep(105, 100) == 2
    assert await kept.store.sweep(105, 100) == 0
    assert await kept.store.page("", "", 10) == [token(5, expires_at=105)]
    assert (await kept.store.read(Wanted(refresh=bytes([3]) * 32))).family == family("new", 105)
    assert (await kept.store.read(Wanted(refresh=bytes([1]) * 32))) == TokenState()


async def test_the_sweep_drops_a_retired_key_that_no_token_names(kept: Kept) -> None:
    """A key that signs, or is named by a row, or retired just now stays; dropping one moves `keys`."""
    await kept.put(token(1, kid="named"))
    await kept.put(key("signs"), key("named", 2, 10), key("gone", 3, 10), key("fresh", 4, 50))
    before = await kept.revisions()
    assert await kept.store.sweep(50, 10) == 1
    kids = {row.kid for row in (await kept.store.read(Wanted(keys=True))).keys}
    assert kids == {"signs", "named", "fresh"}
    assert (await kept.revisions()).keys == before.keys + 1
    await kept.store.sweep(50, 10)
    assert (await kept.revisions()).keys == before.keys + 1


async def opened(kept: Kept) -> Room:
    """Return a tokens room over the store."""
    policy = TokenPolicy(unregistered_ceiling=("read", "write"))
    made = await room_over(kept.store, kept.revisions, policy)
    await made.tokens.open(None, made.entry())
    return made


async def test_the_room_works_over_it(kept: Kept) -> None:
    """Issue, accept, refresh, list and revoke, through the store."""
    made = await opened(kept)
    command = IssueToken("bot", ("read",), refresh=True)
    pair = await made.tokens.issue(admin("tokens:issue", "bot"), command, made.entry())
    await made.authenticate(pair.token)
    after = await made.tokens.refresh(RefreshToken(pair.refresh_token or ""), made.entry())
    await made.authenticate(after.token)
    assert len((await made.tokens.list(admin("tokens:read"))).tokens) == 2
    assert await made.tokens.counts() == 2
    revoke = RevokeToken(token=after.token)
    await made.tokens.revoke(admin("tokens:revoke"), revoke, made.entry())
    for token_ in (pair.token, after.token):
        with pytest.raises(TokenError):
            await made.authenticate(token_)
    assert len(await kept.entries()) == 4


async def test_a_revocation_holds_in_every_process(tmp_path: Path) -> None:
    """What one process ends is refused by the very next request in another that had it cached."""
    async with sqlite_database(tmp_path) as first:
        second = SqliteDatabase(first.path)
        made = await opened(Kept(SqlTokenStore(first), lambda: inbox(first), first.revisions))
        parts = made.tokens._parts
        store = SqlTokenStore(second)
        other = Tokens(
            store,
            made.keys,
            made.register,
            made.policy,
            made.clock,
            parts.randomness,
            second.revisions,
            made.tokens._revoked,
        )
        grant = admin("tokens:issue", "bot")
        single = await other.issue(grant, IssueToken("bot"), made.entry())
        all_of_it = await made.tokens.issue(grant, IssueToken("bot"), made.entry())
        for issued, command in (
            (single, RevokeToken(token=single.token)),
            (all_of_it, RevokeToken(service_name="bot")),
        ):
            for _ in range(2):
                await other.authenticate(issued.token, await second.revisions())
            await made.tokens.revoke(admin("tokens:revoke"), command, made.entry())
            with pytest.raises(TokenError):
                await other.authenticate(issued.token, await second.revisions())
        await second.close()

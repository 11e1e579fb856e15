"""The admin token (decision 5): in a private file, stored hashed, void after a day or an enrolment."""

from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.identity import identity_room
from tests.support.tokens import ADMIN
from tradewarden.errors import AuthenticationError, IntegrityError, NotFoundError
from tradewarden.storage.memory_identity import MemoryServiceStore

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.identity.admin import AdminToken
    from tradewarden.identity.store import AdminTokenRow
    from tradewarden.storage.database import Revisions

DAY = 86_400


def read(token: AdminToken) -> str:
    """Return what lies in the file."""
    return token.path.read_text().strip()


async def current(token: AdminToken) -> Revisions:
    """Return the revisions that a call would read now."""
    store = token._store
    assert isinstance(store, MemoryServiceStore)
    return await store._database.revisions()


async def is_good(token: AdminToken, text: str) -> bool:
    """Tell whether a text gets in."""
    try:
        principal, permissions = await token.authenticate(text, await current(token))
    except AuthenticationError as error:
        return str(error) != "Authentication failed"
    return (principal, permissions.names) == (ADMIN, ("admin",))


async def test_the_first_start_writes_a_private_file(tmp_path: Path) -> None:
    """The token lies in `admin.token`, 0600, gets in with all permissions, and is recorded without its text."""
    made = await identity_room()
    token = made.admin_token(tmp_path)
    async with made.entry() as entry:
        assert await token.ensure(entry)
    text = read(token)
    assert token.path == tmp_path / "admin.token"
    assert stat.S_IMODE(token.path.stat().st_mode) == 0o600
    assert text.startswith("twa_")
    assert len(text) == 4 + 43
    assert await is_good(token, text)
    (line,) = made.database.inbox
    assert text.encode() not in line
    assert text not in repr(await made.store.read_admin_token())


async def test_the_next_start_leaves_it_alone(tmp_path: Path) -> None:
    """A token that is good, or that ended, is not made anew by a start; only the command does that."""
    made = await identity_room()
    token = made.admin_token(tmp_path)
    await token.ensure(made.entry())
    text = read(token)
    assert not await token.ensure(made.entry())
    made.clock.move(DAY)
    assert not await token.ensure(made.entry())
    token.path.unlink()
    assert not await token.ensure(made.entry())
    assert not await is_good(token, text)


async def test_a_start_that_was_cut_off_is_made_good(tmp_path: Path) -> None:
    """When the row stands and nobody has seen the file, the next start makes another token."""
    made = await identity_room()
    token = made.admin_token(tmp_path)
    await token.ensure(made.entry())
    text = read(token)
    token.path.unlink()
    assert await token.ensure(made.entry())
    assert await is_good(token, read(token))
    assert not await is_good(token, text)


async def test_processes_that_start_together_make_one(tmp_path: Path) -> None:
    """Whoever comes second finds the first one's token, and the file holds the good one."""
    made = await identity_room()
    assert isinstance(made.store, MemoryServiceStore)
    tokens = [made.admin_token(tmp_path) for _ in range(4)]
    results = await asyncio.gather(*(token.ensure(made.entry()) for token in tokens))
    assert sorted(results) == [False, False, False, True]
    assert await is_good(tokens[0], read(tokens[0]))


@pytest.mark.parametrize("text", ["", "twa_", "twa_" + "A" * 43, "é", "\ud800", "x" * 100_000])
async def test_another_text_does_not_get_in(text: str, tmp_path: Path) -> None:
    """Nothing but the token gets in, before the first was made and after."""
    made = await identity_room()
    token = made.admin_token(tmp_path)
    assert not await is_good(token, text)
    await token.ensure(made.entry())
    assert not await is_good(token, text)


async def test_it_is_void_after_a_day(tmp_path: Path) -> None:
    """24 hours, to the second."""
    made = await identity_room()
    token = made.admin_token(tmp_path)
    await token.ensure(made.entry())
    made.clock.move(DAY - 0.5)
    assert await is_good(token, read(token))
    made.clock.move(0.5)
    assert not await is_good(token, read(token))


async def test_it_is_void_once_an_admin_is_enrolled(tmp_path: Path) -> None:
    """The first real admin ends it; the command on the host can still make another."""
    made = await identity_room()
    token = made.admin_token(tmp_path)
    with pytest.raises(NotFoundError):
        await token.enrolled(made.entry())
    await token.ensure(made.entry())
    text = read(token)
    await token.enrolled(made.entry())
    assert not await is_good(token, text)
    assert not await token.ensure(made.entry())
    await token.issue(made.entry())
    assert await is_good(token, read(token))


async def test_another_one_voids_the_one_before(tmp_path: Path) -> None:
    """`tradewarden admin token` replaces token and file, and is recorded."""
    made = await identity_room()
    token = made.admin_token(tmp_path)
    await token.ensure(made.entry())
    text = read(token)
    async with made.entry() as entry:
        assert await token.issue(entry) == token.path
    assert read(token) != text
    assert not await is_good(token, text)
    assert await is_good(token, read(token))
    assert len(made.database.inbox) == 2
    assert not made.journal.events


async def test_another_process_voids_it_for_the_very_next_call(tmp_path: Path) -> None:
    """What a process has accepted before ends there as soon as another makes a new token, or enrols an admin."""
    made = await identity_room()
    ours, theirs = made.admin_token(tmp_path), made.admin_token(tmp_path)
    await theirs.ensure(made.entry())
    first = read(ours)
    assert await is_good(ours, first)
    await theirs.issue(made.entry())
    assert not await is_good(ours, first)
    assert await is_good(ours, read(ours))
    await theirs.enrolled(made.entry())
    assert not await is_good(ours, read(ours))


async def test_a_token_made_after_a_refusal_is_good_at_once(tmp_path: Path) -> None:
    """That there was no token yet is not remembered beyond the making of the first."""
    made = await identity_room()
    ours, theirs = made.admin_token(tmp_path), made.admin_token(tmp_path)
    assert not await is_good(ours, "twa_" + "A" * 43)
    await theirs.ensure(made.entry())
    assert await is_good(ours, read(ours))


async def test_its_row_is_read_once_while_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Call after call is proven from the row that was checked, and its end still comes to the second."""
    made = await identity_room()
    token = made.admin_token(tmp_path)
    await token.ensure(made.entry())
    reads: list[object] = []
    real = made.store.read_admin_token

    async def counted() -> AdminTokenRow | None:
        reads.append(None)
        return await real()

    monkeypatch.setattr(made.store, "read_admin_token", counted)
    assert [await is_good(token, text) for text in (read(token), "twa_wrong", read(token))] == [True, False, True]
    made.clock.move(DAY)
    assert not await is_good(token, read(token))
    assert len(reads) == 1


async def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """Whatever a link at that name points to stays as it is."""
    made = await identity_room()
    target = tmp_path / "elsewhere"
    target.write_text("precious")
    token = made.admin_token(tmp_path)
    token.path.symlink_to(target)
    await token.issue(made.entry())
    assert target.read_text() == "precious"
    assert not token.path.is_symlink()
    assert await is_good(token, read(token))


async def test_a_row_that_was_written_past_us_is_refused(tmp_path: Path) -> None:
    """Its life cannot be made longer in the database."""
    made = await identity_room()
    token = made.admin_token(tmp_path)
    await token.ensure(made.entry())
    assert isinstance(made.store, MemoryServiceStore)
    row = made.store._admin_token
    assert row is not None
    made.store._admin_token = msgspec.structs.replace(row, expires_at=2**40)
    with pytest.raises(IntegrityError):
        await token.authenticate(read(token), await current(token))
    with pytest.raises(IntegrityError):
        await token.enrolled(made.entry())

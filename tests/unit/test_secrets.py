"""The secrets room over its in-memory store."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from tests.support.secrets import Room, may, room
from tradewarden.errors import (
    ConflictError,
    DecryptionError,
    IntegrityError,
    InvalidInputError,
    LimitExceededError,
    PermissionDeniedError,
    SecretNotFoundError,
)
from tradewarden.secrets.commands import (
    PickVersions,
    PutSecret,
    RollbackSecret,
    SetSecretMetadata,
)
from tradewarden.secrets.secrets import SecretLimits
from tradewarden.secrets.value import raw_object
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_secrets import MemorySecretStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tradewarden.access.grant import Grant


@pytest.fixture
def database() -> MemoryDatabase:
    """Give the database under the room."""
    return MemoryDatabase()


@pytest.fixture
async def here(database: MemoryDatabase) -> Room:
    """Give a room whose values are small and whose new paths keep three versions."""
    return await room(MemorySecretStore(database), SecretLimits(value_bytes=100, max_versions=3))


async def test_what_was_put_is_got(here: Room) -> None:
    """A value comes back whole, with its version and time, and ready to be sent."""
    written = await here.put("db/primary", {"user": "app", "n": 1})
    assert (written.path, written.version, written.created_at) == ("db/primary", 1, 1.8e9)
    read = await here.secrets.get(may("secrets:read", "db/primary"), "db/primary")
    assert bytes(read.data) == b'{"user":"app","n":1}'
    assert read.value() == {"user": "app", "n": 1}
    assert json.loads(msgspec.json.encode(read))["data"] == {"user": "app", "n": 1}


async def test_no_value_shows_in_a_repr(here: Room) -> None:
    """What is logged by accident holds no secret."""
    command = PutSecret("a", raw_object({"password": "hunter2"}))
    await here.secrets.put(may("secrets:write", "a"), command, here.entry())
    read = await here.secrets.get(may("secrets:read", "a"), "a")
    assert "hunter2" not in f"{command!r} {read!r} {command} {read}"


async def test_nothing_stored_or_recorded_shows_the_value(here: Room, database: MemoryDatabase) -> None:
    """Neither rows nor entries hold the value in clear."""
    await here.put("a", {"password": "hunter2"})
    found = await here.store.read("a", None)
    assert b"hunter2" not in repr(found).encode() + b"".join(database.inbox)


async def test_compare_and_set(here: Room) -> None:
    """0 asks for a path without versions, n for version n; a miss names both and writes nothing."""
    with pytest.raises(ConflictError, match="at version 0, not at version 1"):
        await here.put("a", {}, cas=1)
    await here.put("a", {}, cas=0)
    with pytest.raises(ConflictError, match="at version 1, not at version 0"):
        await here.put("a", {}, cas=0)
    assert (await here.put("a", {}, cas=1)).version == 2


async def test_only_one_of_many_wins_a_compare_and_set(here: Room) -> None:
    """Of writers that all read version 0, one writes version 1."""
    outcomes = await asyncio.gather(*[here.put("a", {"n": n}, cas=0) for n in range(20)], return_exceptions=True)
    assert sum(not isinstance(each, ConflictError) for each in outcomes) == 1


async def test_missing_deleted_and_destroyed_are_not_found(here: Room) -> None:
    """All read the same to the caller; the reason tells them apart for the log."""
    reasons = []

    async def miss(path: str, version: int | None = None) -> None:
        with pytest.raises(SecretNotFoundError) as missed:
            await here.value(path, version)
        assert str(missed.value) == f"Secret '{path}' not found"
        reasons.append(missed.value.reason)

    await miss("a")
    await here.put("a", {"n": 1})
    await miss("a", 2)
    pick = PickVersions("a", (1,))
    await here.secrets.delete(may("secrets:delete", "a"), PickVersions("a"), here.entry())
    await miss("a")
    await here.secrets.undelete(may("secrets:write", "a"), pick, here.entry())
    assert await here.value("a") == {"n": 1}
    await here.secrets.destroy(may("secrets:write", "a"), pick, here.entry())
    await miss("a")
    with pytest.raises(SecretNotFoundError):
        await here.secrets.undelete(may("secrets:write", "a"), pick, here.entry())
    assert reasons == [
        "no such path",
        "version 2 is not kept",
        "version 1 is deleted",
        "version 1 is destroyed",
    ]
    found = await here.store.read("a", 1)
    assert found is not None
    assert found[2] == b""
    assert (await here.put("a", {"n": 2})).version == 2


async def test_old_versions_go_when_too_many_are_kept(here: Room) -> None:
    """The newest three stay; fewer once that is asked for."""
    for n in range(1, 6):
        await here.put("a", {"n": n})
    assert [await here.value("a", n) for n in (3, 4, 5)] == [{"n": 3}, {"n": 4}, {"n": 5}]
    with pytest.raises(SecretNotFoundError):
        await here.value("a", 2)
    command = SetSecretMetadata("a", max_versions=1)
    await here.secrets.set_metadata(may("secrets:write", "a"), command, here.entry())
    with pytest.raises(SecretNotFoundError):
        await here.value("a", 4)
    metadata = await here.secrets.metadata(may("secrets:read", "a"), "a")
    assert (metadata.current_version, metadata.oldest_version) == (5, 5)
    assert [each.version for each in metadata.versions] == [5]


async def test_rollback_writes_the_old_value_anew(here: Room) -> None:
    """Rolling back adds a version and takes none away."""
    await here.put("a", {"n": 1})
    await here.put("a", {"n": 2})
    write = may("secrets:write", "a")
    written = await here.secrets.rollback(write, RollbackSecret("a", 1), here.entry())
    assert written.version == 3
    assert await here.value("a") == {"n": 1}
    with pytest.raises(ConflictError):
        await here.secrets.rollback(write, RollbackSecret("a", 1, cas=2), here.entry())
    await here.secrets.delete(may("secrets:delete", "a"), PickVersions("a", (2,)), here.entry())
    with pytest.raises(SecretNotFoundError):
        await here.secrets.rollback(write, RollbackSecret("a", 2), here.entry())


async def test_metadata_tells_all_but_values(here: Room) -> None:
    """Metadata names who and when, the user's own texts, what is deleted and destroyed."""
    custom = {"owner": "risk", "ticket": "7"}
    command = PutSecret("a", raw_object({}), custom=custom)
    await here.secrets.put(may("secrets:write", "a"), command, here.entry())
    here.clock.time += 5
    await here.put("a", {})
    await here.secrets.delete(may("secrets:delete", "a"), PickVersions("a", (1,)), here.entry())
    metadata = await here.secrets.metadata(may("secrets:read", "a"), "a")
    assert metadata.custom == custom
    assert metadata.updated_at - metadata.created_at == 5
    first, second = metadata.versions
    assert (first.deleted_at, first.destroyed) == (1.8e9 + 5, False)
    assert (second.created_by, second.deleted_at) == ("service:trading_bot", None)
    with pytest.raises(SecretNotFoundError):
        await here.secrets.metadata(may("secrets:read", "b"), "b")


LONG = {"k": "v" * 1025}


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (SetSecretMetadata("a", {str(n): "" for n in range(65)}), LimitExceededError),
        (SetSecretMetadata("a", LONG), LimitExceededError),
        (SetSecretMetadata("a", {"k" * 129: ""}), LimitExceededError),
        (SetSecretMetadata("a", {"k": "\ud800"}), InvalidInputError),
        (SetSecretMetadata("a", max_versions=0), InvalidInputError),
        (SetSecretMetadata("a", max_versions=1001), InvalidInputError),
        (SetSecretMetadata("b"), SecretNotFoundError),
    ],
)
async def test_metadata_has_limits(here: Room, command: SetSecretMetadata, error: type[Exception]) -> None:
    """Metadata that is too large, too much, or of nothing is refused."""
    await here.put("a", {})
    with pytest.raises(error):
        await here.secrets.set_metadata(may("secrets:write", command.path), command, here.entry())


@pytest.mark.parametrize("versions", [(), (0,), (-1,), (2**60,), tuple(range(1, 102))])
async def test_picked_versions_have_limits(here: Room, versions: tuple[int, ...]) -> None:
    """Between one and a hundred possible versions are destroyed at a time."""
    await here.put("a", {})
    with pytest.raises(InvalidInputError):
        await here.secrets.destroy(may("secrets:write", "a"), PickVersions("a", versions), here.entry())


@pytest.mark.parametrize("version", [0, -1, 10**30])
async def test_an_impossible_version_is_refused(here: Room, version: int) -> None:
    """A version that no database could hold is the caller's mistake."""
    with pytest.raises(InvalidInputError):
        await here.value("a", version)


async def test_a_value_above_the_limit_is_refused(here: Room) -> None:
    """The room's own limit holds."""
    with pytest.raises(LimitExceededError):
        await here.put("a", {"x": "y" * 100})


CALLS: list[tuple[str, Callable[[Room, Grant], Awaitable[object]]]] = [
    ("secrets:read", lambda r, g: r.secrets.get(g, "a")),
    ("secrets:read", lambda r, g: r.secrets.metadata(g, "a")),
    ("secrets:write", lambda r, g: r.secrets.put(g, PutSecret("a", raw_object({})), r.entry())),
    ("secrets:write", lambda r, g: r.secrets.rollback(g, RollbackSecret("a", 1), r.entry())),
    ("secrets:write", lambda r, g: r.secrets.undelete(g, PickVersions("a", (1,)), r.entry())),
    ("secrets:write", lambda r, g: r.secrets.set_metadata(g, SetSecretMetadata("a"), r.entry())),
    ("secrets:delete", lambda r, g: r.secrets.delete(g, PickVersions("a"), r.entry())),
    ("secrets:write", lambda r, g: r.secrets.destroy(g, PickVersions("a", (1,)), r.entry())),
]


@pytest.mark.parametrize(("action", "call"), CALLS)
async def test_a_grant_for_something_else_is_refused(
    here: Room,
    database: MemoryDatabase,
    action: str,
    call: Callable[[Room, Grant], Awaitable[object]],
) -> None:
    """Each call needs a grant of its own action on its own path, and does nothing without."""
    await here.put("a", {})
    before = list(database.inbox)
    for grant in (may("tokens:issue", "a"), may(action, "b", f"{action}:b")):
        with pytest.raises(PermissionDeniedError):
            await call(here, grant)
    assert database.inbox == before
    await call(here, may(action, "a", f"{action}:a"))


async def test_a_listing_needs_its_own_grant(here: Room) -> None:
    """A grant to read lists nothing."""
    with pytest.raises(PermissionDeniedError):
        await here.secrets.list(may("secrets:read"))


async def test_a_listing_shows_only_what_may_be_seen(here: Room) -> None:
    """Pages are full and in order, whatever stands between that the caller must not know of."""
    for path in ("a", "a0", "a1", "a9/x", "b/1", "b/2", "b/2/3", "b-1", "c"):
        await here.put(path, {})
    scopes = ("secrets:list:a", "secrets:list:a9/*", "secrets:list:b/*", "secrets:list:b/1")
    grant = may("secrets:list", "", *scopes)
    assert (await here.secrets.list(grant)).keys == ("a", "a9/x", "b/1", "b/2", "b/2/3")
    assert (await here.secrets.list(grant, "b/2")).keys == ("b/2", "b/2/3")
    assert (await here.secrets.list(grant, "c")).keys == ()
    assert (await here.secrets.list(may("secrets:list"), "a")).keys == ("a", "a0", "a1", "a9/x")
    pages, after = [], ""
    while True:
        page = await here.secrets.list(grant, after=after, limit=2)
        pages.append(page.keys)
        if page.next is None:
            break
        after = page.next
    assert pages == [("a", "a9/x"), ("b/1", "b/2"), ("b/2/3",)]
    for limit in (0, 1001):
        with pytest.raises(InvalidInputError):
            await here.secrets.list(grant, limit=limit)


async def test_a_change_commits_one_entry_with_its_rows(here: Room, database: MemoryDatabase) -> None:
    """The entry stands with the change, holds the digests of both rows, and not in the journal."""
    command = PutSecret("a", raw_object({}))
    async with here.entry("secrets.put") as entry:
        await here.secrets.put(may("secrets:write", "a"), command, entry)
    assert here.journal.events == []
    (event,) = [json.loads(each) for each in database.inbox]
    assert (event["action"], event["result"], len(set(event["rows"]))) == (
        "secrets.put",
        "success",
        2,
    )


async def test_a_refused_change_goes_to_the_journal(here: Room, database: MemoryDatabase) -> None:
    """What did not happen is told by the journal alone."""
    command = PutSecret("a", raw_object({}), cas=3)

    async def attempt() -> None:
        async with here.entry() as entry:
            await here.secrets.put(may("secrets:write", "a"), command, entry)

    with pytest.raises(ConflictError):
        await attempt()
    assert database.inbox == []
    assert json.loads(here.journal.events[0])["result"] == "failure"


class Tampered(MemorySecretStore):
    """Answers reads with something else, as a database in wrong hands would."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase())
        self.tamper: Callable[..., object] = lambda *found: found

    async def read(self, path: str, version: int | None):  # type: ignore[no-untyped-def]  # noqa: ANN201
        """Return what the tampering makes of it."""
        found = await super().read(path, version)
        return None if found is None else self.tamper(*found)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda h, v, x: (replace(h, current=1), v, x),
        lambda h, v, x: (replace(h, path="b"), v, x),
        lambda h, v, x: (h, replace(v, deleted_at=1.0), x),
        lambda h, v, x: (h, replace(v, created_by="service:other"), x),
        lambda h, v, x: (replace(h, seal=b""), v, x),
        lambda h, v, x: (replace(h, seal=b"\x00\x00\x00\x09" + h.seal[4:]), v, x),
        lambda h, v, x: (h, v, x[:-1] + bytes([x[-1] ^ 1])),
        lambda h, v, _: (h, v, b""),
        lambda h, v, x: (h, v, b"\x02" + x[1:]),
    ],
)
async def test_a_changed_row_is_refused(tamper: Callable[..., object]) -> None:
    """A row that was changed in the database is an integrity error, never an answer."""
    store = Tampered()
    here = await room(store)
    await here.put("a", {"n": 1})
    await here.put("a", {"n": 2})
    store.tamper = tamper
    with pytest.raises(IntegrityError):
        await here.value("a")


async def test_a_moved_row_is_refused() -> None:
    """Rows and values that are genuine somewhere else do not pass here."""
    store = Tampered()
    here = await room(store)
    for path in ("a", "b"):
        await here.put(path, {"n": 1})
        await here.put(path, {"n": 2})
    other = await MemorySecretStore.read(store, "b", 2)
    older = await MemorySecretStore.read(store, "a", 1)
    assert other is not None
    assert older is not None
    store.tamper = lambda *_: other
    with pytest.raises(IntegrityError):
        await here.value("a")
    for row in (other, older):
        store.tamper = lambda h, *_, row=row: (h, row[1], row[2])
        with pytest.raises(IntegrityError):
            await here.value("a")
        store.tamper = lambda h, v, _, row=row: (h, v, row[2])
        with pytest.raises(DecryptionError):
            await here.value("a")


async def test_a_rollback_looks_again_inside_its_transaction() -> None:
    """A version that is destroyed after the rollback read it is not brought back."""

    class Late(MemorySecretStore):
        armed = False

        async def change(self, path, versions, decide):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            if self.armed:
                self.armed = False
                pick, grant = PickVersions("a", (1,)), may("secrets:write", "a")
                await late_room.secrets.destroy(grant, pick, late_room.entry())
            return await super().change(path, versions, decide)

    store = Late(MemoryDatabase())
    late_room = await room(store)
    await late_room.put("a", {"n": 1})
    await late_room.put("a", {"n": 2})
    store.armed = True
    with pytest.raises(SecretNotFoundError):
        await late_room.secrets.rollback(may("secrets:write", "a"), RollbackSecret("a", 1), late_room.entry())
    assert await late_room.value("a") == {"n": 2}

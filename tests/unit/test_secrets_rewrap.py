"""Moving secrets on to a new key version while others use them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.support.keys import keyring
from tests.support.secrets import BOT, Room, may
from tradewarden.access.grant import authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.crypto.aead import key_version
from tradewarden.errors import InvalidInputError, PermissionDeniedError
from tradewarden.keys.purpose import Purpose
from tradewarden.secrets.commands import PickVersions
from tradewarden.secrets.rewrap import START
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_secrets import MemorySecretStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tradewarden.keys.keyring import Keyring


@pytest.fixture
async def keys() -> AsyncIterator[Keyring]:
    """Give a keyring."""
    ring = await keyring()
    yield ring
    await ring.close()


@pytest.fixture
def database() -> MemoryDatabase:
    """Give the database under the room."""
    return MemoryDatabase()


@pytest.fixture
async def rotated(keys: Keyring, database: MemoryDatabase) -> Room:
    """Give a room whose three secrets were written under the key version before."""
    here = Room(MemorySecretStore(database), keys)
    for path in ("a", "b", "c"):
        await here.put(path, {"path": path})
    await keys.rotate(may("keys:rotate", "secrets"), Purpose.SECRETS, here.entry())
    database.inbox.clear()
    return here


async def test_a_batch_moves_rows_and_records_each(rotated: Room, database: MemoryDatabase) -> None:
    """Values and seals move on, each change with an entry that names its path."""
    batch = await rotated.rewrap.batch(may("keys:rewrap"), START, 100, rotated.entry())
    assert (batch.moved, batch.refused, batch.after) == (6, (), None)
    events = [json.loads(each) for each in database.inbox]
    assert [event["resource"] for event in events] == ["a", "a", "b", "b", "c", "c"]
    assert all(event["rows"] for event in events)
    for path in ("a", "b", "c"):
        found = await rotated.store.read(path, None)
        assert found is not None
        assert key_version(found[2]) == 2
        assert await rotated.value(path) == {"path": path}
    again = await rotated.rewrap.batch(may("keys:rewrap"), START, 100, rotated.entry())
    assert again.moved == 0


async def test_a_job_is_taken_up_at_its_cursor(rotated: Room) -> None:
    """Batches together move everything exactly once."""
    moved = 0
    after: tuple[str, int] | None = START
    while after is not None:
        batch = await rotated.rewrap.batch(may("keys:rewrap"), after, 2, rotated.entry())
        moved, after = moved + batch.moved, batch.after
    assert moved == 6


async def test_a_row_that_does_not_verify_is_named_and_passed_over(rotated: Room) -> None:
    """A changed row never gets a new seal, and does not stop the job."""
    store = rotated.store
    assert isinstance(store, MemorySecretStore)
    store._heads["b"] = replace(store._heads["b"], max_versions=99)
    batch = await rotated.rewrap.batch(may("keys:rewrap"), START, 100, rotated.entry())
    assert (batch.moved, batch.refused) == (4, ("b", "b"))


async def test_writers_and_the_job_do_not_disturb_each_other(rotated: Room) -> None:
    """What is destroyed or written meanwhile stays so."""
    destroy = PickVersions("b", (1,))
    await asyncio.gather(
        rotated.rewrap.batch(may("keys:rewrap"), START, 100, rotated.entry()),
        rotated.put("a", {"new": 1}),
        rotated.secrets.destroy(may("secrets:write", "b"), destroy, rotated.entry()),
    )
    assert await rotated.value("a") == {"new": 1}
    assert await rotated.value("a", 1) == {"path": "a"}
    found = await rotated.store.read("b", 1)
    assert found is not None
    assert found[2] == b""


async def test_what_went_since_it_was_found_is_no_failure(rotated: Room) -> None:
    """A version that was destroyed between finding and moving keeps no value."""
    rows = await rotated.store.outdated(2, START, 100)

    class Late(MemorySecretStore):
        async def outdated(self, below_key_version: int, after: tuple[str, int], limit: int) -> list[tuple[str, int]]:
            return [*rows, ("gone", 0), ("gone", 1), ("a", 7)]

    rotated.store.__class__ = Late
    destroy = PickVersions("b", (1,))
    await rotated.secrets.destroy(may("secrets:write", "b"), destroy, rotated.entry())
    batch = await rotated.rewrap.batch(may("keys:rewrap"), START, 100, rotated.entry())
    assert batch.refused == ()
    found = await rotated.store.read("b", 1)
    assert found is not None
    assert found[2] == b""


async def test_a_version_destroyed_at_the_last_moment_stays_so(rotated: Room) -> None:
    """What was read before the transaction is looked at again inside it."""
    store = rotated.store
    destroy = PickVersions("b", (1,))
    grant = may("secrets:write", "b")

    class Late(MemorySecretStore):
        raced = False

        async def change(self, path, versions, decide):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            if (path, versions) == ("b", (1,)) and not self.raced:
                self.raced = True
                await rotated.secrets.destroy(grant, destroy, rotated.entry())
            return await super().change(path, versions, decide)

    store.__class__ = Late
    await rotated.rewrap.batch(may("keys:rewrap"), START, 100, rotated.entry())
    found = await store.read("b", 1)
    assert found is not None
    assert found[1] is not None
    assert (found[1].destroyed, found[2]) == (1, b"")


async def test_the_job_needs_its_grant_and_a_bound(rotated: Room) -> None:
    """Only who may rewrap does, and only in batches of a stated size."""
    narrow = authorize(BOT, PermissionSet(("keys:rewrap:audit",)), "keys:rewrap")
    for grant in (may("secrets:read"), narrow):
        with pytest.raises(PermissionDeniedError):
            await rotated.rewrap.batch(grant, START, 1, rotated.entry())
    for limit in (0, 501):
        with pytest.raises(InvalidInputError):
            await rotated.rewrap.batch(may("keys:rewrap"), START, limit, rotated.entry())

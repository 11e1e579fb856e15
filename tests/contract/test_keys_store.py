"""What every key store keeps, whatever it keeps it in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.support.storage import ADAPTERS, Kept, Opened, kept_in
from tradewarden.errors import ConflictError
from tradewarden.keys.store import KeyBudget, KeyChange, KeyState, PurposeKey, RootRecord
from tradewarden.storage.memory_keys import MemoryKeyStore
from tradewarden.storage.sql_keys import SqlKeyStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tradewarden.keys.store import KeyStore

ROOT = RootRecord(1, 1, b"c" * 32, "env:A", b"salt", 3, 4, 65536, "audit,secrets", 1.5, b"seal")
KEYS = tuple(
    PurposeKey(purpose, version, state, b"w", 2.5, b"s")
    for purpose in ("audit", "secrets")
    for version, state in ((1, "current"), (2, "next"))
)
BUDGET = KeyBudget("secrets", 1, 2**40, b"b")


@pytest.fixture(params=ADAPTERS)
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept[KeyStore]]:
    """Give a store of each kind."""
    opened: Opened[KeyStore] = kept_in(request.param, tmp_path, MemoryKeyStore, SqlKeyStore)
    async with opened as found:
        yield found


async def test_an_empty_store(backend: Kept[KeyStore]) -> None:
    """A new store holds nothing, and a change that decides nothing writes nothing."""
    assert await backend.store.load() == KeyState()
    before = await backend.revisions()
    assert await backend.store.change(lambda _: KeyChange()) == KeyState()
    assert await backend.entries() == []
    assert await backend.revisions() == before


async def test_rows_come_back_as_they_were_put(backend: Kept[KeyStore]) -> None:
    """What was written is there, in order, with its entry, and moves the revision of keys when asked to."""
    change = KeyChange(ROOT, KEYS[::-1], (BUDGET,), b"entry", bump=True)
    before = await backend.revisions()
    state = await backend.store.change(lambda _: change)
    assert state == KeyState(ROOT, KEYS, (BUDGET,)) == await backend.store.load()
    assert await backend.entries() == [b"entry"]
    assert (await backend.revisions()).keys == before.keys + 1


async def test_rows_are_replaced_by_key(backend: Kept[KeyStore]) -> None:
    """A later change replaces rows of the same key, leaves the others, and sees what stands."""
    await backend.store.change(lambda _: KeyChange(ROOT, KEYS, (BUDGET,)))
    root = replace(
        ROOT,
        generation=2,
        check_value=b"d",
        uri="file:/b",
        salt=b"",
        iterations=0,
        lanes=0,
        memory_cost=0,
        purposes="x",
    )
    key = replace(KEYS[0], state="retired", wrapped=b"v", created_at=9.0, seal=b"t")
    budget = replace(BUDGET, leased=7, seal=b"c")
    seen = []

    def decide(state: KeyState) -> KeyChange:
        seen.append(state)
        return KeyChange(root, (key,), (budget,))

    await backend.store.change(decide)
    assert seen == [KeyState(ROOT, KEYS, (BUDGET,))]
    assert await backend.store.load() == KeyState(root, (key, *KEYS[1:]), (budget,))
    assert await backend.entries() == []


async def test_a_decision_that_raises_writes_nothing(backend: Kept[KeyStore]) -> None:
    """What a decision raises comes out, and the store is as it was."""

    def decide(_: KeyState) -> KeyChange:
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        await backend.store.change(decide)
    assert await backend.store.load() == KeyState()

"""What every `SecretStore` does, in memory and in SQL."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from tests.support.storage import ADAPTERS, Kept, Opened, kept_in
from tradewarden.errors import ConflictError
from tradewarden.secrets.store import (
    SecretChange,
    SecretHead,
    SecretState,
    SecretStore,
    SecretVersion,
)
from tradewarden.storage.memory_secrets import MemorySecretStore
from tradewarden.storage.sql_secrets import SqlSecretStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(params=ADAPTERS)
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept[SecretStore]]:
    """Give each store in turn."""
    opened: Opened[SecretStore] = kept_in(request.param, tmp_path, MemorySecretStore, SqlSecretStore)
    async with opened as found:
        yield found


def sealed(version: int) -> bytes:
    """Return something that looks like a seal under a key version."""
    return struct.pack(">I", version) + bytes(32)


def envelope(version: int, text: bytes = b"value") -> bytes:
    """Return something that looks like an envelope under a key version."""
    return b"\x01" + struct.pack(">I", version) + text


def head(path: str, current: int = 1, oldest: int = 1, key: int = 1) -> SecretHead:
    """Return a head."""
    return SecretHead(path, b"i" * 16, current, oldest, 10, b"{}", 1.5, 2.5, sealed(key))


def version(path: str, number: int, key: int = 1, destroyed: int = 0) -> SecretVersion:
    """Return a version's row."""
    return SecretVersion(path, number, b"i" * 16, 1.5, "a", 0.0, destroyed, sealed(key))


async def write(kept: Kept[SecretStore], path: str, number: int = 1, key: int = 1, value_key: int = 1) -> None:
    """Write one version of a path, as current."""
    change = SecretChange(
        head(path, number, key=key),
        None,
        f"{path}@{number}".encode(),
        [version(path, number, key)],
        {number: envelope(value_key)},
    )
    await kept.store.change(path, (), lambda _: change)


async def test_nothing_is_where_nothing_was_written(kept: Kept[SecretStore]) -> None:
    """A path that was never written has no head, no history and no state."""
    assert await kept.store.read("a", None) is None
    assert await kept.store.read("a", 1) is None
    assert await kept.store.history("a") is None
    seen: list[SecretState | None] = []

    def look(state: SecretState | None) -> SecretChange[str]:
        seen.append(state)
        return SecretChange(head("a", 0), "answer", b"e")

    assert await kept.store.change("a", (1,), look) == "answer"
    assert seen == [None]


async def test_rows_come_back_as_they_were_written(kept: Kept[SecretStore]) -> None:
    """Every column keeps value and type, or seals could not be checked."""
    await write(kept, "a", 1)
    await write(kept, "a", 2)
    expected = (head("a", 2), version("a", 2), envelope(1))
    assert await kept.store.read("a", None) == expected
    assert await kept.store.read("a", 2) == expected
    assert await kept.store.read("a", 1) == (head("a", 2), version("a", 1), envelope(1))
    assert await kept.store.read("a", 3) == (head("a", 2), None, b"")
    history = await kept.store.history("a")
    assert history == SecretState(head("a", 2), {1: version("a", 1), 2: version("a", 2)})


async def test_a_decision_sees_what_it_asked_for(kept: Kept[SecretStore]) -> None:
    """The state holds the head and those of the named versions that exist."""
    await write(kept, "a", 1)
    await write(kept, "a", 2)
    seen: list[SecretState | None] = []

    def look(state: SecretState | None) -> SecretChange[None]:
        seen.append(state)
        return SecretChange(head("a", 2), None, b"e")

    await kept.store.change("a", (2, 7), look)
    assert seen == [SecretState(head("a", 2), {2: version("a", 2)})]


async def test_a_decision_that_raises_changes_nothing(kept: Kept[SecretStore]) -> None:
    """Its error comes out, and neither row nor entry is written."""

    def refuse(_: SecretState | None) -> SecretChange[None]:
        raise ConflictError("no")

    with pytest.raises(ConflictError, match="no"):
        await kept.store.change("a", (), refuse)
    assert await kept.store.read("a", None) is None
    assert await kept.entries() == []


async def test_each_change_records_its_entry_once(kept: Kept[SecretStore]) -> None:
    """Entries stand in the order of the changes."""
    await write(kept, "a", 1)
    await write(kept, "b", 1)
    await write(kept, "a", 2)
    assert await kept.entries() == [b"a@1", b"b@1", b"a@2"]


async def test_a_value_stays_unless_it_is_named(kept: Kept[SecretStore]) -> None:
    """Rewriting a version's row keeps its value; naming it replaces or erases it."""
    await write(kept, "a", 1)
    for values, expected in (({}, envelope(1)), ({1: envelope(2)}, envelope(2)), ({1: b""}, b"")):
        change = SecretChange(head("a"), None, b"e", [version("a", 1)], values)
        await kept.store.change("a", (), lambda _, change=change: change)  # type: ignore[misc]
        found = await kept.store.read("a", 1)
        assert found is not None
        assert found[2] == expected


async def test_old_versions_are_forgotten(kept: Kept[SecretStore]) -> None:
    """Versions below `drop_below` are gone, of this path only."""
    for path in ("a", "b"):
        for number in (1, 2, 3):
            await write(kept, path, number)
    change = SecretChange(head("a", 3, 3), None, b"e", drop_below=3)
    await kept.store.change("a", (), lambda _: change)
    assert await kept.store.read("a", 2) == (head("a", 3, 3), None, b"")
    for path, numbers in (("a", [3]), ("b", [1, 2, 3])):
        history = await kept.store.history(path)
        assert history is not None
        assert list(history.versions) == numbers


async def test_heads_are_listed_by_prefix_in_order(kept: Kept[SecretStore]) -> None:
    """A listing goes by code point, from a cursor on, up to its limit."""
    for path in ("b", "a/2", "a", "a/10", "A", "a-b", "a/1", "ab"):
        await write(kept, path)

    async def paths(prefix: str, after: str = "", limit: int = 100) -> list[str]:
        return [each.path for each in await kept.store.heads(prefix, after, limit)]

    assert await paths("") == ["A", "a", "a-b", "a/1", "a/10", "a/2", "ab", "b"]
    assert await paths("a/") == ["a/1", "a/10", "a/2"]
    assert await paths("a/", "a/1", 1) == ["a/10"]
    assert await paths("a", "a/2") == ["ab"]
    assert await paths("zz") == []


async def test_what_older_keys_protect_is_found(kept: Kept[SecretStore]) -> None:
    """Heads, rows and values under an older key version are listed, resumably and in order."""
    await write(kept, "new", 1, key=2, value_key=2)
    await write(kept, "b", 1, key=1, value_key=1)
    await write(kept, "a", 1, key=2, value_key=1)
    await write(kept, "a", 2, key=2, value_key=2)
    expected = [("a", 1), ("b", 0), ("b", 1)]
    assert await kept.store.outdated(2, ("", 0), 10) == expected
    assert await kept.store.outdated(2, ("", 0), 2) == expected[:2]
    for number, last in enumerate(expected, 1):
        assert await kept.store.outdated(2, last, 10) == expected[number:]
    assert await kept.store.outdated(1, ("", 0), 10) == []


async def test_a_destroyed_value_needs_no_new_key(kept: Kept[SecretStore]) -> None:
    """An erased value is under no key at all."""
    row = version("a", 1, key=2, destroyed=1)
    change = SecretChange(head("a", key=2), None, b"e", [row], {1: b""})
    await kept.store.change("a", (), lambda _: change)
    assert await kept.store.outdated(2, ("", 0), 10) == []

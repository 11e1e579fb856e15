"""Numbering in a log that is long already: what it writes does not grow with the log."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from tests.support.audit import SEAL, Room
from tradewarden.audit.clerk import CHUNK_ENTRIES
from tradewarden.audit.entry import Event, encode
from tradewarden.audit.sequencer import number
from tradewarden.audit.store import InboxRow, Shipped

if TYPE_CHECKING:
    from pathlib import Path

BOOT = "0011223344556677"
RESOURCES = 1000
LONG = 40 * CHUNK_ENTRIES


def _line(place: int) -> bytes:
    resource = f"keys/{place % RESOURCES * 7919 % RESOURCES}"
    user = f"service:{place % 50}"
    time = "2026-01-15T10:30:00.000000Z"
    return encode(Event(time, "secret_access", user, resource, "secrets:read", "success", "", "", f"{place:032x}"))


async def _number(room: Room) -> None:
    """Number the next entries."""
    leader = await room.store.lead("test", 0, 10**12)
    assert leader is not None
    first = await room.store.size()
    end = first + CHUNK_ENTRIES
    sealed = SEAL.batch(bytes.fromhex(BOOT), first, end - first, b"\n".join(map(_line, range(first, end))))
    batch = InboxRow(0, BOOT, first, end - first, sealed)
    assert await room.store.ship(await room.store.shipped(BOOT), Shipped(BOOT, end, 0, end), [batch], [])
    await room.store.number(leader, number(await room.store.pending(CHUNK_ENTRIES), SEAL, 0))


async def _written(room: Room) -> int:
    """Number the next entries and return how many bytes that put into SQLite's log."""
    connection = sqlite3.connect(room.path)
    (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.close()
    assert not busy
    await _number(room)
    return room.path.with_name(room.path.name + "-wal").stat().st_size


async def test_appending_does_not_slow_down_with_the_length(tmp_path: Path) -> None:
    """A numbering writes as much into a long log as into a short one, however many resources there are."""
    room = Room(tmp_path)
    try:
        await _number(room)
        short = await _written(room)
        while await room.store.size() < LONG:
            await _number(room)
        assert await _written(room) < 1.1 * short
    finally:
        await room.close()

"""Waiting until everything that was answered has its number, whichever clerk gives it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.audit import Room
from tradewarden.audit import clerk, shipping
from tradewarden.errors import AuditUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tradewarden.audit.store import InboxRow, Shipped


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    """An audit room over a fresh database."""
    made = Room(tmp_path)
    yield made
    await made.close()


async def test_without_a_leader_it_numbers_by_itself(room: Room) -> None:
    """What is in journals and in the inbox is numbered, and the lead is given up for whoever should have it."""
    for each in range(3):
        await room.read(f"a/{each}")
        await room.change(f"b/{each}")
    other = room.another_clerk()
    await other.settle()
    assert await room.store.size() == 6
    assert not other.leads
    await room.clerk.run_once()
    assert room.clerk.leads


async def test_with_a_leader_it_waits_for_it(room: Room) -> None:
    """A process that does not lead ships, and returns once the leader has numbered what there was."""
    await room.clerk.run_once()
    await room.read("a")
    await room.change("b")
    other = room.another_clerk()
    waiting = asyncio.create_task(other.settle())
    while (await room.store.backlog()).entries < 2:  # noqa: ASYNC110 - shipping has no event
        await asyncio.sleep(0.01)
    assert not waiting.done()
    await room.clerk.run_once()
    await waiting
    assert await room.store.size() == 2


async def test_a_leader_that_does_nothing_is_told_of(room: Room) -> None:
    """When the numbers do not come in time, that is an error and not an answer."""
    await room.clerk.run_once()
    await room.change("a")
    with pytest.raises(AuditUnavailableError, match="falls behind"):
        await room.another_clerk().settle(0.1)


async def test_a_lost_race_ends_nothing_early(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another shipper that is faster by one chunk has not shipped the rest: settling goes on to the end."""
    monkeypatch.setattr(shipping, "CHUNK_ENTRIES", 4)
    monkeypatch.setattr(shipping, "_CHUNKS_A_ROUND", 1)
    await room.clerk.run_once()
    for each in range(40):
        await room.read(f"a/{each}")
    ship = room.store.ship

    async def after_the_other(
        before: Shipped | None, after: Shipped, rows: Sequence[InboxRow], notes: Sequence[bytes]
    ) -> bool:
        monkeypatch.setattr(room.store, "ship", ship)
        await room.clerk._shipper.run_once()
        return await ship(before, after, rows, notes)

    async def lead() -> None:
        while True:
            await asyncio.sleep(0.01)
            leader = await room.clerk._lead()
            assert leader is not None
            await room.clerk._number(leader)

    monkeypatch.setattr(room.store, "ship", after_the_other)
    leading = asyncio.create_task(lead())
    await room.another_clerk().settle()
    assert await room.store.size() == 40
    leading.cancel()


async def test_a_long_journal_is_settled_whole(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal of more than one round's chunks is shipped to its end."""
    monkeypatch.setattr(shipping, "CHUNK_ENTRIES", 4)
    for each in range(400):
        await room.read(f"a/{each}")
    await room.another_clerk().settle()
    assert await room.store.size() == 400


async def test_the_next_segment_is_settled_too(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in a segment whose turn has not come in this round is settled all the same."""
    monkeypatch.setattr(shipping, "CHUNK_ENTRIES", 4)
    monkeypatch.setattr(shipping, "_CHUNKS_A_ROUND", 1)
    for each in range(20):
        await room.read(f"a/{each}")
        if each == 9:
            room.journal._let_go()
    await room.another_clerk().settle()
    assert await room.store.size() == 20


async def test_a_journal_that_never_ends_is_told_of(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the end of the journals is not reached in time, that is an error and not an answer."""
    monkeypatch.setattr(shipping, "CHUNK_ENTRIES", 1)
    monkeypatch.setattr(shipping, "_CHUNKS_A_ROUND", 1)
    for each in range(100):
        await room.read(f"a/{each}")
    with pytest.raises(AuditUnavailableError, match="falls behind"):
        await room.another_clerk().settle(0.1)


async def test_the_last_round_is_as_many_as_it_takes(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its end a clerk ships and numbers all there is, however much that is."""
    monkeypatch.setattr(shipping, "CHUNK_ENTRIES", 4)
    monkeypatch.setattr(shipping, "_CHUNKS_A_ROUND", 2)
    monkeypatch.setattr(clerk, "_CHUNKS_A_ROUND", 1)
    monkeypatch.setattr(clerk, "CHUNK_ENTRIES", 8)
    for each in range(40):
        await room.read(f"a/{each}")
        await room.change(f"b/{each}")
    await room.clerk.finish()
    assert await room.store.size() == 80
    newest = await room.store.checkpoint()
    assert newest is not None
    assert newest.size == 80


async def test_the_end_does_not_wait_for_ever(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clerk that cannot come to the end of the journals in time leaves the rest to the next one."""
    monkeypatch.setattr(shipping, "CHUNK_ENTRIES", 1)
    monkeypatch.setattr(shipping, "_CHUNKS_A_ROUND", 1)
    monkeypatch.setattr(clerk, "_FINISH_SECONDS", 0.1)
    for each in range(100):
        await room.read(f"a/{each}")
    await room.clerk.finish()
    assert 0 < await room.store.size() < 100
    monkeypatch.undo()
    await room.another_clerk().settle()
    assert await room.store.size() == 100


async def test_one_clerk_does_one_thing_at_a_time(room: Room) -> None:
    """In one process settling and the background's rounds take turns, and nothing comes twice."""
    for each in range(50):
        await room.read(f"a/{each}")
    await asyncio.gather(*(room.clerk.run_once() for _ in range(3)), *(room.clerk.settle() for _ in range(3)))
    assert await room.store.size() == 50

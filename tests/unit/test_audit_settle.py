"""Waiting until everything that was answered has its number, whichever clerk gives it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.audit import Room
from tradewarden.errors import AuditUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


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


async def test_one_clerk_does_one_thing_at_a_time(room: Room) -> None:
    """In one process settling and the background's rounds take turns, and nothing comes twice."""
    for each in range(50):
        await room.read(f"a/{each}")
    await asyncio.gather(*(room.clerk.run_once() for _ in range(3)), *(room.clerk.settle() for _ in range(3)))
    assert await room.store.size() == 50

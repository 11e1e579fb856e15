"""Deadlines: what takes too long is cancelled once, and only that."""

from __future__ import annotations

import asyncio

import pytest

from tradewarden.http.deadline import Deadlines


async def guarded(deadlines: Deadlines, seconds: float = 60) -> str:
    """Do as the pipeline does."""
    task = deadlines.enter()
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        deadlines.excuse()
        await asyncio.sleep(0)  # what follows an excused cancellation may wait again
        return "timeout"
    finally:
        deadlines.leave(task)
    return "done"


async def test_an_overdue_task_is_cancelled_and_can_go_on() -> None:
    """A task past its time gets one cancellation, which it may turn into an answer."""
    now = [0.0]
    deadlines = Deadlines(5, lambda: now[0])
    task = asyncio.create_task(guarded(deadlines))
    await asyncio.sleep(0)
    deadlines.sweep(4.9)
    assert len(deadlines) == 1
    deadlines.sweep(5.0)
    assert await task == "timeout"
    assert task.cancelling() == 0
    assert len(deadlines) == 0
    deadlines.stop()


async def test_a_later_task_keeps_its_time() -> None:
    """The sweep takes the overdue ones only."""
    deadlines = Deadlines(5, lambda: 0.0)
    early = asyncio.create_task(guarded(deadlines))
    await asyncio.sleep(0)
    deadlines.sweep(3.0)
    late = asyncio.create_task(guarded(deadlines, 0.05))
    await asyncio.sleep(0)
    deadlines.sweep(6.0)
    assert await early == "timeout"
    assert await late == "done"
    deadlines.stop()


async def test_any_other_cancellation_goes_on_its_way() -> None:
    """A shutdown is not taken for a deadline."""
    deadlines = Deadlines(5)
    task = asyncio.create_task(guarded(deadlines))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    deadlines.stop()


async def test_the_sweep_runs_by_itself() -> None:
    """Nobody has to call it: it runs once a second while the loop does."""
    deadlines = Deadlines(0.5)
    assert await asyncio.wait_for(guarded(deadlines), 4) == "timeout"
    deadlines.stop()

"""Whatever a machine does to its clock: time never goes back, and no restart takes it below what was stored."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tests.support.keys import keyring
from tests.support.timefloor import START, YEARS, Machine, Process, started
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_timefloor import MemoryFloorStore
from tradewarden.timefloor.clock import FlooredClock

seconds = st.floats(0.0, 1e5)
steps = st.one_of(
    st.tuples(st.just("wait"), seconds),
    st.tuples(st.just("set"), st.one_of(st.floats(-YEARS, YEARS), st.floats(-100.0, 100.0))),
    st.tuples(st.just("keep"), st.just(0.0)),
    st.tuples(st.just("restart"), seconds),
)


@given(st.lists(st.tuples(st.one_of(st.floats(-YEARS, YEARS), st.floats(-90.0, 90.0)), seconds)))
def test_time_never_goes_back(moves: list[tuple[float, float]]) -> None:
    """`now` never decreases, is never behind the machine's clock, and never runs faster than one of the two clocks."""
    machine = Machine()
    clock = FlooredClock(machine)
    shown = clock.now()
    for step, wait in moves:
        machine.set(step)
        before = clock.now()
        assert before >= shown
        machine.wait(wait)
        shown = clock.now()
        assert before <= shown <= max(machine.wall, before + wait) + 1e-3
        assert shown >= machine.wall


@given(st.lists(steps, max_size=40))
def test_no_restart_goes_below_what_is_stored(moves: list[tuple[str, float]]) -> None:
    """The stored floor never falls, is never above a time that was shown, and is where the next process begins."""
    asyncio.run(_lived(moves))


async def _lived(moves: list[tuple[str, float]]) -> None:
    store, keys, machine = MemoryFloorStore(MemoryDatabase()), await keyring(), Machine()
    process: Process = await started(store, machine, keys)
    stored, highest = float("-inf"), START
    for move, amount in moves:
        if move == "wait":
            machine.wait(amount)
        elif move == "set":
            machine.set(amount)
        elif move == "keep":
            await process.floor.keep(last=True)
        else:
            machine = Machine(machine.wall + amount, since_boot=0.0)
            process = await started(store, machine, keys)
        now, row = process.clock.now(), await store.read()
        highest = max(highest, now)
        floor = stored if row is None else row.seconds
        assert stored <= floor <= highest
        assert now >= floor
        stored = floor

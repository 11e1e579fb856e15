"""The clock that is never behind the latest time seen."""

from __future__ import annotations

import time
import timeit

import pytest

from tests.support.timefloor import DAY, START, Machine
from tradewarden.clock import SystemClock
from tradewarden.timefloor.clock import TOLERANCE_SECONDS, FlooredClock, gone_on


def test_it_shows_the_machines_time() -> None:
    """As long as the machine's clock goes forward, that is the time, however far it goes at once."""
    machine = Machine()
    clock = FlooredClock(machine)
    assert clock.now() == START
    machine.wait(5.0)
    assert clock.now() == START + 5.0
    machine.set(DAY)
    assert clock.now() == START + 5.0 + DAY
    assert clock.behind() == 0.0
    assert clock.monotonic() == machine.since_boot


def test_a_clock_set_back_takes_no_time_back() -> None:
    """Time goes on from the latest that was shown, at the rate of the monotonic clock, for as long as it takes."""
    machine = Machine()
    clock = FlooredClock(machine)
    clock.now()
    machine.set(-DAY)
    assert clock.now() == START
    machine.wait(3600.0)
    assert clock.now() == START + 3600.0
    assert clock.behind() == DAY
    machine.set(DAY)
    assert clock.now() == START + 3600.0
    assert clock.behind() == 0.0


def test_time_that_passed_between_two_looks_counts() -> None:
    """What passed between the last look and the step is not lost."""
    machine = Machine()
    clock = FlooredClock(machine)
    clock.now()
    machine.wait(30.0)
    machine.set(-DAY)
    assert clock.now() == START + 30.0


def test_a_small_step_heals_by_itself() -> None:
    """After a step of up to a minute the time goes slower until the machine has caught up, and never stands."""
    machine = Machine()
    clock = FlooredClock(machine)
    clock.now()
    machine.set(-TOLERANCE_SECONDS)
    shown = clock.now()
    for _ in range(600):
        machine.wait(1.0)
        assert shown < clock.now() <= shown + 1.0 + 1e-6
        shown = clock.now()
    assert clock.behind() == pytest.approx(0.0, abs=1e-5)


def test_a_floor_raises_the_clock_and_never_lowers_it() -> None:
    """A floor above the machine's clock counts at once; one below changes nothing."""
    machine = Machine()
    clock = FlooredClock(machine)
    clock.raise_to(START + DAY)
    assert clock.now() == START + DAY
    clock.raise_to(START)
    assert clock.now() == START + DAY
    assert clock.machine() == START


@pytest.mark.parametrize(
    ("elapsed", "machine", "expected"),
    [
        (10.0, START - DAY, START + 10.0),  # far behind: the full rate
        (10.0, START - 20.0, START + 9.0),  # a small step: leaning
        (100.0, START + 99.0, START + 99.0),  # the machine has caught up
        (0.0, START - 1.0, START),
    ],
)
def test_how_time_goes_on(elapsed: float, machine: float, expected: float) -> None:
    """The rule by itself."""
    assert gone_on(START, elapsed, machine) == pytest.approx(expected)


def test_it_costs_next_to_nothing() -> None:
    """A look takes well below a microsecond (measured: 0.15), because tokens are judged by it."""
    clock = FlooredClock(SystemClock())
    best = min(timeit.repeat(clock.now, number=10_000, repeat=20)) / 10_000
    assert best < 1e-6
    assert abs(clock.now() - time.time()) < 1.0


def test_a_floor_that_is_raised_while_another_thread_looks_is_not_lost() -> None:
    """What a look had read before the floor rose, and writes afterwards, does not lower the floor."""
    machine = Machine()
    clock = FlooredClock(machine)
    read_before = clock.now()
    clock.raise_to(START + DAY)
    clock._high = read_before
    assert clock.now() == START + DAY
    machine.wait(5.0)
    assert clock.now() == START + DAY + 5.0

"""How far the stored floor may rise."""

from __future__ import annotations

from tests.support.timefloor import DAY, START, YEARS, Machine
from tradewarden.timefloor.ascent import PROBATION_SECONDS, Ascent
from tradewarden.timefloor.clock import TOLERANCE_SECONDS, FlooredClock


class Rising:
    """An ascent over a clock, stepped every ten seconds."""

    def __init__(self, floor: float, machine: Machine) -> None:
        self.machine = machine
        self.clock = FlooredClock(machine)
        self.ascent = Ascent(floor, machine.monotonic())

    def step(self) -> float:
        """Return what may be stored now."""
        now = self.clock.now()
        return self.ascent.step(now, self.clock.behind(), self.machine.monotonic())

    def run(self, seconds: float) -> float:
        """Let time pass; return what may be stored then."""
        for _ in range(int(seconds / 10)):
            self.machine.wait(10.0)
            self.step()
        return self.step()


def test_a_first_start_is_taken_as_it_is() -> None:
    """Without a floor there is nothing to compare with."""
    rising = Rising(START, Machine())
    assert rising.step() == START
    assert rising.ascent.vouched


def test_time_that_passes_is_stored_at_once() -> None:
    """So is a small step on."""
    rising = Rising(START, Machine())
    assert rising.run(100.0) == START + 100.0
    rising.machine.set(TOLERANCE_SECONDS)
    assert rising.step() == START + 100.0 + TOLERANCE_SECONDS


def test_a_leap_is_stored_once_it_has_lasted() -> None:
    """Until then the floor goes on from where it was, so that nothing sure is lost."""
    rising = Rising(START, Machine())
    rising.machine.set(DAY)
    assert rising.step() == START
    assert rising.run(PROBATION_SECONDS - 10.0) == START + PROBATION_SECONDS - 10.0
    assert not rising.ascent.vouched
    assert rising.run(10.0) == START + DAY + PROBATION_SECONDS
    assert rising.ascent.vouched


def test_a_leap_that_is_taken_back_is_never_stored() -> None:
    """The machine that started in a wrong year and was set right leaves nothing behind, however long it runs on."""
    rising = Rising(START, Machine(START + YEARS))
    assert rising.run(60.0) == START + 60.0
    rising.machine.set(-YEARS)
    assert rising.run(2 * PROBATION_SECONDS) == START + 60.0 + 2 * PROBATION_SECONDS
    assert rising.clock.now() > START + YEARS
    assert not rising.ascent.vouched


def test_another_leap_begins_the_wait_anew() -> None:
    """A clock that cannot make up its mind is not believed."""
    rising = Rising(START, Machine())
    rising.machine.set(DAY)
    rising.run(PROBATION_SECONDS - 10.0)
    rising.machine.set(DAY)
    assert rising.run(PROBATION_SECONDS) < START + DAY
    assert rising.run(10.0) > START + 2 * DAY


def test_a_clock_set_back_stops_nothing() -> None:
    """The floor goes on rising with the time that counts."""
    rising = Rising(START, Machine())
    rising.machine.set(-DAY)
    rising.clock.raise_to(START)
    assert rising.run(100.0) == START + 100.0


def test_many_small_steps_are_a_leap() -> None:
    """Fifty seconds every ten, a hundred times, lift what is stored by little more than one small step."""
    rising = Rising(START, Machine())
    for _ in range(100):
        rising.machine.set(50.0)
        rising.run(10.0)
    assert rising.step() <= START + 1000.0 + TOLERANCE_SECONDS * (1 + 1000.0 / PROBATION_SECONDS)
    assert not rising.ascent.vouched
    rising.run(PROBATION_SECONDS)
    assert rising.step() == START + 1000.0 + 5000.0 + PROBATION_SECONDS
    assert rising.ascent.vouched

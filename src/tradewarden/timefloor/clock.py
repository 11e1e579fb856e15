"""The clock that everything here is judged by: the machine's own, but never behind the latest time seen.

Always true here: `now` never decreases and is never behind the machine's clock, so a clock that was set back revives
nothing and delays nothing. While the machine is behind, time goes on by the monotonic clock: at its full rate, so that
what should end does end; at nine tenths of it while the machine is behind by a small step only, so that the two meet
again by themselves.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tradewarden.clock import Clock

TOLERANCE_SECONDS: Final = 60.0
"""Steps up to this are everyday life of a synchronised clock (a leap second, NTP after a pause, a VM that moved) and
shorter than any lifetime here; nobody is told of them."""
LEANING: Final = 0.9
"""How fast time goes while the machine catches up: the largest silent step takes ten minutes to vanish."""


def gone_on(high: float, elapsed: float, machine: float) -> float:
    """Return the time `elapsed` seconds after `high`, for a machine's clock that shows less. Pure."""
    full = high + elapsed
    if full - machine > TOLERANCE_SECONDS:
        return full
    return max(machine, high + elapsed * LEANING)


class FlooredClock:
    """A `Clock` over the machine's. Any thread may ask; a thread that was interrupted may be some microseconds late."""

    __slots__ = ("_at", "_floor", "_high", "_lock", "_machine", "monotonic")

    def __init__(self, machine: Clock) -> None:
        self._machine = machine.now
        self.monotonic = machine.monotonic
        self._lock = threading.Lock()
        self._floor = self._high = float("-inf")
        self._at = machine.monotonic()

    def now(self) -> float:
        """Seconds since the epoch, UTC; 0.15 µs."""
        machine = self._machine()
        if machine >= self._high and machine >= self._floor:
            self._high = machine
            self._at = self.monotonic()
            return machine
        return self._gone_on()

    def raise_to(self, seconds: float) -> None:
        """Never show less than this from now on."""
        with self._lock:
            if seconds > self._high:
                self._floor = self._high = seconds
                self._at = self.monotonic()

    def behind(self) -> float:
        """Return by how many seconds the machine's clock is behind `now`; 0 when it is right."""
        return max(0.0, self.now() - self._machine())

    def machine(self) -> float:
        """Return what the machine's clock shows, whatever was seen before."""
        return self._machine()

    def _gone_on(self) -> float:
        with self._lock:
            machine, at = self._machine(), self.monotonic()
            if self._high < self._floor:  # another thread, on its way through `now`, wrote what it had read before
                self._high, self._at = self._floor, at
            if machine < self._high:
                machine = gone_on(self._high, max(0.0, at - self._at), machine)
            self._high, self._at = machine, at
            return machine

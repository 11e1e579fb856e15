"""How far the stored floor may rise: with the monotonic clock at once, over a leap only when the leap has lasted. Pure.

A floor that followed every leap would be spoilt for years by one wrong minute of a machine that started without its
battery. What the monotonic clock vouches for is stored at once, so a leap that is taken back costs nothing that was
sure. Small steps are followed at once too, but no more of them in any ten minutes than one leap may be small: many of
them are a leap.
"""

from __future__ import annotations

from typing import Final

from tradewarden.timefloor.clock import TOLERANCE_SECONDS

PROBATION_SECONDS: Final = 600.0
"""How long a leap must stand before it is stored: NTP sets a machine's first wrong time right within minutes."""


class Ascent:
    """What one process vouches for. `floor` is what is stored; at a first start the time that it begins with.

    `vouched` tells whether the time that counts was within that at the last step.
    """

    __slots__ = ("_at", "_leap", "_since", "_spare", "_sure", "vouched")

    def __init__(self, floor: float, monotonic: float) -> None:
        self._sure = floor
        self._at = monotonic
        self._leap: float | None = None
        self._since = 0.0
        self._spare = TOLERANCE_SECONDS
        self.vouched = False

    def step(self, now: float, behind: float, monotonic: float) -> float:
        """Return what may be stored at this moment, never less than before.

        `now` is the time that counts, `behind` by how much the machine's clock is behind it.
        """
        before = self._sure
        elapsed = max(0.0, monotonic - self._at)
        sure = before + elapsed
        spare = min(TOLERANCE_SECONDS, self._spare + elapsed * TOLERANCE_SECONDS / PROBATION_SECONDS)
        step = max(0.0, now - sure)
        if step <= spare:
            spare -= step
            self._leap, sure = None, max(now, before)
        elif self._has_lasted(now - monotonic, behind, monotonic):
            self._leap, sure = None, now
        self._spare = spare
        self._sure, self._at = sure, monotonic
        self.vouched = now - sure <= TOLERANCE_SECONDS
        return sure

    def _has_lasted(self, offset: float, behind: float, monotonic: float) -> bool:
        """Tell whether the machine's clock has stood by its leap for long enough."""
        if behind > TOLERANCE_SECONDS:
            self._leap = None  # it was taken back; this process goes by it to its end, the floor does not
            return False
        if self._leap is None or abs(offset - self._leap) > TOLERANCE_SECONDS:
            self._leap, self._since = offset, monotonic
            return False
        return monotonic - self._since >= PROBATION_SECONDS

"""How far the stored floor may rise: with the monotonic clock at once, over a leap only when the leap has lasted. Pure.

A floor that followed every leap would be spoilt for years by one wrong minute of a machine that started without its
battery. What the monotonic clock vouches for is stored at once, so a leap that is taken back costs nothing that was
sure.
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

    __slots__ = ("_at", "_leap", "_since", "_sure", "vouched")

    def __init__(self, floor: float, monotonic: float) -> None:
        self._sure = floor
        self._at = monotonic
        self._leap: float | None = None
        self._since = 0.0
        self.vouched = False

    def step(self, now: float, behind: float, monotonic: float) -> float:
        """Return what may be stored at this moment, never less than before.

        `now` is the time that counts, `behind` by how much the machine's clock is behind it.
        """
        before = self._sure
        sure = before + max(0.0, monotonic - self._at)
        if now - sure <= TOLERANCE_SECONDS or self._has_lasted(now - monotonic, behind, monotonic):
            self._leap, sure = None, max(now, before)
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

"""When to look again for keys that were not found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tradewarden.clock import Clock

FIRST_SECONDS: Final = 10.0
MOST_SECONDS: Final = 300.0


class Patience:
    """Says when a look is due: at once when other things are missing than before, else ever more seldom.

    After 10 seconds, 20, 40 …, at last every five minutes. A look opens files and tokens, and what is away for good is
    not worth one each time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._missing: frozenset[str] = frozenset()
        self._wait = 0.0
        self._at = 0.0

    def due(self, missing: frozenset[str]) -> bool:
        """Tell whether to look now for these; True counts as a look."""
        now = self._clock.monotonic()
        if missing != self._missing:
            self._missing, self._wait = missing, FIRST_SECONDS
        elif now < self._at:
            return False
        else:
            self._wait = min(2 * self._wait, MOST_SECONDS)
        self._at = now + self._wait
        return bool(missing)

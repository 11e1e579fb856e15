"""Time and randomness, handed in through constructors so that tests own both."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean anything."""
        ...


class SystemClock:
    """The machine's own clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class Randomness(Protocol):
    """Where unguessable bytes come from: `os.urandom`, always, outside tests."""

    def __call__(self, size: int, /) -> bytes:
        """Return `size` random bytes."""
        ...


system_randomness: Randomness = os.urandom


@lru_cache(maxsize=64)
def _whole_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds))


def rfc3339(seconds: float) -> str:
    """Write seconds since the epoch as RFC 3339 in UTC, `2026-01-15T10:30:00.000000Z`, always of this width.

    Texts of this form are in the order of their times.
    """
    whole = int(seconds)
    return f"{_whole_second(whole)}{int((seconds - whole) * 1e6):06d}Z"

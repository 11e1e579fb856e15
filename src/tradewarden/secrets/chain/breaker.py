"""A circuit breaker: a provider that does not answer costs its time-out a few times, not at every read."""

from __future__ import annotations

import threading
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradewarden.clock import Clock


class BreakerState(StrEnum):
    """Whether a provider is asked."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens after so many calls in a row that nobody answered; after `open_seconds` one caller may try.

    While that one is out, the others are told that it is open. Its answer closes the breaker, whatever it says
    (a refusal is an answer too); another failure opens it for as long again.
    """

    def __init__(self, clock: Clock, failures: int, open_seconds: float) -> None:
        self._clock = clock
        self._failures = failures
        self._open_seconds = open_seconds
        self._lock = threading.Lock()
        self._count = 0
        self._open_until = 0.0
        self._trying = False

    def allows(self) -> bool:
        """Return whether the caller may ask; it then says how that went by `answered` or `failed`."""
        with self._lock:
            if self._count < self._failures:
                return True
            if self._trying or self._clock.monotonic() < self._open_until:
                return False
            self._trying = True
            return True

    def answered(self) -> None:
        """Note that the provider answered."""
        with self._lock:
            self._count, self._trying = 0, False

    def failed(self) -> None:
        """Note that nobody answered."""
        with self._lock:
            self._count, self._trying = self._count + 1, False
            if self._count >= self._failures:
                self._open_until = self._clock.monotonic() + self._open_seconds

    @property
    def state(self) -> BreakerState:
        """What it does now."""
        with self._lock:
            if self._count < self._failures:
                return BreakerState.CLOSED
            waiting = self._clock.monotonic() < self._open_until
            return BreakerState.OPEN if waiting and not self._trying else BreakerState.HALF_OPEN

    @property
    def remaining(self) -> float:
        """Seconds until the next try, 0 when it may be made."""
        with self._lock:
            return max(0.0, self._open_until - self._clock.monotonic()) if self._count >= self._failures else 0.0

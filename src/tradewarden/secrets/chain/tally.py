"""Answers from the cache, counted: every one of them, at the cost of one C call.

A window's reads of a name become one access with `count`. What is counted and not yet recorded is lost with the
process (SIGKILL), at most one window of it; the read that filled the cache stands by itself.
"""

from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING

from tradewarden.secrets.chain.access import Access, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.clock import Clock
    from tradewarden.secrets.naming import Kind


class Counter:
    """Counts one name's answers. `tick` is called at each; it is atomic, as it never leaves C."""

    __slots__ = ("_seen", "kind", "name", "outcome", "provider", "tick")

    def __init__(self, name: str, kind: Kind, provider: str, outcome: Outcome) -> None:
        self.name = name
        self.kind = kind
        self.provider = provider
        self.outcome = outcome
        self.tick: Callable[[], int] = count().__next__
        self._seen = 0

    def take(self) -> int:
        """Return how many ticks there were since the last call; for one thread at a time."""
        found = self.tick() - self._seen
        self._seen += found + 1  # looking is a tick itself
        return found


class Tally:
    """All counters of a chain."""

    def __init__(self, clock: Clock, window_seconds: float) -> None:
        self._clock = clock
        self._window = window_seconds
        self._lock = threading.Lock()
        self._counting: set[Counter] = set()
        self._retired: dict[Counter, float] = {}
        self._added: list[Access] = []

    def counter(self, name: str, kind: Kind, provider: str, outcome: Outcome) -> Counter:
        """Return a new counter."""
        counter = Counter(name, kind, provider, outcome)
        with self._lock:
            self._counting.add(counter)
        return counter

    def retire(self, counter: Counter) -> None:
        """Note that nobody new will tick it; one that is in the middle of a read still may, for a window's time."""
        with self._lock:
            if counter in self._counting:
                self._counting.remove(counter)
                self._retired[counter] = self._clock.monotonic() + self._window

    def add(self, access: Access) -> None:
        """Count what needs no counter of its own."""
        with self._lock:
            self._added.append(access)

    def close_window(self) -> list[Access]:
        """Return what was counted since the last call, and begin a new window."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        with self._lock:
            counted = [(each, each.take()) for each in (*self._counting, *self._retired)]
            self._retired = {each: until for each, until in self._retired.items() if monotonic < until}
            added, self._added = self._added, []
        return added + [
            Access(name=each.name, provider=each.provider, outcome=each.outcome, kind=each.kind, at=now, count=times)
            for each, times in counted
            if times
        ]

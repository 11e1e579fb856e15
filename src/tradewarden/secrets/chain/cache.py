"""What the chain keeps: values while they are good, the last known ones through an outage, and missing names.

A value's life, by its age: *hot* until it is time to read it again (given at once, without a lock); *ageing* until its
time to live ends (given, and read again in the background); then whoever asks waits for the provider, unless that is
known not to answer since a moment ago: then it is *stale* until its bound, given at once and tried again in the
background; then gone.

Everything but `hot` is called under the chain's lock.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import msgspec

from tradewarden.secrets.chain.access import Outcome
from tradewarden.secrets.naming import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tradewarden.clock import Clock
    from tradewarden.secrets.chain.answer import Answer
    from tradewarden.secrets.chain.policy import ChainPolicy
    from tradewarden.secrets.chain.tally import Counter, Tally


class Slot:
    """One name's value. `read_at` and `hot_until` are on the monotonic clock.

    `position` is the provider that gave it; `unreachable` that of the first which did not answer on the way, so that
    the value only stood in; `failed_since` (seconds since the epoch) is since when it could not be read again, and
    `tried_at` (monotonic) when that was last tried.
    """

    __slots__ = (
        "answer",
        "counter",
        "failed_since",
        "hot_until",
        "position",
        "read_at",
        "tick",
        "tried_at",
        "unreachable",
    )

    def __init__(self, answer: Answer, position: int, unreachable: int | None, read_at: float) -> None:
        self.answer = answer
        self.position = position
        self.unreachable = unreachable
        self.read_at = read_at
        self.hot_until = -inf
        self.failed_since: float | None = None
        self.tried_at = -inf
        self.counter: Counter
        self.tick: Callable[[], int]

    def stands_for(self, position: int) -> bool:
        """Return whether it is a last known value for the provider at `position`.

        It is not when that provider, or one before it, did not answer already when it was read; nor when it came from
        an earlier one, which meanwhile said that it has none.
        """
        return self.position >= position and (self.unreachable is None or self.unreachable < position)


class Look(msgspec.Struct, frozen=True):
    """What the cache has to say: an answer (and whether to read again behind it), or that the name is missing."""

    answer: Answer | None = None
    refresh: bool = False
    missing: bool = False


class _Missing:
    __slots__ = ("counter", "until")

    def __init__(self, until: float, counter: Counter) -> None:
        self.until = until
        self.counter = counter


_TRIES_KNOWN = 2.0
"""For how many times the time between tries a failure counts as known: readers that go on do not wait."""
_NOTHING = Look()
_MISSING = Look(missing=True)


class Cache:
    """Bounded by `max_entries`: the value that was read from its provider longest ago goes first."""

    def __init__(self, policy: ChainPolicy, clock: Clock, tally: Tally, pinned: Callable[[str], bool]) -> None:
        self._policy = policy
        self._clock = clock
        self._tally = tally
        self._pinned = pinned
        self._monotonic = clock.monotonic
        self._slots: dict[str, Slot] = {}
        self._missing: dict[str, _Missing] = {}
        self.blocked = False

    def hot(self, name: str) -> Answer | None:
        """Return the answer when it may be given as it is; counted. Takes no lock."""
        slot = self._slots.get(name)
        if slot is None or self._monotonic() >= slot.hot_until:
            return None
        slot.tick()
        return slot.answer

    def look(self, name: str) -> Look:
        """Return what may be given now; counted."""
        if self.blocked:
            return _NOTHING
        now, slot = self._monotonic(), self._slots.get(name)
        if slot is None:
            return self._look_missing(name, now)
        if now >= slot.read_at + self._policy.ttl_seconds and not self._is_stale(name, slot, now):
            return _NOTHING
        slot.tick()
        return Look(slot.answer, refresh=now >= slot.hot_until)

    def _look_missing(self, name: str, now: float) -> Look:
        missing = self._missing.get(name)
        if missing is None or now >= missing.until:
            return _NOTHING
        missing.counter.tick()
        return _MISSING

    def _is_stale(self, name: str, slot: Slot, now: float) -> bool:
        """Return whether a value past its time may be given, as its provider is known not to answer; marks it.

        What was known some time ago, when somebody last asked, is not known any more: who asks then waits for a try.
        """
        known_until = slot.tried_at + _TRIES_KNOWN * self._policy.retry_seconds
        if slot.failed_since is None or now >= min(known_until, slot.read_at + self._policy.stale_seconds):
            return False
        if not slot.answer.stale:
            self._turn_stale(name, slot)
        return True

    def _turn_stale(self, name: str, slot: Slot) -> None:
        self._tally.retire(slot.counter)
        slot.answer = slot.answer.since(slot.failed_since)
        self._count(name, slot, Outcome.STALE)

    def last_known(self, name: str) -> Slot | None:
        """Return what may be given when a provider does not answer: within its time, or within the bound."""
        slot = self._slots.get(name)
        if slot is None or self._monotonic() >= slot.read_at + self._policy.kept_seconds:
            return None
        return slot

    def value(self, name: str) -> Answer | None:
        """Return what is kept, good or not; to compare with."""
        slot = self._slots.get(name)
        return None if slot is None else slot.answer

    def keep(self, slot: Slot) -> None:
        """Keep a value that was just read."""
        name, policy = slot.answer.name, self._policy
        self.drop(name)
        hot = policy.refresh_seconds if slot.unreachable is None else min(policy.refresh_seconds, policy.retry_seconds)
        self._count(name, slot, Outcome.CACHED if slot.unreachable is None else Outcome.FELL_THROUGH)
        slot.hot_until = -inf if self.blocked else slot.read_at + hot
        self._make_room()
        self._slots[name] = slot

    def _count(self, name: str, slot: Slot, outcome: Outcome) -> None:
        slot.counter = self._tally.counter(name, kind_of(name), slot.answer.provider, outcome)
        slot.tick = slot.counter.tick

    def _make_room(self) -> None:
        if len(self._slots) < self._policy.max_entries:
            return
        oldest = next((name for name in self._slots if not self._pinned(name)), None)
        if oldest is not None:
            self.drop(oldest)

    def keep_last_known(self, slot: Slot) -> Answer:
        """Note that the value could not be read again; returns it, marked once its time to live is over."""
        now, policy, name = self._monotonic(), self._policy, slot.answer.name
        slot.tried_at = now
        if slot.failed_since is None:
            slot.failed_since = self._clock.now()
        ends = slot.read_at + policy.ttl_seconds
        if now >= ends:
            ends = slot.read_at + policy.stale_seconds
            if not slot.answer.stale:
                self._turn_stale(name, slot)
        slot.hot_until = -inf if self.blocked else min(now + policy.retry_seconds, ends)
        return slot.answer

    def keep_missing(self, name: str, provider: str) -> None:
        """Note that no provider has the name; `provider` was asked last."""
        self.drop(name)
        if len(self._missing) >= self._policy.max_entries:
            self.drop(next(iter(self._missing)))
        counter = self._tally.counter(name, kind_of(name), provider, Outcome.NOT_FOUND)
        self._missing[name] = _Missing(self._monotonic() + self._policy.negative_seconds, counter)

    def drop(self, name: str) -> None:
        """Forget a name."""
        for gone in (self._slots.pop(name, None), self._missing.pop(name, None)):
            if gone is not None:
                self._tally.retire(gone.counter)

    def names(self) -> Collection[str]:
        """Return every name of which something is kept."""
        return [*self._slots, *self._missing]

    def purge(self) -> None:
        """Forget what is past every bound, so that no value stays in memory for nothing."""
        now, kept = self._monotonic(), self._policy.kept_seconds
        gone = [name for name, slot in self._slots.items() if now >= slot.read_at + kept]
        gone += [name for name, missing in self._missing.items() if now >= missing.until]
        for name in gone:
            self.drop(name)

    def block(self) -> None:
        """Give nothing until `unblock`: what was counted could not be recorded."""
        self.blocked = True
        for slot in self._slots.values():
            slot.hot_until = -inf

    def unblock(self) -> None:
        """Give again; a value is hot again once it was read again."""
        self.blocked = False

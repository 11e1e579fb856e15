"""Every reading of the chain: from what is kept, or by one walk for all who wait.

Always true here: what a walk found is recorded before anybody gets it and before it is kept; a name that was
forgotten (or written) while it was being read is not kept from that reading, and who asks afterwards starts another;
no provider is called and nothing is recorded under the lock.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakMethod

import msgspec

from tradewarden.errors import AuditUnavailableError, SecretNotFoundError, TradewardenError, UnavailableError
from tradewarden.secrets.chain.access import Outcome
from tradewarden.secrets.chain.account import accesses
from tradewarden.secrets.chain.answer import Answer
from tradewarden.secrets.chain.books import Books
from tradewarden.secrets.chain.cache import Cache, Slot
from tradewarden.secrets.chain.decision import failure, fresh
from tradewarden.secrets.chain.flight import Flight
from tradewarden.secrets.chain.subscription import Subscription, Subscriptions
from tradewarden.secrets.chain.walk import walk
from tradewarden.secrets.naming import kind_of
from tradewarden.secrets.path import secret_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tradewarden.clock import Clock, Randomness
    from tradewarden.secrets.chain.access import Access, Recorder
    from tradewarden.secrets.chain.flight import Landing
    from tradewarden.secrets.chain.policy import ChainPolicy
    from tradewarden.secrets.chain.station import Station
    from tradewarden.secrets.chain.threads import Threads
    from tradewarden.secrets.chain.walk import Verdict

T = TypeVar("T")

_log = logging.getLogger("tradewarden.secrets")
_JITTER = 0.1
_KEY_BYTES = 32
CLOSED = -1.0
_READ = (Outcome.FOUND, Outcome.REFRESHED, Outcome.CHANGED)


class Readings:
    """What is kept, what is being read, who watches."""

    def __init__(
        self,
        stations: Sequence[Station],
        policy: ChainPolicy,
        clock: Clock,
        recorder: Recorder,
        randomness: Randomness,
        threads: Threads,
    ) -> None:
        self._stations = stations
        self._policy = policy
        self._clock = clock
        self._recorder = recorder
        self._randomness = randomness
        self._closed = False
        self._begin_anew(threads)

    def _begin_anew(self, threads: Threads) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._books = Books(self._recorder, self._clock, self._policy.window_seconds)
        self._flights: dict[str, Flight] = {}
        self._watchers = Subscriptions(threads.post, self._randomness(_KEY_BYTES))
        self.cache = Cache(self._policy, self._clock, self._books.tally, self._watchers.has)
        self._window_ends = self._clock.monotonic() + self._policy.window_seconds

    def after_fork(self, threads: Threads) -> None:
        """Begin anew in a child process: nothing kept, nothing under way, nobody subscribed, no debts."""
        self._watchers.clear(tell=False)
        self._begin_anew(threads)

    def begin(self, names: Iterable[str]) -> dict[str, Landing | Flight]:
        """Return for each name what is known of it now, or the flight to wait for. Never waits for a provider."""
        asked = [secret_path(name) for name in names]
        with self._lock:
            self._require_open()
            departing: dict[str, Flight] = {}
            found = {name: self._look(name, departing) for name in asked}
        self._depart(departing)
        return found

    def _look(self, name: str, departing: dict[str, Flight]) -> Landing | Flight:
        look = self.cache.look(name)
        if look.missing:
            return SecretNotFoundError(name)
        if look.answer is not None and not look.refresh:
            return look.answer
        if look.answer is None and name in self._flights:
            self._flights[name].joined += 1
        flight = self._flight(name, departing)
        return flight if look.answer is None else look.answer

    def _flight(self, name: str, departing: dict[str, Flight]) -> Flight:
        flight = self._flights.get(name)
        if flight is None:
            flight = self._flights[name] = departing[name] = Flight(name)
        return flight

    def _require_open(self) -> None:
        if self._closed:
            raise _closed()

    def _depart(self, flights: dict[str, Flight]) -> None:
        if not flights:
            return
        try:
            self._threads.submit(partial(self._fly, flights))
        except RuntimeError:
            self._abandon(flights, _closed())

    def _abandon(self, flights: dict[str, Flight], error: TradewardenError) -> None:
        for flight in flights.values():
            with self._lock:
                self._take_off(flight)
            flight.land(error)

    def _fly(self, flights: dict[str, Flight]) -> None:
        """Read the names of `flights` and land every one of them; runs in a worker."""
        error: TradewardenError = _closed()
        try:
            if self._closed:
                return
            if self.cache.blocked:
                self.flush()
            now, read_at = self._clock.now(), self._clock.monotonic()
            verdicts = walk(list(flights), self._stations, self._is_known)
            for name, verdict in verdicts.items():
                flights[name].land(self._conclude(flights[name], verdict, now, read_at))
        except AuditUnavailableError as unrecorded:
            error = unrecorded
        except Exception as defect:  # noqa: BLE001 - whoever waits must not wait for ever
            error = UnavailableError(f"The reading failed in a way it must not ({type(defect).__name__})")
        finally:
            self._abandon({name: flight for name, flight in flights.items() if not flight.landed}, error)

    def _is_known(self, name: str, position: int) -> bool:
        with self._lock:
            slot = self.cache.last_known(name)
            return slot is not None and slot.stands_for(position)

    def _conclude(self, flight: Flight, verdict: Verdict, now: float, read_at: float) -> Landing:
        """Record what the walk found, keep it, tell the subscribers; returns what the callers get."""
        name, answer = flight.name, None
        with self._lock:
            before, slot = self.cache.value(name), self.cache.last_known(name) if verdict.last_known else None
            if verdict.held is not None:
                provider = verdict.findings[-1].provider
                answer = Answer(name, verdict.held.content, provider, verdict.held.version, now)
                slot = Slot(answer, verdict.position, verdict.unreachable, read_at)
            elif slot is not None:
                answer = self.cache.keep_last_known(slot)
        told = list(accesses(name, verdict, before, answer, self._clock.now()))
        try:
            for access in told:
                self._books.record(access)
        except AuditUnavailableError as error:
            with self._lock:
                self._take_off(flight)
            return fresh(error)
        landing = self._keep(flight, verdict, slot)
        self._count_joined(flight, told)
        return landing

    def _count_joined(self, flight: Flight, told: Sequence[Access]) -> None:
        """Count those who waited for another's reading; nobody can join a flight that is off the table."""
        if flight.joined:
            final = next(access for access in told if access.final)
            outcome = Outcome.CACHED if final.outcome in _READ else final.outcome
            self._books.tally.add(msgspec.structs.replace(final, outcome=outcome, count=flight.joined, reason=""))

    def _keep(self, flight: Flight, verdict: Verdict, slot: Slot | None) -> Landing:
        name = flight.name
        error = None if slot is not None else failure(name, kind_of(name), verdict.findings)
        with self._lock:
            if self._take_off(flight):
                if slot is not None and not verdict.last_known:
                    self.cache.keep(slot)
                    self._watchers.publish(name, slot.answer)
                elif isinstance(error, SecretNotFoundError):
                    self.cache.keep_missing(name, verdict.findings[-1].provider)
                    self._watchers.publish(name, None)
                elif error is not None:
                    self.cache.drop(name)
                self._schedule(name, retry=slot is None or verdict.unreachable is not None)
            watched = self._watchers.has(name)
        self._keep_time()
        if watched:
            self._threads.wake()
        if slot is not None:
            return slot.answer
        assert error is not None  # noqa: S101 - one of the two there is
        return error

    def _take_off(self, flight: Flight) -> bool:
        """Take a flight off the table; False when it was forgotten before."""
        if self._flights.get(flight.name) is not flight:
            return False
        del self._flights[flight.name]
        return True

    def _schedule(self, name: str, *, retry: bool) -> None:
        policy = self._policy
        seconds = min(policy.watch_seconds, policy.retry_seconds) if retry else policy.watch_seconds
        self._watchers.schedule(name, self._clock.monotonic() + self._early(seconds))

    def _early(self, seconds: float) -> float:
        """Return a little less, so that many processes do not ask in the same moment."""
        return seconds * (1 - _JITTER * int.from_bytes(self._randomness(2), "big") / 65536)

    def employ(self, work: Callable[[], T]) -> Future[T]:
        """Have a worker do something; nobody who waits for it can cancel it. Raises when the chain is closed."""
        errand: Future[T] = Future()
        try:
            self._threads.submit(partial(self._run, errand, work))
        except RuntimeError:
            raise _closed() from None
        return errand

    def _run(self, errand: Future[T], work: Callable[[], T]) -> None:
        try:
            self._require_open()
            answer = work()
        except TradewardenError as error:
            errand.set_exception(fresh(error))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            errand.set_exception(error.with_traceback(None))
        else:
            errand.set_result(answer)

    def refresh(self, names: Iterable[str]) -> None:
        """Read names again in the background, whatever is kept."""
        departing: dict[str, Flight] = {}
        with self._lock:
            if self._closed:
                return
            for name in names:
                self._flight(name, departing)
        self._depart(departing)

    def forget(self, name: str | None = None) -> None:
        """Forget one name, or all; a watched one is read again at once."""
        with self._lock:
            names = [*self.cache.names(), *self._flights] if name is None else [name]
            for each in names:
                self.cache.drop(each)
                self._flights.pop(each, None)
            watched = [each for each in names if self._watchers.has(each)]
        if watched:
            self.refresh(watched)

    def watch(self, subscription: Subscription) -> None:
        """Take a subscriber in; what is kept now is what it knows, else what is read next."""
        name = secret_path(subscription.name)
        now = self._clock.monotonic()
        with self._lock:
            self._require_open()
            known = self.cache.value(name)
            due = now if known is None else now + self._early(self._policy.watch_seconds)
            self._watchers.add(subscription, known, due)
        self._keep_time()
        self._threads.wake()

    def unwatch(self, subscription: Subscription) -> None:
        """Let a subscriber go."""
        with self._lock:
            self._watchers.remove(subscription)

    def _keep_time(self) -> None:
        self._threads.keep_time(WeakMethod(self.run_due))

    def run_due(self) -> float:
        """Do what is due: read watched names, record what was counted. Returns in how many seconds to come again."""
        if self._closed:
            return CLOSED
        now = self._clock.monotonic()
        if now >= self._window_ends:
            self._close_window(now)
        with self._lock:
            due = self._watchers.due(now)
            for name in due:
                self._schedule(name, retry=True)
        self.refresh(due)
        with self._lock:
            coming = self._watchers.next_due()
        return max(0.0, min(self._window_ends, inf if coming is None else coming) - now)

    def _close_window(self, now: float) -> None:
        self._window_ends = now + self._policy.window_seconds
        try:
            self.flush()
        except AuditUnavailableError as error:
            _log.error("Cached reads cannot be recorded; none are given until they are: %s", error)
        with self._lock:
            self.cache.purge()

    def flush(self) -> None:
        """Record what was counted; raises `AuditUnavailableError`, and then nothing is given until it is recorded."""
        try:
            self._books.settle()
        except AuditUnavailableError:
            with self._lock:
                self.cache.block()
            raise
        with self._lock:
            self.cache.unblock()

    def close(self) -> None:
        """Give nothing any more, wait for what is under way, record what was counted."""
        with self._lock:
            self._closed = True
            self._flights.clear()
            self._watchers.clear()
            for name in self.cache.names():
                self.cache.drop(name)
        self._threads.close()
        self.flush()


def _closed() -> UnavailableError:
    return UnavailableError("This chain of providers is closed; open another one")

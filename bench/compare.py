"""Measures sides in turn, ours, theirs, ours, theirs, so that each ratio is of neighbours in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench import wrk
from bench.request import BenchError, look, write_replay
from bench.result import Comparison, Series
from bench.side import Side, Work

Tell = Callable[[str], None]

_WARM_UP_SECONDS = 1
_WARM_UP_AT_MOST = 8_000
# One-time requests are made for a run that is this much faster than the last one, and never for less than this rate.
# Should they run out all the same, they are sent a second time, refused, and fail the run.
_RESERVE = 2
_LEAST_RATE = 3_000


class Entrant(msgspec.Struct, frozen=True):
    """A side under its name in the table, and what must be switched before each of its runs."""

    name: str
    side: Side
    works: frozenset[Work]
    before: Callable[[], None] = lambda: None


class Plan(msgspec.Struct, frozen=True):
    """How often, how long, and where the files for wrk lie."""

    runs: int
    seconds: int
    directory: Path


def compare(work: Work, entrants: Sequence[Entrant], plan: Plan, tell: Tell) -> Comparison:
    """Measure a work on the sides that do it. One with a single failed answer is out, and says why."""
    attempts = [_Attempt(work, entrant, plan, tell) for entrant in entrants if work in entrant.works]
    for attempt in attempts:
        attempt.warm_up()
    for _ in range(plan.runs):
        for attempt in attempts:
            attempt.run()
    return Comparison(work, [attempt.series for attempt in attempts])


class _Attempt:
    """One side at one work."""

    def __init__(self, work: Work, entrant: Entrant, plan: Plan, tell: Tell) -> None:
        self.series = Series(entrant.name)
        self._work = work
        self._entrant = entrant
        self._plan = plan
        self._tell = tell
        self._rate = 0.0

    def warm_up(self) -> None:
        """Look at one answer, then load for a moment that does not count."""
        if run := self._load(_WARM_UP_SECONDS, _WARM_UP_AT_MOST):
            self._rate = run.rate

    def run(self) -> None:
        """Add one run to the series, unless an earlier one failed."""
        if self.series.failure:
            return
        seconds = self._plan.seconds
        if run := self._load(seconds, int(max(self._rate * _RESERVE, _LEAST_RATE) * seconds)):
            self._rate = run.rate
            name = self.series.side
            self._tell(f"{self._work:14}{name:20}{run.rate:9,.0f}/s  p99 {run.p99_ms:7.1f} ms")
            self.series = Series(name, [*self.series.runs, run])

    def _load(self, seconds: int, at_most: int) -> wrk.Run | None:
        try:
            self._entrant.before()
            return self._loaded(seconds, at_most)
        except BenchError as error:
            name = self.series.side
            self._tell(f"{self._work:14}{name:20} failed: {error}")
            self.series = Series(name, failure=str(error))
            return None

    def _loaded(self, seconds: int, at_most: int) -> wrk.Run:
        side = self._entrant.side
        sample = side.load(self._work, 1)
        with side.client() as client:
            look(client, sample.requests[0], sample.shows)
        replay = self._plan.directory / f"{self._work}.requests"
        write_replay(replay, side.load(self._work, at_most).requests, side.url.partition("//")[2])
        run = wrk.run(side.url, replay, seconds)
        side.rest()
        return run

"""Figures as values: what each side did in each run, and what the ratio of two sides comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

from bench.memory import Memory
from bench.side import Work
from bench.wrk import Run


class Spread(msgspec.Struct, frozen=True):
    """Median, least and most of a figure over the runs."""

    median: float
    least: float
    most: float


class Series(msgspec.Struct, frozen=True):
    """One side's runs of one work; `failure` says why there are none."""

    side: str
    runs: Sequence[Run] = ()
    failure: str = ""


class Comparison(msgspec.Struct, frozen=True):
    """A work, measured on several sides in turn; ours is the first when it took part."""

    work: Work
    series: Sequence[Series]


class Timing(msgspec.Struct, frozen=True):
    """A call inside this process: microseconds each, the best of several rounds as timeit advises."""

    name: str
    microseconds: float
    against: str = ""
    against_microseconds: float | None = None


class Stage(msgspec.Struct, frozen=True):
    """How fast issuing, the CRL and OCSP (cached, and with a nonce) are at one size of the inventory.

    `shard` is the part of the CRL that certificates point to, `crl` the whole of it.
    """

    name: str
    certificates: int
    revoked: int
    issue: Run
    shard: Run
    crl: Run
    ocsp: Run
    ocsp_nonce: Run


class Bound(msgspec.Struct, frozen=True):
    """What something takes in this process, in `unit`, and what it must stay under; `beside` is for comparison."""

    name: str
    unit: str
    taken: Spread
    below: float
    beside: str = ""


class Results(msgspec.Struct, frozen=True):
    """All that one call of the benchmark measured."""

    command: str
    machine: Mapping[str, str]
    notes: Sequence[str]
    comparisons: Sequence[Comparison]
    memory: Mapping[str, Memory]
    timings: Sequence[Timing]
    growth: Sequence[Stage] = ()
    bounds: Sequence[Bound] = ()

    @property
    def complete(self) -> bool:
        """Whether every measurement that was begun counts."""
        return not any(s.failure for c in self.comparisons for s in c.series)


def spread(figures: Sequence[float]) -> Spread:
    """Return median, least and most; `figures` has at least one."""
    return Spread(median(figures), min(figures), max(figures))


def rates(series: Series) -> Spread:
    """Return the answers a second."""
    return spread([run.rate for run in series.runs])


def ratio(ours: Series, theirs: Series) -> Spread:
    """Return ours / theirs, each run divided by the one beside it: only that cancels what the machine did meanwhile."""
    pairs = zip(ours.runs, theirs.runs, strict=True)
    return spread([mine.rate / other.rate for mine, other in pairs])

"""Results as tables, for a terminal and as Markdown, with what must be reached and whether it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

import msgspec

from bench import target
from bench.memory import Memory
from bench.result import Bound, Comparison, Results, Series, Spread, Stage, rates, ratio
from bench.target import OURS
from bench.wrk import Run

_NONE = "-"
_TIMES = "×"  # noqa: RUF001 - the sign itself
_TO = "–"  # noqa: RUF001 - as between figures


class Table(msgspec.Struct, frozen=True):
    """Rows of text under a headline."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def report(results: Results, *, markdown: bool) -> str:
    """Return all of the results as text; `markdown` decides the form of the tables."""
    draw = _markdown if markdown else _plain
    tables = (
        load_table(results.comparisons),
        growth_table(results.growth),
        memory_table(results),
        timing_table(results),
        bound_table(results.bounds),
    )
    facts = [f"- {name}: {value}" for name, value in results.machine.items()]
    notes = [f"- {note}" for note in (*results.notes, *_failures(results))]
    parts = [results.command, "\n".join(facts), *(draw(t) for t in tables if t.rows)]
    return "\n\n".join([*parts, "\n".join(notes)] if notes else parts)


def load_table(comparisons: Sequence[Comparison]) -> Table:
    """Return a row for each pair of our side and a peer."""
    head = (
        *("work", "ours /s", "p50 ms", "p99 ms", "beside", "theirs /s", "p50 ms", "p99 ms"),
        *("ratio", "must reach", "result"),
    )
    rows = [row for comparison in comparisons for row in _pairs(comparison)]
    return Table("Under load", head, rows)


def growth_table(stages: Sequence[Stage]) -> Table:
    """Return a row for each size of the inventory: answers a second and p99."""
    head = ("certificates", "issued", "revoked", "issue", "CRL shard", "whole CRL", "OCSP", "OCSP with nonce")
    rows = [
        (s.name, f"{s.certificates:,}", f"{s.revoked:,}", *map(_rate, (s.issue, s.shard, s.crl, s.ocsp, s.ocsp_nonce)))
        for s in stages
    ]
    return Table("Growth", head, rows)


def _rate(run: Run) -> str:
    return f"{run.rate:,.0f}/s, p99 {run.p99_ms:.1f} ms"


def memory_table(results: Results) -> Table:
    """Return a row for each service: what its processes hold at rest after the load."""
    head = ("memory after the load", "processes", "largest RSS", "all PSS", "must reach", "result")
    return Table("Memory", head, [_memory_row(n, m) for n, m in results.memory.items()])


def timing_table(results: Results) -> Table:
    """Return a row for each call that was timed in process."""
    head = ("in process, one core", "µs a call", "beside", "µs a call", "ratio")
    rows: list[Sequence[str]] = []
    for t in results.timings:
        if t.against_microseconds is None:
            rows.append((t.name, f"{t.microseconds:.2f}", _NONE, _NONE, _NONE))
        else:
            bare, times = t.against_microseconds, t.microseconds / t.against_microseconds
            rows.append((t.name, f"{t.microseconds:.2f}", t.against, f"{bare:.2f}", f"{times:.2f} {_TIMES}"))
    return Table("Library", head, rows)


def bound_table(bounds: Sequence[Bound]) -> Table:
    """Return a row for each thing that must stay under a bound."""
    head = ("chain of providers", "taken", "beside", "must stay under", "result")
    rows = [
        (
            bound.name,
            f"{_spread(bound.taken, '{:.2f}'.format)} {bound.unit}",
            bound.beside or _NONE,
            f"{bound.below:g} {bound.unit}",
            _met(bound.taken.median < bound.below),
        )
        for bound in bounds
    ]
    return Table("Chain", head, rows)


def _pairs(comparison: Comparison) -> Sequence[Sequence[str]]:
    title = target.TITLES[comparison.work]
    ours = next((s for s in comparison.series if s.side == OURS), None)
    peers = [s for s in comparison.series if s.side != OURS]
    if not peers and ours is not None:
        return [(title, *_figures(ours), *[_NONE] * 7)]
    return [(title, *_figures(ours), peer.side, *_figures(peer), *_verdict(comparison, ours, peer)) for peer in peers]


def _figures(series: Series | None) -> Sequence[str]:
    if series is None:
        return (_NONE, _NONE, _NONE)
    if not series.runs:
        return ("failed", _NONE, _NONE)
    p50, p99 = (median(getattr(run, name) for run in series.runs) for name in ("p50_ms", "p99_ms"))
    return (_spread(rates(series), "{:,.0f}".format), f"{p50:.1f}", f"{p99:.1f}")


def _verdict(comparison: Comparison, ours: Series | None, peer: Series) -> Sequence[str]:
    """Return ratio, what it must reach, and whether the median did."""
    least = target.RATIOS.get((comparison.work, peer.side))
    must = _NONE if least is None else f"{least:g} {_TIMES}"
    if ours is None or not ours.runs or not peer.runs:
        return (_NONE, must, _NONE if least is None else "not measured")
    reached = ratio(ours, peer)
    verdict = _NONE if least is None else _met(reached.median >= least)
    return (_spread(reached, "{:.1f}".format) + f" {_TIMES}", must, verdict)


def _memory_row(name: str, memory: Memory) -> Sequence[str]:
    total = memory.total_pss
    shared = _NONE if total is None else f"{total:.0f} MB"
    must, verdict = _NONE, _NONE
    if name == OURS:
        must, verdict = f"< {target.WORKER_MB:.0f} MB", _met(memory.largest < target.WORKER_MB)
    return (name, str(len(memory.processes)), f"{memory.largest:.0f} MB", shared, must, verdict)


def _met(reached: bool) -> str:  # noqa: FBT001 - a verdict in words
    return "met" if reached else "NOT MET"


def _spread(figures: Spread, shown: Callable[[float], str]) -> str:
    if figures.least == figures.most:
        return shown(figures.median)
    return f"{shown(figures.median)} ({shown(figures.least)}{_TO}{shown(figures.most)})"


def _failures(results: Results) -> Sequence[str]:
    return [
        f"{series.side}, {target.TITLES[comparison.work]}: failed: {series.failure}"
        for comparison in results.comparisons
        for series in comparison.series
        if series.failure
    ]


def _plain(table: Table) -> str:
    lines = [table.head, *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    drawn = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in lines]
    return "\n".join([drawn[0], "  ".join("-" * width for width in widths), *drawn[1:]])


def _markdown(table: Table) -> str:
    lines = [table.head, ["---"] * len(table.head), *table.rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)

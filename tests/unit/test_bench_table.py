"""Ratios, verdicts and the tables of the benchmark."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.memory import Held, Memory, pss_of
from bench.options import parse
from bench.result import Bound, Comparison, Results, Series, Timing, ratio, spread
from bench.side import Work
from bench.table import bound_table, load_table, memory_table, report, timing_table
from bench.wrk import Run


def _series(side: str, *rates: float) -> Series:
    return Series(side, [Run(rate, 5.0, 45.0, 90.0, 1_000) for rate in rates])


def _results(*comparisons: Comparison, memory: dict[str, Memory] | None = None) -> Results:
    return Results("python -m bench", {"cores": "2"}, (), comparisons, memory or {}, ())


def test_a_ratio_divides_neighbouring_runs() -> None:
    """A machine that slowed down between two pairs of runs leaves the ratio as it is."""
    found = ratio(_series("Tradewarden", 1_000, 500, 900), _series("OpenBao", 250, 125, 300))
    assert (found.median, found.least, found.most) == (4, 3, 4)


@pytest.mark.parametrize(("rate", "verdict"), [(300.0, "met"), (299.0, "NOT MET")])
def test_a_read_must_reach_three_times_openbao(rate: float, verdict: str) -> None:
    """The table says what must be reached, and whether the median ratio does."""
    read = Comparison(Work.READ, [_series("Tradewarden", rate), _series("OpenBao", 100.0)])
    [row] = load_table([read]).rows
    assert row[-2:] == ("3 ×", verdict)  # noqa: RUF001 - the sign of the table


def test_a_side_without_a_target_gets_a_ratio_and_no_verdict() -> None:
    """OpenBao without audit is there for comparison only."""
    write = Comparison(Work.WRITE, [_series("Tradewarden", 800), _series("OpenBao, audit off", 100)])
    [row] = load_table([write]).rows
    assert row[-3:] == ("8.0 ×", "-", "-")  # noqa: RUF001 - the sign of the table


def test_a_failed_side_shows_no_figures_and_its_reason() -> None:
    """Failure is never a rate: the row says failed, the notes say why, the results are incomplete."""
    failed = Series("Tradewarden", failure="7 of 10 failed: 7 status")
    results = _results(Comparison(Work.READ, [failed, _series("OpenBao", 100.0)]))
    [row] = load_table(results.comparisons).rows
    assert (row[1], row[-1]) == ("failed", "not measured")
    assert "Tradewarden, read a secret: failed: 7 of 10" in report(results, markdown=False)
    assert not results.complete


def test_ours_alone_is_a_row_too() -> None:
    """Without a peer the rate stands there without a ratio."""
    [row] = load_table([Comparison(Work.READ, [_series("Tradewarden", 10_000, 12_000, 11_000)])]).rows
    assert row[1] == "11,000 (10,000–12,000)"  # noqa: RUF001 - the dash of the table
    assert set(row[4:]) == {"-"}


def test_the_largest_process_is_held_against_the_limit() -> None:
    """A worker stays under 100 MB; a peer's memory is shown without a verdict."""
    memory = {
        "Tradewarden": Memory([Held(101.0, None), Held(40.0, 20.0)]),
        "OpenBao": Memory([Held(275.0, 270.0)]),
    }
    ours, theirs = memory_table(_results(memory=memory)).rows
    assert ours[2:] == ("101 MB", "-", "< 100 MB", "NOT MET")
    assert theirs[2:] == ("275 MB", "270 MB", "-", "-")


def test_a_timing_shows_its_ratio_to_the_bare_primitive() -> None:
    """A call that has nothing beside it shows only its time."""
    timings = [Timing("encrypt", 1.5, "AESGCM", 1.0), Timing("seal", 2.0)]
    results = msgspec.structs.replace(_results(), timings=timings)
    first, second = timing_table(results).rows
    assert first == ("encrypt", "1.50", "AESGCM", "1.00", "1.50 ×")  # noqa: RUF001 - the sign of the table
    assert second[2:] == ("-", "-", "-")


def test_results_survive_their_json_file() -> None:
    """`--show` prints from the file what the run printed."""
    read = Comparison(Work.READ, [_series("Tradewarden", 300.0), _series("OpenBao", 100.0)])
    results = _results(read, memory={"OpenBao": Memory([Held(275.0, None)])})
    again = msgspec.json.decode(msgspec.json.encode(results), type=Results)
    assert report(again, markdown=True) == report(results, markdown=True)


def test_markdown_rows_have_as_many_cells_as_their_head() -> None:
    """The table can be pasted into a page."""
    read = Comparison(Work.READ, [_series("Tradewarden", 300.0), _series("OpenBao", 100.0)])
    rows = [line for line in report(_results(read), markdown=True).splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert len({row.count("|") for row in rows}) == 1


def test_the_proportional_set_is_read_from_its_line() -> None:
    """The kernel counts in units of 1,024 bytes; the table in millions of bytes."""
    assert pss_of("Rss:  9 kB\nPss:            1000 kB\nPss_Anon: 5 kB\n") == pytest.approx(1.024)
    assert pss_of("Rss: 9 kB\n") is None


def test_quick_is_short_and_can_be_overruled(tmp_path: Path) -> None:
    """`--quick` is one run of two seconds without the unaudited peer; other options still hold."""
    quick = parse(["--quick", "--runs", "2", "--only", "write,read", "--json", str(tmp_path / "r")])
    assert (quick.seconds, quick.runs, quick.audit_off) == (2, 2, False)
    assert quick.works == [Work.READ, Work.WRITE]


@pytest.mark.parametrize("wrong", [["--only", "reed"], ["--seconds", "0"], ["--sides", "vault"]])
def test_a_wrong_option_is_named(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error measures nothing instead of something else."""
    with pytest.raises(SystemExit):
        parse(wrong)
    assert wrong[0] in capsys.readouterr().err


@pytest.mark.parametrize(("median", "verdict"), [(1.99, "met"), (2.0, "NOT MET")])
def test_a_bound_is_held_against_the_median(median: float, verdict: str) -> None:
    """One slow round spoils nothing; what is compared stands beside it."""
    bound = Bound("read a cached secret", "µs", spread([0.5, median, 9.0]), 2.0, "a dict look-up: 0.03 µs")
    [row] = bound_table([bound]).rows
    assert row[1:] == (f"{median:.2f} (0.50–9.00) µs", "a dict look-up: 0.03 µs", "2 µs", verdict)  # noqa: RUF001
    assert row[0] in report(msgspec.structs.replace(_results(), bounds=[bound]), markdown=True)

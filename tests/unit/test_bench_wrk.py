"""What the benchmark makes of wrk's output."""

from __future__ import annotations

import pytest

from bench.request import BenchError
from bench.wrk import measured, parse

_OUTPUT = """Running 8s test @ http://127.0.0.1:8002
  1 threads and 32 connections
Requests/sec:   5001.25
REPORT {"requests":40010,"microseconds":8000000,"bytes":1000,"p50_us":5100,"p99_us":45000,"max_us":90000,%s}
"""
_CLEAN = '"errors":{"status":0,"connect":0,"read":0,"write":0,"timeout":0}'
_REFUSED = '"errors":{"status":7,"connect":0,"read":1,"write":0,"timeout":0}'


def test_rate_and_latencies_come_from_the_report_line() -> None:
    """Answers a second are counted over the time that wrk measured, latencies are in milliseconds."""
    run = measured(parse(_OUTPUT % _CLEAN))
    assert run.rate == pytest.approx(5001.25)
    assert (run.p50_ms, run.p99_ms, run.max_ms, run.requests) == (5.1, 45.0, 90.0, 40_010)


def test_a_run_with_failed_answers_does_not_count() -> None:
    """Refused requests and broken sockets fail the run by number and kind."""
    with pytest.raises(BenchError, match="8 of 40010 failed: 7 status, 1 read"):
        measured(parse(_OUTPUT % _REFUSED))


def test_a_run_without_answers_does_not_count() -> None:
    """A service that never answers has no rate of zero; it has no figure."""
    silent = (_OUTPUT % _CLEAN).replace('"requests":40010', '"requests":0')
    with pytest.raises(BenchError, match="no request was answered"):
        measured(parse(silent))


@pytest.mark.parametrize("output", ["", "unable to connect\n", (_OUTPUT % _CLEAN) * 2])
def test_output_without_one_report_is_refused(output: str) -> None:
    """What wrk did not report is not guessed from its other lines."""
    with pytest.raises(BenchError, match="wrk printed"):
        parse(output)

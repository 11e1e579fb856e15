"""Metrics: shared cells across processes, counters that never go back, labels from the route table only."""

from __future__ import annotations

import os
import time
import timeit
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families

from tradewarden.audit.clerk import Lag
from tradewarden.http import metrics
from tradewarden.http.metrics import CONTENT_TYPE, Gauge, Metrics
from tradewarden.http.serve import _set_progress
from tradewarden.pki.revocation.crl import Crl
from tradewarden.pki.revocation.ocsp import STATUSES

ROUTES: Any = [
    SimpleNamespace(method="GET", path="/secrets/{path...}"),
    SimpleNamespace(method="POST", path="/secrets/store"),
]


def values(rendered: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Read Prometheus text into samples."""
    families = text_string_to_metric_families(rendered.decode())
    return {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}


def requests(rendered: bytes, method: str, route: str, result: str) -> float:
    """Return one request counter."""
    labels = frozenset({("method", method), ("route", route), ("result", result)})
    return values(rendered)["tradewarden_http_requests_total", labels]


def gauge(rendered: bytes, name: str) -> float | None:
    """Return one gauge, or None when nobody has set it."""
    return values(rendered).get((f"tradewarden_{name}", frozenset()))


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, "success"),
        (304, "success"),
        (400, "failure"),
        (404, "failure"),
        (409, "failure"),
        (401, "denied"),
        (403, "denied"),
        (429, "denied"),
        (500, "error"),
        (503, "error"),
    ],
)
def test_an_answer_counts_by_its_class(status: int, result: str) -> None:
    """Each status falls into one of four results."""
    shared = Metrics(ROUTES, 1)
    shared.slot(0).observe(ROUTES[0], status, 0.001)
    assert requests(shared.render(), "GET", "/secrets/{path...}", result) == 1


def test_durations_fall_into_cumulative_buckets() -> None:
    """Bounds are inclusive, buckets cumulative, sum and count exact."""
    shared = Metrics(ROUTES, 1)
    slot = shared.slot(0)
    for seconds in (0.0005, 0.0006, 0.3, 60.0):
        slot.observe(ROUTES[1], 200, seconds)
    name = "tradewarden_http_request_duration_seconds"
    labels = {("method", "POST"), ("route", "/secrets/store")}
    found = values(shared.render())

    def bucket(bound: str) -> float:
        return found[f"{name}_bucket", frozenset({*labels, ("le", bound)})]

    assert [bucket(each) for each in ("0.0005", "0.001", "0.25", "0.5", "10.0", "+Inf")] == [1, 2, 2, 3, 3, 4]
    assert found[f"{name}_count", frozenset(labels)] == 4
    assert found[f"{name}_sum", frozenset(labels)] == pytest.approx(60.3011)


def test_an_unmatched_path_counts_without_its_text() -> None:
    """What no route matched has one label of its own: a caller cannot make labels (decision 25)."""
    shared = Metrics(ROUTES, 1)
    shared.slot(0).observe(None, 404, 0.001)
    assert requests(shared.render(), "*", "unmatched", "failure") == 1


def test_processes_count_into_one_sum() -> None:
    """A forked process's counts show in the parent's text, and outlive it; its successor goes on in the same slot."""
    shared = Metrics(ROUTES, ["worker-0", "clerk"])
    shared.slot(1).observe(ROUTES[0], 200, 0.001)
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            shared.slot(0).observe(ROUTES[0], 200, 0.001)
            os._exit(0)
        os.waitpid(pid, 0)
    assert requests(shared.render(), "GET", "/secrets/{path...}", "success") == 3


def test_gauges_are_put_together_by_their_meaning() -> None:
    """Queues add up, counts of shared things do not, of expiries the first one counts; unset ones are left out."""
    shared = Metrics(ROUTES, 3)
    for index, value in enumerate((3.0, 5.0)):
        slot = shared.slot(index)
        for each in (Gauge.WRITER_QUEUE, Gauge.ACTIVE_TOKENS, Gauge.CERTIFICATE_EXPIRY_SECONDS):
            slot.set(each, value)
    rendered = shared.render()
    assert gauge(rendered, "writer_queue") == 8
    assert gauge(rendered, "active_tokens") == 5
    assert gauge(rendered, "certificate_expiry_seconds") == 3
    assert gauge(rendered, "in_flight") is None


def test_a_successor_starts_with_fresh_gauges() -> None:
    """What a dead process had in flight is not in flight any more."""
    shared = Metrics(ROUTES, 1)
    shared.slot(0).set(Gauge.IN_FLIGHT, 7)
    shared.slot(0)
    assert gauge(shared.render(), "in_flight") is None


def test_each_process_tells_of_itself() -> None:
    """Memory, start and open files are there by the slot's name."""
    shared = Metrics(ROUTES, ["worker-0", "clerk"])
    shared.slot(1)
    found = values(shared.render())
    clerk = frozenset({("process", "clerk")})
    assert found["tradewarden_process_resident_memory_bytes", clerk] > 1_000_000
    assert found["tradewarden_process_open_fds", clerk] > 2
    assert found["tradewarden_process_start_time_seconds", clerk] > 1_700_000_000
    assert ("tradewarden_process_open_fds", frozenset({("process", "worker-0")})) not in found


def test_a_process_that_stands_still_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a gauge from the first second on, by a warning of readiness after thirty; who never came is not missed."""
    shared = Metrics(ROUTES, ["worker-0", "worker-1", "clerk"])
    worker, clerk = shared.slot(0), shared.slot(2)
    clerk.beat()
    begun = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: begun + 45.4)
    worker.beat()
    silent = {
        name: values(shared.render()).get(("tradewarden_process_silent_seconds", frozenset({("process", name)})))
        for name in ("worker-0", "worker-1", "clerk")
    }
    assert silent == {"worker-0": 0.0, "worker-1": None, "clerk": pytest.approx(45.4, abs=1.0)}
    (told,) = shared.warnings()
    assert told.startswith("clerk has not moved for 4")
    shared.slot(2)
    assert shared.warnings() == [told], "one that cannot start is at work as little as the one before"
    shared.slot(2).beat()
    assert shared.warnings() == []


def test_a_log_that_falls_behind_is_told() -> None:
    """By a warning of readiness after a minute: the clerk may be alive and fail at every round."""
    shared = Metrics(ROUTES, ["worker-0", "clerk"])
    clerk = shared.slot(1)
    clerk.set(Gauge.AUDIT_LAG_SECONDS, 59.0)
    assert shared.warnings() == []
    clerk.set(Gauge.AUDIT_LAG_SECONDS, 75.0)
    (told,) = shared.warnings()
    assert told.startswith("audit: the log is 75 s behind")


def test_the_content_type_is_the_librarys() -> None:
    """The constant, which saves an import at start, is what prometheus_client writes."""
    assert CONTENT_TYPE == CONTENT_TYPE_LATEST


def test_counting_costs_next_to_nothing() -> None:
    """One observation stays far below what a request takes (0.4 µs measured; ten times that fails)."""
    slot = Metrics(ROUTES, 1).slot(0)
    seconds = min(timeit.repeat(lambda: slot.observe(ROUTES[0], 200, 0.003), number=2000, repeat=5)) / 2000
    assert seconds < 4e-6


def test_bounds_go_from_half_a_millisecond_to_ten_seconds() -> None:
    """The histogram covers what an answer may take."""
    assert (metrics.BOUNDS[0], metrics.BOUNDS[-1]) == (0.0005, 10.0)
    assert list(metrics.BOUNDS) == sorted(metrics.BOUNDS)


def test_ocsp_answers_are_counted_by_what_they_said() -> None:
    """Each status has a counter from the start, summed over processes, and kept when a process is replaced."""
    shared = Metrics(ROUTES, 2)
    shared.slot(0).count_ocsp("good")
    shared.slot(1).count_ocsp("good")
    shared.count_ocsp("malformed")
    shared.slot(0)
    told = values(shared.render())
    counts = {status: told["tradewarden_ocsp_answers_total", frozenset({("status", status)})] for status in STATUSES}
    assert counts == dict.fromkeys(STATUSES, 0.0) | {"good": 2.0, "malformed": 1.0}


def test_the_clerk_tells_of_the_revocation_list() -> None:
    """Number, age and time left of the list that stands; nothing before there is one."""
    shared = Metrics(ROUTES, 1)
    slot = shared.slot(0)
    crl = Crl(b"", 7, 1_000, 87_400, "tag")
    for held, told in ((None, [None, None, None]), (crl, [7.0, 60.0, 86_340.0])):
        revocation = SimpleNamespace(held=lambda held=held: held)
        warden: Any = SimpleNamespace(
            authority=SimpleNamespace(revocation=revocation),
            rotations=SimpleNamespace(tending=SimpleNamespace(late=2)),
            clock=SimpleNamespace(now=lambda: 1_060.0),
            floor=SimpleNamespace(behind=lambda: 90.0),
        )
        _set_progress(warden, slot, Lag(0, 0, 0.0))
        assert gauge(shared.render(), "rotations_overdue") == 2
        assert gauge(shared.render(), "clock_behind_seconds") == 90
        names = ("crl_number", "crl_age_seconds", "crl_next_update_seconds")
        assert [gauge(shared.render(), name) for name in names] == told

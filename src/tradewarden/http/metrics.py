"""Metrics of all processes in shared memory: plain stores on the hot path, Prometheus text on demand.

Always true here: each process writes its own slot only, so no lock is needed; a counter never goes back, because a
replacement goes on in the slot of the process that died; labels come from the route table only (decision 25).
"""

from __future__ import annotations

import mmap
import os
import time
from bisect import bisect_left
from enum import Enum
from math import isnan, nan
from typing import TYPE_CHECKING, Final

from tradewarden.pki.revocation.ocsp import STATUSES
from tradewarden.secrets.vaulted.vaulted import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prometheus_client.core import Metric

    from tradewarden.http.route import Route

BOUNDS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds of the latency buckets, in seconds."""
RESULTS: Final = ("success", "failure", "denied", "error")
CONTENT_TYPE: Final = "text/plain; version=1.0.0; charset=utf-8"
UNMATCHED: Final = ("*", "unmatched")
_DENIED: Final = frozenset({401, 403, 429})


def _result(status: int) -> int:
    if status in _DENIED:
        return 2
    return 0 if status < 400 else 1 if status < 500 else 3  # noqa: PLR2004 - the classes of RFC 9110 15


_RESULT: Final = bytes(_result(status) for status in range(600))


class Gauge(Enum):
    """What a process sets; its name, how the processes' values are put together, and its help text."""

    AUDIT_UNSHIPPED_BYTES = ("audit_unshipped_bytes", sum, "Journal bytes not in the database yet")
    AUDIT_UNNUMBERED_ENTRIES = ("audit_unnumbered_entries", max, "Entries without a number yet")
    AUDIT_LAG_SECONDS = ("audit_lag_seconds", max, "Age of the oldest entry without a number")
    WRITER_QUEUE = ("writer_queue", sum, "Changes that wait for the database's writer")
    ACTIVE_TOKENS = ("active_tokens", max, "Tokens that are valid now")
    ACTIVE_CERTIFICATES = ("active_certificates", max, "Certificates that are valid now")
    CERTIFICATE_EXPIRY_SECONDS = (
        "certificate_expiry_seconds",
        min,
        "Time until the first of our certificates runs out",
    )
    CA_ROOT_EXPIRY_SECONDS = ("ca_root_expiry_seconds", min, "Time until the active root CA runs out")
    CA_ISSUING_EXPIRY_SECONDS = ("ca_issuing_expiry_seconds", min, "Time until the active issuing CA runs out")
    CRL_NUMBER = ("crl_number", max, "Number of the complete revocation list of the CA that issues now")
    CRL_AGE_SECONDS = ("crl_age_seconds", min, "Time since that list was made")
    CRL_NEXT_UPDATE_SECONDS = ("crl_next_update_seconds", max, "Time until that list lapses; it is made anew before")
    ROTATIONS_OVERDUE = ("rotations_overdue", max, "Secrets that should have been rotated by themselves an hour ago")
    CLOCK_BEHIND_SECONDS = ("clock_behind_seconds", max, "How far this machine's clock is behind the time that counts")
    IN_FLIGHT = ("in_flight", sum, "Requests being answered now")

    def __init__(self, label: str, merge: Callable[[Iterable[float]], float], text: str) -> None:
        self.label = label
        self.merge = merge
        self.text = text


_GAUGES: Final = {gauge: index for index, gauge in enumerate(Gauge)}
_PROCESS: Final = (
    ("process_resident_memory_bytes", "Resident memory"),
    ("process_start_time_seconds", "Start, seconds since the epoch"),
    ("process_open_fds", "Open file descriptors"),
    ("process_silent_seconds", "Time since the process last did its regular work"),
)
_SILENT: Final = _PROCESS[-1][0]
_SILENT_SECONDS: Final = 30.0
_BEHIND_SECONDS: Final = 60.0
_OCSP: Final = {status: index for index, status in enumerate(STATUSES)}
_VAULT: Final = {outcome: index for index, outcome in enumerate(OUTCOMES)}
_TAIL: Final = len(_GAUGES) + len(_PROCESS)
_HISTOGRAM: Final = len(RESULTS)
_SUM: Final = _HISTOGRAM + len(BOUNDS) + 1
_ROW: Final = _SUM + 1
"""Cells of one route: results, buckets (the last one open), sum of seconds."""


class Slot:
    """One process's cells. Not for two threads at once."""

    __slots__ = ("_cells", "_rows", "_tail")

    def __init__(self, cells: memoryview[float], rows: dict[int, int], tail: int) -> None:
        self._cells = cells
        self._rows = rows
        self._tail = tail

    def observe(self, route: Route | None, status: int, seconds: float) -> None:
        """Count one answer; a route that is not in the table (None) counts as unmatched."""
        cells = self._cells
        row = self._rows[id(route)]
        cells[row + _RESULT[status]] += 1.0
        cells[row + _HISTOGRAM + bisect_left(BOUNDS, seconds)] += 1.0
        cells[row + _SUM] += seconds

    def beat(self) -> None:
        """Note that this process is at work: once a second or so, so that one that stands still is seen."""
        self._cells[self._tail + len(_GAUGES) + 3] = time.monotonic()

    def set(self, gauge: Gauge, value: float) -> None:
        """Set a gauge of this process."""
        self._cells[self._tail + _GAUGES[gauge]] = value

    def count_ocsp(self, status: str) -> None:
        """Count what an OCSP answer said about one certificate, or that it refused."""
        self._cells[self._tail - len(_OCSP) + _OCSP[status]] += 1.0

    def count_vault(self, outcome: str) -> None:
        """Count what a use of Vault came to."""
        self._cells[self._tail - len(_OCSP) - len(_VAULT) + _VAULT[outcome]] += 1.0

    def measure(self) -> None:
        """Note this process's memory and open files: about 0.1 ms, so every few seconds at most."""
        at = self._tail + len(_GAUGES)
        self._cells[at] = _resident()
        self._cells[at + 2] = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only, no paths


class Metrics:
    """The shared cells. Make it before the fork; each child then takes its slot.

    `processes` are the names of the slots (`worker-0`, `clerk`), or how many workers there are.
    """

    def __init__(self, routes: Sequence[Route], processes: int | Sequence[str]) -> None:
        if isinstance(processes, int):
            processes = [f"worker-{index}" for index in range(processes)]
        self._names = tuple(processes)
        self._labels = [*((route.method, route.path) for route in routes), UNMATCHED]
        self._routes = tuple(routes)  # their ids stay taken while this lives
        self._rows = {id(route): index * _ROW for index, route in enumerate(routes)}
        self._rows[id(None)] = len(routes) * _ROW
        self._tail = len(self._labels) * _ROW + len(_VAULT) + len(_OCSP)
        width = self._tail + _TAIL
        self._memory = mmap.mmap(-1, width * len(self._names) * 8)
        cells = memoryview(self._memory).cast("d")
        self._slots = [cells[index * width : (index + 1) * width] for index in range(len(self._names))]
        for slot in self._slots:
            slot[self._tail :] = _unset()
        self._own: Slot | None = None

    def slot(self, index: int) -> Slot:
        """Take over slot `index` for this process: its counters go on, its gauges start anew."""
        cells, beat = self._slots[index], self._tail + len(_GAUGES) + 3
        last = cells[beat]  # until this one is at work, its forerunner's counts: one that cannot start is silent too
        cells[self._tail :] = _unset()
        cells[beat] = last
        cells[self._tail + len(_GAUGES) + 1] = time.time()
        self._own = Slot(cells, self._rows, self._tail)
        self._own.measure()
        return self._own

    def count_ocsp(self, status: str) -> None:
        """Count, in this process's slot, what an OCSP answer said about one certificate, or that it refused."""
        if self._own is not None:
            self._own.count_ocsp(status)

    def count_vault(self, outcome: str) -> None:
        """Count, in this process's slot, what a use of Vault came to."""
        if self._own is not None:
            self._own.count_vault(outcome)

    def warnings(self) -> list[str]:
        """Return what an operator must know about processes: which stand still, and how far the audit log is behind."""
        told = [
            f"{name} has not moved for {seconds:.0f} s; the log may say why, and a restart is the way out"
            for name, seconds in self._silent().items()
            if seconds > _SILENT_SECONDS
        ]
        lags = [slot[self._tail + _GAUGES[Gauge.AUDIT_LAG_SECONDS]] for slot in self._slots]
        behind = max((lag for lag in lags if not isnan(lag)), default=0.0)
        if behind > _BEHIND_SECONDS:
            told.append(
                f"audit: the log is {behind:.0f} s behind; entries wait in order, and the log of the clerk says why"
            )
        return told

    def _silent(self) -> dict[str, float]:
        """Return by name how long each process that was ever at work has not been, in seconds."""
        now, at = time.monotonic(), self._tail + len(_GAUGES) + 3  # one clock for all processes of a machine
        since = zip(self._names, (slot[at] for slot in self._slots), strict=True)
        return {name: max(0.0, now - beat) for name, beat in since if not isnan(beat)}

    def render(self) -> bytes:
        """Return all processes together as Prometheus text; about 10 ms for 60 routes."""
        from prometheus_client import CollectorRegistry, generate_latest

        if self._own is not None:
            self._own.measure()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families, as prometheus_client's registry asks for them."""
        totals = [sum(column) for column in zip(*(slot[: self._tail] for slot in self._slots), strict=True)]
        yield from self._requests(totals)
        yield self._answers(totals[-len(_OCSP) :])
        yield self._uses(totals[-len(_OCSP) - len(_VAULT) : -len(_OCSP)])
        yield from self._gauges()
        yield from self._processes()

    def _requests(self, totals: Sequence[float]) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        requests = CounterMetricFamily(
            "tradewarden_http_requests",
            "Requests answered, by route and result",
            labels=("method", "route", "result"),
        )
        durations = HistogramMetricFamily(
            "tradewarden_http_request_duration_seconds",
            "Time from the whole request head to the ready answer",
            labels=("method", "route"),
        )
        for index, (method, path) in enumerate(self._labels):
            row = totals[index * _ROW : (index + 1) * _ROW]
            for result, count in zip(RESULTS, row, strict=False):
                requests.add_metric((method, path, result), count)
            durations.add_metric((method, path), _cumulative(row), sum_value=row[_SUM])
        yield requests
        yield durations

    @staticmethod
    def _answers(totals: Sequence[float]) -> Metric:
        from prometheus_client.core import CounterMetricFamily

        answers = CounterMetricFamily("tradewarden_ocsp_answers", "OCSP answers, by what they said", labels=("status",))
        for status, count in zip(STATUSES, totals, strict=True):
            answers.add_metric((status,), count)
        return answers

    @staticmethod
    def _uses(totals: Sequence[float]) -> Metric:
        from prometheus_client.core import CounterMetricFamily

        uses = CounterMetricFamily(
            "tradewarden_vault_uses", "Uses of Vault by what they came to; stale: read from memory", labels=("outcome",)
        )
        for outcome, count in zip(OUTCOMES, totals, strict=True):
            uses.add_metric((outcome,), count)
        return uses

    def _gauges(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        for gauge, index in _GAUGES.items():
            values = [slot[self._tail + index] for slot in self._slots]
            known = [value for value in values if not isnan(value)]
            if known:
                yield GaugeMetricFamily(f"tradewarden_{gauge.label}", gauge.text, gauge.merge(known))

    def _processes(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        silent = self._silent()
        for index, (name, text) in enumerate(_PROCESS):
            family = GaugeMetricFamily(f"tradewarden_{name}", text, labels=("process",))
            for process, slot in zip(self._names, self._slots, strict=True):
                value = slot[self._tail + len(_GAUGES) + index]
                if not isnan(value):
                    family.add_metric((process,), silent[process] if name == _SILENT else value)
            yield family


def _cumulative(row: Sequence[float]) -> list[tuple[str, float]]:
    counts: list[tuple[str, float]] = []
    running = 0.0
    for bound, count in zip((*BOUNDS, "+Inf"), row[_HISTOGRAM:_SUM], strict=True):
        running += count
        counts.append((str(bound), running))
    return counts


def _unset() -> memoryview[float]:
    from array import array

    return memoryview(array("d", [nan] * _TAIL))


def _resident() -> float:
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - half the time of a Path
        return float(int(file.read().split()[1]) * mmap.PAGESIZE)

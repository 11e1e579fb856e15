"""One run of wrk: `-t1 -c32 --latency`, keep-alive, and what it reports. An answer that is an error never counts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import msgspec

from bench.request import BenchError

CONNECTIONS = 32
SCRIPT = Path(__file__).parent / "scripts" / "replay.lua"
_MARK = "REPORT "
# wrk needs this long to read its requests, to connect, and to end.
_GRACE_SECONDS = 60


class Errors(msgspec.Struct, frozen=True):
    """Answers with a status above 399, and what failed on the sockets."""

    status: int
    connect: int
    read: int
    write: int
    timeout: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.status + self.connect + self.read + self.write + self.timeout


class Report(msgspec.Struct, frozen=True):
    """The line that `scripts/replay.lua` prints."""

    requests: int
    microseconds: int
    bytes: int
    p50_us: int
    p99_us: int
    max_us: int
    errors: Errors


class Run(msgspec.Struct, frozen=True):
    """One run without errors: answers a second, latencies in milliseconds."""

    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    requests: int


def available() -> bool:
    """Tell whether wrk is installed."""
    return shutil.which("wrk") is not None


def run(url: str, replay: Path, seconds: int) -> Run:
    """Load `url` with the requests in `replay`; raises `BenchError` when any of them failed."""
    command = [
        *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"),
        *("-s", str(SCRIPT), url, "--", str(replay)),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _GRACE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"wrk did not end {_GRACE_SECONDS} s after its {seconds} s") from error
    if done.returncode:
        raise BenchError(f"wrk ended with {done.returncode}: {done.stderr.strip()[:300]}")
    return measured(parse(done.stdout))


def parse(output: str) -> Report:
    """Return the report in what wrk printed."""
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    if len(lines) != 1:
        raise BenchError(f"wrk printed {len(lines)} reports: {output[:300]!r}")
    return msgspec.json.decode(lines[0].removeprefix(_MARK), type=Report)


def measured(report: Report) -> Run:
    """Return a report's figures; raises `BenchError` when one answer was an error, or there was none at all."""
    if report.errors.total:
        counts = ", ".join(f"{n} {k}" for k, n in msgspec.to_builtins(report.errors).items() if n)
        raise BenchError(f"{report.errors.total} of {report.requests} failed: {counts}")
    if not report.requests:
        raise BenchError("no request was answered")
    return Run(
        rate=report.requests / report.microseconds * 1e6,
        p50_ms=report.p50_us / 1e3,
        p99_ms=report.p99_us / 1e3,
        max_ms=report.max_us / 1e3,
        requests=report.requests,
    )

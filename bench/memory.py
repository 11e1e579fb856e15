"""What the processes of a session hold in memory, read from /proc (Linux): resident and proportional set size."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

_PROC = Path("/proc")
_SETTLED = 0.01
_SETTLE_SECONDS = 10.0


class Held(msgspec.Struct, frozen=True):
    """Memory of one process in MB (10^6 bytes); `pss` is None when it may not be read, as of a hardened process."""

    rss: float
    pss: float | None


class Memory(msgspec.Struct, frozen=True):
    """Memory of a service, process by process, the largest first."""

    processes: Sequence[Held]

    @property
    def largest(self) -> float:
        """The largest process's resident set in MB: a worker's."""
        return max((process.rss for process in self.processes), default=0.0)

    @property
    def total_pss(self) -> float | None:
        """All processes together, shared pages counted once, in MB."""
        shares = [held.pss for held in self.processes if held.pss is not None]
        return sum(shares) if len(shares) == len(self.processes) else None


def at_rest(session: int) -> Memory:
    """Wait until the largest process has stopped growing or shrinking (10 s at most), then measure."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    memory = now(session)
    while time.monotonic() < deadline:
        time.sleep(1)
        before, memory = memory, now(session)
        if abs(before.largest - memory.largest) < _SETTLED * memory.largest:
            break
    return memory


def now(session: int) -> Memory:
    """Measure the processes of a session."""
    held = [_held(pid) for pid in _members(session)]
    # One that has ended and was not yet waited for holds nothing.
    living = [process for process in held if process.rss]
    return Memory(sorted(living, key=lambda process: process.rss, reverse=True))


def _members(session: int) -> Iterable[int]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            # A process may end while it is looked at.
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(int(entry.name)) == session:
                    yield int(entry.name)


def _held(pid: int) -> Held:
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except OSError:
        return Held(0.0, None)
    rss = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    try:
        rollup = (_PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return Held(rss, None)
    return Held(rss, pss_of(rollup))


def pss_of(rollup: str) -> float | None:
    """Return the `Pss:` line of a smaps_rollup file in MB."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return None

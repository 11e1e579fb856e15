"""The services that the benchmark starts."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from bench.memory import now
from bench.process import Process
from bench.request import BenchError

_PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"


def test_a_service_ends_with_all_its_children(tmp_path: Path) -> None:
    """Workers do not outlive the measurement."""
    process = Process("parent", (sys.executable, "-c", _PARENT), tmp_path, {})
    process.wait_until(lambda: len(now(process.session).processes) == 2)
    process.stop()
    process.stop()
    deadline = time.monotonic() + 5
    while now(process.session).processes and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not now(process.session).processes


def test_a_service_that_ends_at_its_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    """Nobody waits for what has gone, and the reason is shown."""
    process = Process("broken", (sys.executable, "-c", "raise SystemExit('port in use')"), tmp_path, {})
    with pytest.raises(BenchError, match="broken ended at its start: port in use"):
        process.wait_until(lambda: False)
    process.stop()

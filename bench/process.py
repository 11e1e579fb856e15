"""Services under test: started in a session of their own, waited for, and ended together with all their children."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.request import BenchError

START_SECONDS = 60.0
STOP_SECONDS = 10.0
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


class Process:
    """A running service. What it prints goes to `<directory>/<name>.log`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
    ) -> None:
        self._name = name
        self._log = directory / f"{name}.log"
        self._stopped = False
        inherited = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                list(command),
                cwd=directory,
                env=inherited | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def session(self) -> int:
        """The session that it and its children are in."""
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready` says so; raises `BenchError` with the log's end when it ends or never gets there."""
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self._process.poll() is not None:
                raise BenchError(f"{self._name} ended at its start: {self._last_words()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self._name} was not ready after {START_SECONDS:.0f} s: {self._last_words()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, by force after a while; calling it again does nothing."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        if not self._stopped:
            self._stopped = True
            self._signal(signal.SIGKILL)
            self._process.wait(STOP_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-800:].strip()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port

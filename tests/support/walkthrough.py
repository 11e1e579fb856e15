"""Runs a page that is one session at a terminal: what a block sets in its shell is there in the next one.

Outputs stand on these pages as they came, so they are compared by their shape: what differs at each run (times, tokens,
digests, numbers) is levelled on both sides. `make` is the service itself here; what it does before has its own tests.
A block whose fence says why (```` ```sh no-run: needs docker ````) is for reading only.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support import service
from tests.support.pages import MTLS_PORT, PORT, Page, checkout, free_port

_SECONDS = 60
_STATE = "shell-state"
_PR_SET_CHILD_SUBREAPER = 36
_KEEP = f"""
declare -p | grep -Ev '^declare -[a-zA-Z]*r' > ../{_STATE}
declare -f >> ../{_STATE}
"""
_LEVELLED = (
    (re.compile(r"eyJ[\w.-]+"), "TOKEN"),
    (re.compile(r"tw[a-z]_[\w-]{20,}"), "CREDENTIAL"),
    (re.compile(r"\b[0-9a-f]{8,}\b"), "HEX"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\d+(\.\d+)?"), "0"),
    (re.compile(r", 0 newer than it"), ""),
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r"[ -]+$", re.MULTILINE), ""),
)


class Walkthrough(Page):
    """One run of such a page; `outputs` are what its blocks wrote, in their order."""

    outputs: list[str]
    second_port: int
    """Stands for `SECOND_PORT`, where a page starts a service by itself beside the first."""

    def _filled(self, text: str) -> str:
        return super()._filled(text).replace(str(SECOND_PORT), str(self.second_port))

    def _start(self, text: str) -> None:
        super()._start(text)
        self._answer = 0, self._log().replace(f":{self.port}", f":{PORT}")

    def _program(self, command: list[str], text: str, folder: Path) -> str:
        if command[0] == "bash":
            text = f". ../{_STATE} 2> /dev/null || true\n{text}{_KEEP}"
        done = subprocess.run(
            command, input=text, cwd=folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=_SECONDS, check=False, start_new_session=True,
        )  # fmt: skip
        assert done.returncode == 0, f"ended with {done.returncode}:\n{text}\n{done.stdout}"
        came = done.stdout.replace(f":{self.port}", f":{PORT}").replace(f":{self.second_port}", f":{SECOND_PORT}")
        came = came.replace(f":{self.mtls_port}", f":{MTLS_PORT}")
        self.outputs.append(came.replace(str(self.folder), HERE))
        return self.outputs[-1]

    def _compare(self, shown: str) -> None:
        assert self._answer is not None, "what is shown here follows nothing that was run"
        came = self._answer[1]
        assert shown.strip(), f"an empty output is shown, and this came:\n{came}"
        assert shape(shown) in shape(came), f"the page shows\n{shown}\nand this came:\n{came}"


SECOND_PORT = 8012
HERE = "/srv/tradewarden"
"""Stands on a page for the directory that it was run in."""


def shape(output: str) -> str:
    """Return an output with everything levelled that differs from run to run."""
    for pattern, name in _LEVELLED:
        output = pattern.sub(name, output)
    return output.strip()


@contextmanager
def _orphans_taken_in() -> Iterator[None]:
    """Reap at once what a page's shells leave behind and then end: until somebody does, `kill -0` still finds it.

    Elsewhere that is for process 1, which takes seconds on some machines.
    """
    if sys.platform != "linux":
        yield
        return
    prctl = ctypes.CDLL(None).prctl
    over = threading.Event()
    reaper = threading.Thread(target=_reap, args=(over,), name="reaper")
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    reaper.start()
    try:
        yield
    finally:
        over.set()
        reaper.join()
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _reap(over: threading.Event) -> None:
    """Reap orphans of sessions that are not ours; what we started ourselves is in ours, or leads its own."""
    ours = os.getsid(0)
    while not over.wait(0.02):
        for children in Path("/proc/self/task").glob("*/children"):
            with suppress(OSError):  # it is gone
                for pid in map(int, children.read_text().split()):
                    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                    if fields[0] == "Z" and int(fields[3]) not in (ours, pid):
                        os.waitpid(pid, os.WNOHANG)


@contextmanager
def walked(page: Path, folder: Path) -> Iterator[Walkthrough]:
    """Make a fresh checkout below `folder`, ready to run the page; the service it starts ends with the block."""
    checked_out = folder / "checkout"
    (checked_out / ".venv/bin").mkdir(parents=True)
    (checked_out / ".venv/bin/activate").touch()
    with _orphans_taken_in(), free_port() as port:
        run = Walkthrough(page, checkout(checked_out), port, {"make": "exec tradewarden serve"})
        run.outputs = []
        run.second_port = service.free_port()
        try:
            yield run
        finally:
            run.stop()
            (folder / _STATE).unlink(missing_ok=True)

"""Runs the code blocks of a documentation page as a reader would type them, in a fresh checkout.

A block runs by its language: `bash` and `sh` as a script, `python` as a program, `console` command by command (`$ `),
`http` as a request. A `json` or `text` block that follows one is what it must answer, and an `http` block that begins
with `HTTP/1.1` is an answer with its status (`tests.support.shown` compares). Other languages are not run. A comment
that readers do not see may stand before a block:

    <!-- run: service -->              its one command is started and stays until the page ends
    <!-- run: in services/x -->        it runs in that folder
    <!-- run: no, see tests/y.py -->   it is not run here, because that test covers it

`<name>` in a block stands for a field of the last `http` or `console` answer that had it (`<client-secret>`:
`client_secret`; `<jwt-token>`: `token`), `<admin-jwt-token>` for the admin token.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec

from tests.support.shown import require_same

ROOT = Path(__file__).resolve().parents[2]
PORT, MTLS_PORT = 8002, 8443
_CHECKOUT = ("services", "examples", "scripts", "docs")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "dist", "cache", "htmlcov", ".coverage", ".env")
_BLOCK = re.compile(
    r"^(?:<!-- run: (?P<mark>[^\n]*?) -->\n+)?```(?P<language>[a-z]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_PLACEHOLDER = re.compile(r"<([a-z][a-z-]*)>")
_SECONDS = 60


class Block(NamedTuple):
    """A fenced block: where it stands, what it is, and its mark."""

    line: int
    language: str
    text: str
    mark: str


_END = Block(0, "end", "", "")


def blocks(page: Path) -> list[Block]:
    """Return the page's blocks in their order."""
    text = page.read_text()
    return [
        Block(text.count("\n", 0, found.start("text")), found["language"], found["text"], found["mark"] or "")
        for found in _BLOCK.finditer(text)
    ]


def checkout(folder: Path) -> Path:
    """Copy what a reader has after a clone into `folder`, without anything made later."""
    for name in _CHECKOUT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=_LEFT_OUT)
    for path in ROOT.iterdir():
        if path.is_file() and path.name not in (".env", ".coverage"):
            shutil.copy(path, folder)
    return folder


@contextmanager
def free_port() -> Iterator[int]:
    """Give the documented port when nobody has it, else another, for as long as the block runs."""
    with (Path(tempfile.gettempdir()) / f"tradewarden-test-port-{PORT}-{os.getuid()}").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.create_server(("127.0.0.1", PORT)), socket.create_server(("127.0.0.1", MTLS_PORT)):
                port = PORT
        except OSError:
            port = _any_port()
        yield port


def _any_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Page:
    """One run of one page. Made by `opened`."""

    def __init__(self, page: Path, folder: Path, port: int, stand_ins: Mapping[str, str]) -> None:
        self.page = page
        self.folder = folder
        self.port = port
        self.mtls_port = MTLS_PORT if port == PORT else _any_port()
        self.ran: list[Block] = []
        """The blocks that were really run."""
        self._service: subprocess.Popen[bytes] | None = None
        self._fields: dict[str, str] = {}
        self._answer: tuple[int, str] | None = None
        self.environment = self._make_environment(stand_ins)
        """Of every program that the page starts."""

    def _make_environment(self, stand_ins: Mapping[str, str]) -> dict[str, str]:
        """Return a clean environment in which `python` is this one and `stand_ins` take the place of programs."""
        programs = self.folder.parent / "programs"
        programs.mkdir()
        for name, script in stand_ins.items():
            (programs / name).write_text(f"#!/bin/sh\nset -eu\n{script}\n")
            (programs / name).chmod(0o755)
        path = [str(programs), str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
        made = {"PATH": os.pathsep.join(path), "HOME": str(self.folder.parent), "LANG": "C.UTF-8", "TERM": "dumb"}
        if self.port != PORT:
            made |= {"SERVICE_PORT": str(self.port), "TRADEWARDEN_MTLS_PORT": str(self.mtls_port)}
        return made

    def run(self) -> None:
        """Run every block; raises `AssertionError` naming the line of the page."""
        for block in [*blocks(self.page), _END]:
            try:
                self._require_expected(block)
                self._run(block)
            except (AssertionError, subprocess.SubprocessError, httpx.HTTPError) as error:
                raise AssertionError(f"{self.page.name}, line {block.line}: {error}") from error

    def _require_expected(self, following: Block) -> None:
        """Fail when a request was refused and the page does not go on with that refusal."""
        if self._answer is not None and not following.text.startswith("HTTP/"):
            status, came = self._answer
            assert status < httpx.codes.BAD_REQUEST, f"the request before was answered {status}: {came}"

    def _run(self, block: Block) -> None:
        text = self._filled(block.text)
        if block.mark.startswith("no, see "):
            covered = block.mark.removeprefix("no, see ")
            assert (ROOT / covered).is_file(), f"{covered} is not there to cover this block"
            self._answer = None
            return
        folder = self.folder / (block.mark.removeprefix("in ") if block.mark.startswith("in ") else "")
        match block.language:
            case "bash" | "sh" if block.mark == "service":
                self._start(text)
            case "bash" | "sh":
                self._answer = 0, self._program(["bash", "-euo", "pipefail"], text, folder)
            case "python":
                self._answer = 0, self._program([sys.executable, "-W", "error", "-"], text, folder)
            case "console":
                self._console(text, folder)
            case "http" if text.startswith("HTTP/"):
                self._compare_http(text)
            case "http":
                self._request(text)
            case "json" | "text":
                self._compare(text)
            case _:
                self._answer = None
                return
        self.ran.append(block)

    def _filled(self, text: str) -> str:
        """Put values in the place of `<name>`, and the ports in the place of the documented ones."""
        # The one place where ports are rewritten.
        for documented, used in ((PORT, self.port), (MTLS_PORT, self.mtls_port)):
            text = re.sub(rf"(localhost|127\.0\.0\.1):{documented}\b", rf"\1:{used}", text)
        return _PLACEHOLDER.sub(lambda found: self._value(found[1]) or found[0], text)

    def _value(self, name: str) -> str:
        if name == "admin-jwt-token":
            return (self.folder / "cache/security/admin.token").read_text().strip()
        return self._fields.get("token" if name == "jwt-token" else name.replace("-", "_"), "")

    # -- programs ------------------------------------------------------------------------------

    def _program(self, command: list[str], text: str, folder: Path) -> str:
        done = subprocess.run(
            command, input=text, cwd=folder, env=self.environment, capture_output=True, text=True, timeout=_SECONDS,
            check=False,
        )  # fmt: skip
        output = done.stdout + done.stderr
        assert done.returncode == 0, f"ended with {done.returncode}:\n{text}\n{output}"
        return done.stdout or output

    def _console(self, text: str, folder: Path) -> None:
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            came = self._program(["bash", "-euo", "pipefail"], command, folder)
            self._remember(came)
            if shown.strip():
                require_same(shown, came)
        self._answer = None

    def _start(self, text: str) -> None:
        assert self._service is None, "the page starts a second service"
        command = "\n".join(line for line in text.splitlines() if line and not line.startswith("#"))
        log = (self.folder.parent / "service.log").open("wb")
        with log:
            self._service = subprocess.Popen(
                ["bash", "-euc", f"exec {command}"], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        until = time.monotonic() + _SECONDS
        while not self._ready():
            ended = self._service.poll() is not None or time.monotonic() > until
            assert not ended, f"the service did not start:\n{self._log()}"
            time.sleep(0.01)
        self._answer = 0, self._log()

    def _ready(self) -> bool:
        """Tell whether it answers and has said where it listens, which it does once all of its processes are there."""
        if "Try:" not in self._log():
            return False
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health/ready", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def _log(self) -> str:
        return (self.folder.parent / "service.log").read_text()

    def stop(self) -> None:
        """Stop the service as a user would; it must end well."""
        if self._service is not None:
            self._service.terminate()
            try:
                status = self._service.wait(_SECONDS)
            finally:
                self.abandon()
            assert status == 0, f"the service ended with {status}:\n{self._log()}"

    def abandon(self) -> None:
        """End the service, however."""
        if self._service is not None:
            self._service.kill()
            self._service.wait()

    # -- requests and answers ------------------------------------------------------------------

    def _request(self, text: str) -> None:
        head, _, body = text.partition("\n\n")
        first, *lines = head.strip().splitlines()
        method, path = first.split()[:2]
        headers = {"Host": f"localhost:{self.port}", **dict(line.split(": ", 1) for line in lines)}
        answer = httpx.request(
            method, f"http://127.0.0.1:{self.port}{path}", headers=headers, content=body.strip(), trust_env=False
        )
        self._answer = answer.status_code, answer.text
        self._remember(answer.text)

    def _remember(self, text: str) -> None:
        try:
            fields = msgspec.json.decode(text, type=dict[str, object])
        except msgspec.MsgspecError:
            return
        self._fields |= {name: value for name, value in fields.items() if isinstance(value, str)}

    def _compare(self, shown: str) -> None:
        assert self._answer is not None, "what is shown here follows nothing that was run"
        require_same(shown, self._answer[1])

    def _compare_http(self, shown: str) -> None:
        assert self._answer is not None, "what is shown here follows nothing that was run"
        head, _, body = shown.partition("\n\n")
        status, came = self._answer
        assert status == int(head.split()[1]), f"answered {status}: {came}"
        require_same(body, came)
        self._answer = None


@contextmanager
def opened(page: Path, folder: Path, stand_ins: Mapping[str, str] | None = None) -> Iterator[Page]:
    """Make a fresh checkout below `folder`, ready to run the page; the service it starts ends with the block."""
    checked_out = folder / "checkout"
    checked_out.mkdir()
    with free_port() as port:
        run = Page(page, checkout(checked_out), port, stand_ins or {})
        try:
            yield run
        except BaseException:
            run.abandon()
            raise
        run.stop()

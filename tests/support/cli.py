"""Runs the command line inside the test process, with a stand-in for the service where there is none."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from typing import NamedTuple, Self

import pytest

from tradewarden.cli import main
from tradewarden.cli.client import Reply
from tradewarden.cli.exit_codes import ServiceProblemError

CLIENT_MODULES = (
    "secrets",
    "rotation",
    "rotation_policies",
    "importing",
    "services",
    "tokens",
    "ca",
    "authorities",
    "acme",
    "enrolment",
    "keys",
    "audit",
)


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class _Stdin(io.TextIOWrapper):
    """A stdin that says whether it is a terminal."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


class Cli:
    """Runs commands; `terminal` makes stdin and stdout look like one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def __call__(self, *arguments: str, stdin: str | bytes = "", terminal: bool = False) -> Outcome:
        """Run `tradewarden arguments…` and return how it ended."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        source = _Stdin(io.BytesIO(given), encoding="utf-8")
        source.terminal = terminal
        self._capfd.readouterr()
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", source)
            patch.setattr(sys, "argv", ["tradewarden", *arguments])
            patch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
            try:
                main()
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 0
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = self._capfd.readouterr()
        return Outcome(code, out, err)


class FakeService:
    """Answers calls from a dictionary `"GET /path"` → JSON, or an error to raise; remembers what was asked."""

    def __init__(self, answers: Mapping[str, bytes | ServiceProblemError]) -> None:
        self.answers = dict(answers)
        self.calls: list[tuple[str, Mapping[str, object]]] = []
        self.request_ids: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def get(self, path: str, query: Mapping[str, str | int] | None = None) -> bytes:
        """Answer as the client does."""
        return self._answer(f"GET {path}", query)

    def look(self, path: str) -> Reply:
        """Answer as the client does."""
        return Reply(200, self._answer(f"GET {path}", None))

    def post(self, path: str, body: Mapping[str, object] | None = None) -> bytes:
        """Answer as the client does."""
        return self._answer(f"POST {path}", body)

    def delete(self, path: str, query: Mapping[str, str | int] | None = None) -> bytes:
        """Answer as the client does."""
        return self._answer(f"DELETE {path}", query)

    def _answer(self, call: str, what: Mapping[str, object] | None) -> bytes:
        self.calls.append((call, dict(what or {})))
        answer = self.answers[call]
        if isinstance(answer, ServiceProblemError):
            raise answer
        return answer

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> Self:
        """Have every command talk to this one."""
        for name in CLIENT_MODULES:
            monkeypatch.setattr(f"tradewarden.cli.{name}.connect", lambda _target: self)
        return self

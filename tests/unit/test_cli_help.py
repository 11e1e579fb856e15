"""Help is there at once, for every command."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest
from typer import Context
from typer.core import TyperGroup
from typer.main import get_command

from tests.support.cli import Cli
from tradewarden.cli.commands import COMMANDS
from tradewarden.cli.root import app

PROGRAM = Path(sys.executable).with_name("tradewarden")
HELP_SECONDS = 0.4
HEAVY = ("httpx", "rich", "cryptography", "uvicorn", "starlette", "joserfc", "asyncio", "msgspec")


def _every_command() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    context = Context(root)
    for name in COMMANDS:
        command = root.get_command(context, name)
        found.append((name,))
        if isinstance(command, TyperGroup):
            found += [(name, each) for each in command.commands]
    return found


EVERY_COMMAND = _every_command()


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Commands run in this process."""
    return Cli(monkeypatch, capfd)


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=" ".join)
def test_help_of_every_command(cli: Cli, command: tuple[str, ...]) -> None:
    """Each command explains itself."""
    code, out, _ = cli(*command, "--help")
    assert code == 0
    assert out.startswith("Usage: ")
    assert len(out.splitlines()) > 3


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=" ".join)
def test_usage_names_arguments_once(cli: Cli, command: tuple[str, ...]) -> None:
    """What may be left out stands in one pair of brackets, and nothing is offered that is refused."""
    usage = cli(*command, "--help").out.partition("\n\n")[0]
    assert not re.search(r"\[\[|…|\bmore\b|\[\]", usage)


def test_the_commands_of_the_contract_are_there() -> None:
    """The groups and commands that the documents name exist."""
    there = {" ".join(each) for each in EVERY_COMMAND}
    wanted = {
        "init": [],
        "serve": [],
        "status": [],
        "admin": ["token"],
        "secrets": [
            "get",
            "put",
            "list",
            "history",
            "rollback",
            "delete",
            "undelete",
            "destroy",
            "import",
            "rotate",
            "due",
            "policy",
        ],
        "services": ["add", "list", "show", "remove", "rotate-secret", "permissions"],
        "ca": ["issue", "list", "revoke", "crl", "cert"],
        "tokens": ["issue", "validate", "list", "revoke", "refresh"],
        "audit": ["tail", "search", "verify", "export"],
        "keys": ["list", "rotate", "rotate-root", "rewrap"],
        "migrate": ["scan", "accept", "history", "hook", "plan", "apply", "undo"],
    }
    assert {name for name in there if name and " " not in name} == set(wanted)
    assert there >= {f"{name} {each}" for name, commands in wanted.items() for each in commands}


def test_reading_commands_have_json(cli: Cli) -> None:
    """Every command that reads can answer JSON."""
    without = {"serve", "ca crl", "ca cert"}  # a service; PEM and DER are what they are
    for command in EVERY_COMMAND:
        shown = cli(*command, "--help").out
        if "COMMAND [ARGS]" not in shown and " ".join(command) not in without:
            assert "--json" in shown, command


def test_help_is_fast() -> None:
    """The help takes less than 0.4 s of processor time, the start of Python included."""
    times = []
    for _ in range(5):
        before = os.times()
        subprocess.run([PROGRAM, "--help"], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert median(times) < HELP_SECONDS


def test_help_imports_nothing_heavy() -> None:
    """What commands need is not loaded for the help."""
    code = "import sys, tradewarden.cli.root; print([name for name in sys.argv[1:] if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code, *HEAVY], check=True, capture_output=True, text=True).stdout
    assert ast.literal_eval(shown) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints(shell: str) -> None:
    """Typer's completion script is printed for the shell that asks."""
    environment = {**os.environ, "_TRADEWARDEN_COMPLETE": f"source_{shell}"}
    shown = subprocess.run([PROGRAM], env=environment, capture_output=True, text=True, check=False).stdout
    assert "_TRADEWARDEN_COMPLETE" in shown


def test_completion_knows_commands() -> None:
    """A half-typed command is completed, in a group too."""
    assert "secrets" in _completed("tradewarden sec")
    assert "history" in _completed("tradewarden secrets hi")


def _completed(line: str) -> str:
    environment = {
        **os.environ,
        "_TRADEWARDEN_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    return subprocess.run([PROGRAM], env=environment, capture_output=True, text=True, check=False).stdout


def test_version(cli: Cli) -> None:
    """`--version` prints it and stops."""
    code, out, _ = cli("--version")
    assert code == 0
    assert out.startswith("tradewarden ")

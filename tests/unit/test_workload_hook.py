"""The command that is run after a change: how it is started, and what its failure costs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.service import wait_until
from tests.support.workload import Issuer
from tradewarden.workload.directory import IdentityDirectory
from tradewarden.workload.errors import HookError
from tradewarden.workload.hook import Hook, HookRunner
from tradewarden.workload.pair import Pair

ISSUER = Issuer()
TELL = """
import json, os, sys
told = {"argv": sys.argv[2:], "environment": dict(os.environ), "stdin": sys.stdin.read(), "cwd": os.getcwd()}
open(sys.argv[1], "w").write(json.dumps(told))
"""


@pytest.fixture
def directory(tmp_path: Path) -> IdentityDirectory:
    """One with a pair."""
    made = IdentityDirectory(tmp_path / "identity")
    made.prepare()
    made.put(ISSUER.pair())
    return made


def held(directory: IdentityDirectory) -> Pair:
    """Return what the directory holds."""
    found = directory.read()
    assert found is not None
    return found


def test_starts_it_without_a_shell_and_with_few_names(
    directory: IdentityDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments arrive as they are, secrets of the environment do not, and it learns what changed."""
    monkeypatch.setenv("DATABASE_PASSWORD", "made-up")
    pair, out = held(directory), tmp_path / "told"
    Hook([sys.executable, "-c", TELL, str(out), "$HOME; echo"], directory, 10).run(pair)
    told = json.loads(out.read_text())
    assert told["argv"] == ["$HOME; echo"]
    assert "DATABASE_PASSWORD" not in told["environment"]
    assert told["environment"]["TRADEWARDEN_IDENTITY_SPIFFE_ID"] == pair.spiffe_id
    assert told["environment"]["TRADEWARDEN_IDENTITY_VERSION_DIR"] == str(directory.folder(pair.version))
    assert (told["stdin"], told["cwd"]) == ("", "/")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([sys.executable, "-c", "raise SystemExit(3)"], "exit code 3"),
        ([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], "signal 9"),
        (["/nowhere/at/all"], "cannot be started"),
    ],
)
def test_a_failure_says_how(directory: IdentityDirectory, argv: list[str], says: str) -> None:
    """An exit code, a signal, a program that is not there; and it is due again."""
    hook = Hook(argv, directory, 10)
    with pytest.raises(HookError, match=says):
        hook.run(held(directory))
    assert hook.due(held(directory))


def test_ends_it_with_its_children_when_it_takes_too_long(directory: IdentityDirectory, tmp_path: Path) -> None:
    """What does not end in time is killed, together with what it started."""
    child = tmp_path / "child"
    script = f"sleep 60 & echo $! > {child}; wait"
    with pytest.raises(HookError, match=r"within 0\.5 seconds"):
        Hook(["/bin/sh", "-c", script], directory, 0.5).run(held(directory))
    pid = int(child.read_text())

    def gone() -> bool:
        try:
            return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:4]
        except FileNotFoundError:
            return True

    wait_until(gone, "its child outlives it")


def test_runs_once_for_a_pair(directory: IdentityDirectory, tmp_path: Path) -> None:
    """What was announced with success is not announced again, also by another process; the next pair is."""
    counted = tmp_path / "counted"
    hook = Hook(["/bin/sh", "-c", f"echo >> {counted}"], directory, 10)
    for _ in range(3):
        runner = HookRunner(hook, os.urandom)
        runner.changed(held(directory))
        wait_until(lambda: not hook.due(held(directory)), "it was not run")
        runner.stop()
    assert counted.read_text() == "\n"
    directory.put(ISSUER.pair())
    assert hook.due(held(directory))


def test_a_failing_one_is_run_again(
    directory: IdentityDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs until it succeeds, and nobody waits for it."""
    monkeypatch.setattr("tradewarden.workload.hook.backoff", lambda *_: 0.01)
    good = tmp_path / "good"
    hook = Hook(["/bin/sh", "-c", f"test -e {good}"], directory, 10)
    runner = HookRunner(hook, os.urandom)
    runner.changed(held(directory))
    good.touch()
    wait_until(lambda: not hook.due(held(directory)), "it was not run again")
    runner.stop()


def test_without_a_command_nothing_is_due(directory: IdentityDirectory) -> None:
    """No command, no thread."""
    runner = HookRunner(Hook([], directory, 10), os.urandom)
    runner.changed(held(directory))
    assert runner._thread is None
    runner.stop()


def test_a_running_one_is_ended_at_the_stop(directory: IdentityDirectory, tmp_path: Path) -> None:
    """Stopping waits for what runs, which its time limit bounds; signals of ours do not reach it."""
    began = tmp_path / "began"
    hook = Hook(["/bin/sh", "-c", f"touch {began}; sleep 60"], directory, 1.0)
    runner = HookRunner(hook, os.urandom)
    runner.changed(held(directory))
    wait_until(began.exists, "it was not started")
    runner.stop()
    assert hook.due(held(directory))

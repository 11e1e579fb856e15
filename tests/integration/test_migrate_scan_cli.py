"""`tradewarden migrate scan`, `accept`, `history` and `hook` as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.support.cli import Cli
from tests.support.labelled import made
from tests.support.repositories import NOBODY, Repository, make_malicious

VALUE = made("alnum64", "cli")
LINE = f'BINANCE_API_KEY = "{VALUE}"\n'
ROOT = Path(__file__).resolve().parents[2]
FOUND, CLEAN, USAGE, CONFLICT = 7, 0, 2, 5


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """The command line, in this process."""
    return Cli(monkeypatch, capfd)


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """An empty repository."""
    return Repository(tmp_path / "repo")


def test_a_scan_shows_all_but_the_value(cli: Cli, repo: Repository) -> None:
    """Place, rule, key and destination are shown, and the exit code says that there is something."""
    repo.commit({"bot.py": LINE, "wide.txt": LINE.encode("utf-16")})
    shown = cli("migrate", "scan", str(repo.root))
    assert shown.code == FOUND
    for part in ("bot.py:1", "binance-key", "BINANCE_API_KEY", "binance_credentials.api_key"):
        assert part in shown.out
    assert "Not read: wide.txt" in shown.err
    assert VALUE not in shown.out + shown.err
    answer = json.loads(cli("migrate", "scan", str(repo.root), "--json").out)
    (finding,) = answer["findings"]
    assert finding["destination"] == {"name": "binance_credentials", "field": "api_key"}
    assert VALUE not in json.dumps(answer)


def test_a_clean_tree_is_clean(cli: Cli, repo: Repository) -> None:
    """Without findings the exit code is 0."""
    repo.commit({"bot.py": "import os\n"})
    shown = cli("migrate", "scan", str(repo.root))
    assert (shown.code, shown.out.strip()) == (CLEAN, "No hard-coded credentials were found.")
    assert cli("migrate", "history", str(repo.root)).code == CLEAN
    assert cli("migrate", "scan", str(repo.root / "nowhere")).code == USAGE


def test_accepting_makes_it_clean(cli: Cli, repo: Repository) -> None:
    """An accepted finding is left out by scan, history and hook; when it is gone, its acceptance is called stale."""
    repo.commit({"sub/bot.py": LINE})
    path = ("--path", str(repo.root))
    assert cli("migrate", "accept", "sub/bot.py:2", "--reason", "made up", *path).code == 3
    assert cli("migrate", "accept", "sub/bot.py:1", "--reason", "", *path).code == USAGE
    assert cli("migrate", "accept", "sub/bot.py:1", "--reason", "made up", "--until", "soon", *path).code == USAGE
    done = cli("migrate", "accept", "sub/bot.py:1", "--reason", "made up", "--until", "2999-01-01", *path)
    assert done.code == CLEAN
    assert ".tradewarden" in done.out
    assert cli("migrate", "scan", str(repo.root)).code == CLEAN
    assert cli("migrate", "scan", str(repo.root / "sub")).code == CLEAN
    assert cli("migrate", "history", str(repo.root)).code == CLEAN
    repo.write({"sub/bot.py": "import os\n"})
    assert "No longer found" in cli("migrate", "scan", str(repo.root)).err


def test_history_names_commits_and_where_to_replace(cli: Cli, repo: Repository) -> None:
    """What was deleted is still in the history, and what to do about it is said."""
    first = repo.commit({"bot.py": LINE}, day=3)
    gone = repo.commit({"bot.py": "import os\n"}, day=9)
    shown = cli("migrate", "history", str(repo.root))
    assert shown.code == FOUND
    for part in (first[:10], "2026-01-03", f"removed in {gone[:10]}", "Binance: API Management"):
        assert part in shown.out
    assert VALUE not in shown.out + shown.err
    assert VALUE not in cli("migrate", "history", str(repo.root), "--json").out


def test_the_hook_looks_at_what_is_staged(cli: Cli, repo: Repository) -> None:
    """Not the work tree counts, but what the commit would hold."""
    repo.commit({"bot.py": "import os\n"})
    path = ("--path", str(repo.root))
    repo.write({"bot.py": LINE})
    assert cli("migrate", "hook", *path).code == CLEAN
    repo.git("add", "bot.py")
    repo.write({"bot.py": "import os\n"})
    shown = cli("migrate", "hook", *path)
    assert shown.code == FOUND
    assert VALUE not in shown.out + shown.err
    assert cli("migrate", "hook", "bot.py", *path).code == FOUND
    assert cli("migrate", "hook", "other.py", *path).code == CLEAN


def test_the_installed_hook_stops_a_commit(cli: Cli, repo: Repository) -> None:
    """It is written once, stops the commit of a key, also by `commit -a`, lets others pass, replaces no other hook."""
    repo.commit({"bot.py": "import os\n"})
    path = ("--path", str(repo.root))
    assert cli("migrate", "hook", "--install", *path).code == CLEAN
    assert cli("migrate", "hook", "--install", *path).code == CLEAN
    environment = {**os.environ, **NOBODY}
    commit = ["git", "commit", "-q", "-a", "-m", "x"]
    repo.write({"bot.py": LINE})
    began = time.perf_counter()
    stopped = subprocess.run(commit, cwd=repo.root, env=environment, capture_output=True, text=True, check=False)
    assert stopped.returncode == 1
    assert "BINANCE_API_KEY" in stopped.stdout + stopped.stderr
    assert VALUE not in stopped.stdout + stopped.stderr
    assert time.perf_counter() - began < 5  # a second by itself; others may be busy
    repo.write({"bot.py": "import sys\n"})
    subprocess.run(commit, cwd=repo.root, env=environment, check=True, capture_output=True)
    (repo.root / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh\nexit 0\n")
    assert cli("migrate", "hook", "--install", *path).code == CONFLICT


@pytest.mark.parametrize("how", ["--local", "--global", "environment"])
def test_a_hook_that_git_would_not_run_is_not_called_installed(
    cli: Cli, repo: Repository, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With core.hooksPath set anywhere, git looks elsewhere: refused, with the place and the line for it."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    if how == "environment":
        for name, value in (("COUNT", "1"), ("KEY_0", "core.hooksPath"), ("VALUE_0", ".husky")):
            monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    else:
        subprocess.run(["git", "config", how, "core.hooksPath", ".husky"], cwd=repo.root, check=True)
    shown = cli("migrate", "hook", "--install", "--path", str(repo.root))
    assert shown.code == CONFLICT
    assert str(repo.root / ".husky") in shown.err
    assert not (repo.root / ".git" / "hooks" / "pre-commit").exists()


def test_the_place_that_git_uses_anyway_may_be_named(cli: Cli, repo: Repository) -> None:
    """`core.hooksPath` of the repository's own directory changes nothing."""
    repo.git("config", "core.hooksPath", ".git/hooks")
    assert cli("migrate", "hook", "--install", "--path", str(repo.root)).code == CLEAN


def test_a_hook_is_never_written_into_somebody_elses_repository(cli: Cli, repo: Repository, tmp_path: Path) -> None:
    """A `.git` file can point anywhere; only a work tree that the repository knows gets a hook, like a linked one."""
    repo.commit({"bot.py": "import os\n"})
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / ".git").write_text(f"gitdir: {repo.root / '.git'}\n")
    shown = cli("migrate", "hook", "--install", "--path", str(foreign))
    assert shown.code == CONFLICT
    assert "does not name" in shown.err
    hook = repo.root / ".git" / "hooks" / "pre-commit"
    assert not hook.exists()
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"))
    assert cli("migrate", "hook", "--install", "--path", str(tmp_path / "linked")).code == CLEAN
    assert hook.exists()


def test_asking_for_the_hooks_runs_nothing(cli: Cli, repo: Repository, tmp_path: Path) -> None:
    """A configuration that names programs wherever git lets it."""
    make_malicious(repo, tmp_path / "marker")
    assert cli("migrate", "hook", "--install", "--path", str(repo.root)).code == CONFLICT
    assert not (tmp_path / "marker").exists()


def test_pre_commit_finds_the_hook() -> None:
    """The file that pre-commit reads names a command that exists."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["id"] == "tradewarden-migrate"
    program = Path(sys.executable).with_name("tradewarden")
    done = subprocess.run([program, *hook["entry"].split()[1:], "--help"], capture_output=True, text=True, check=True)
    assert "staged" in done.stdout


def test_without_the_extra_it_says_what_to_install(cli: Cli, repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without detect-secrets nothing is called clean."""
    repo.commit({"bot.py": "import os\n"})
    monkeypatch.setattr("tradewarden.migrate.detector.find_spec", lambda _: None)
    shown = cli("migrate", "scan", str(repo.root))
    assert shown.code == USAGE
    assert "pip install '.[migrate]'" in shown.err
    assert cli("migrate", "hook", "--path", str(repo.root)).code == USAGE

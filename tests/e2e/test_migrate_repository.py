"""A trading repository of seventy files is migrated; its own tests pass before and after, and no credential is left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.support.pages import ROOT
from tests.support.trading_repository import commit, git, leaks, make, snapshot
from tradewarden.migrate.history import history
from tradewarden.secrets.naming import EXCHANGES, exchange_secret, field_variables

_TRADEWARDEN = Path(sys.executable).parent / "tradewarden"
_METHODS = ("env", "encrypted")
_TARGETS = (".env.secure", ".secrets/")


class Repository:
    """The sample, and a shell in it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "helios"
        self.root.mkdir()
        self.values = make(self.root)
        self._environment = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]), "HOME": str(folder),
            "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command in the root; returns what it printed."""
        ran = subprocess.run(command, cwd=self.root, env=self._environment, capture_output=True, text=True, check=False)
        assert ran.returncode == code, f"{command} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}"
        shown = ran.stdout + ran.stderr
        assert not [name for name, value in self.values.items() if value in shown], "a value was shown"
        return shown

    def migrate(self, *arguments: str, code: int = 0) -> str:
        """Run `tradewarden migrate`."""
        return self.run(str(_TRADEWARDEN), "migrate", *arguments, code=code)

    def own_tests(self, method: str = "") -> str:
        """Run the repository's own tests, with what the method wrote."""
        tests = f"{sys.executable} -m pytest -q -p no:cacheprovider -p no:asyncio"
        given = "set -a; . ./.env.secure; set +a; " if method == "env" else ""
        return self.run("bash", "-euc", f"{given}exec {tests}")

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Return every file but those that the methods write."""
        return {name: held for name, held in snapshot(self.root).items() if not name.startswith(_TARGETS)}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A fresh one, with its one commit."""
    return Repository(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("method", _METHODS)
def test_out_of_the_repository_and_back(repository: Repository, method: str) -> None:
    """Plan, apply, its own tests, nothing left, nothing to do again, undo to the byte, and what history keeps."""
    before = repository.files()
    assert len(before) >= 60
    assert sum(content.count(b"\n") for _, content in before.values()) >= 3000
    planned = repository.migrate("plan", "--method", method)
    assert repository.files() == before
    name = re.match(r"Plan ([0-9a-f]{16}):", planned)
    assert name is not None
    assert "Left to you" not in planned

    applied = repository.migrate("apply", "--method", method, "--expect", name[1])
    after = repository.files()
    assert [leak for leak in leaks(repository.root, repository.values) if not leak.startswith(_TARGETS)] == []
    assert not [leak for leak in leaks(repository.root, repository.values) if leak.startswith(".secrets/")]
    assert "22 passed" in repository.own_tests(method)
    assert {mode for mode, _ in after.values()} == {mode for mode, _ in before.values()}
    _require_kept(before, after)

    assert "nothing to move" in repository.migrate("apply", "--method", method)
    assert repository.files() == after
    commit(repository.root, "moved the credentials out")
    assert git(repository.root, "status", "--porcelain") == ""
    kept = {(each.destination, each.field) for each in history(repository.root).kept}
    wanted = {(exchange_secret(each), field) for each in EXCHANGES for field in ("api_key", "api_secret")}
    assert wanted <= kept

    undone = repository.migrate("undo")
    assert undone.count("restored") == applied.count("rewrote")
    assert repository.files() == before
    assert "22 passed" in repository.own_tests()


def _require_kept(before: Mapping[str, tuple[int, bytes]], after: Mapping[str, tuple[int, bytes]]) -> None:
    """Check what a diff does not show at a glance: line ends, a byte order mark, that YAML is still that."""
    assert set(before) == set(after)
    for name, (_, content) in after.items():
        old = before[name][1]
        assert content.startswith(b"\xef\xbb\xbf") == old.startswith(b"\xef\xbb\xbf")
        assert content.count(b"\r\n") == (content.count(b"\n") if b"\r\n" in old else 0)
        if name.endswith((".yml", ".yaml")):
            assert len(list(yaml.safe_load_all(content))) == len(list(yaml.safe_load_all(old)))
    assert before["bots/client.py"] == after["bots/client.py"]


@pytest.mark.slow
def test_the_documented_lines(repository: Repository) -> None:
    """AlphaPulse's three lines, as written, in the root of a repository; then the method both with --apply."""
    script = str(ROOT / "scripts/migrate_secrets.py")
    before = repository.files()
    repository.run("python", script, "--create-template")
    template = (repository.root / ".env.template").read_text()
    lines = [line for line in template.splitlines() if line and not line.startswith("#")]
    assert all(line.endswith("=") for line in lines)
    documented = {*field_variables("database_credentials").values(), "ALPHAPULSE_COINBASE_PASSPHRASE", "VAULT_TOKEN"}
    assert {f"{name}=" for name in documented} <= set(lines)
    repository.run("python", script, "--create-template")
    (repository.root / ".env.template").write_text("MINE=\n")
    assert "not overwritten" in repository.run("python", script, "--create-template", code=5)
    (repository.root / ".env.template").unlink()

    assert "--apply changes them" in repository.run("python", script, "--method", "env", "--output", ".env.secure")
    assert "BINANCE_API_KEY = " not in repository.run("python", script, "--diff").partition("---")[0]
    shown = repository.run("python", script, "--method", "encrypted", "--secrets-dir", ".secrets")
    assert "wrote binance_credentials (.secrets/)" in shown
    assert repository.files() == before
    stored = (repository.root / ".env.secure").read_text()
    assert repository.values["kraken_key"] in stored

    shown = repository.run("python", script, "--method", "both", "--apply")
    assert "is there already: binance_credentials" in shown
    assert "22 passed" in repository.own_tests()
    assert [leak for leak in leaks(repository.root, repository.values) if not leak.startswith(_TARGETS)] == []
    after = repository.files()
    assert "nothing to move" in repository.run("python", script, "--method", "both", "--apply")
    assert repository.files() == after
    repository.migrate("undo")
    assert repository.files() == before


def test_a_place_that_git_would_take_is_refused(repository: Repository) -> None:
    """The script says which line .gitignore needs, with the exit code for a mistake in the settings."""
    script = str(ROOT / "scripts/migrate_secrets.py")
    (repository.root / ".gitignore").write_text("")
    shown = repository.run("python", script, "--method", "env", "--output", ".env.secure", code=2)
    assert "Add the line /.env.secure to" in shown
    assert not (repository.root / ".env.secure").exists()

"""The first start as an operator meets it: the command line, mistakes in its settings, and SIGKILL."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.support.service import PROGRAM, bare_environment, start, stop
from tests.support.wire import Wire

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = "a much longer passphrase"
KILLS = 6
INIT_SECONDS = 30.0


def environment(directory: Path, **more: str) -> dict[str, str]:
    """Return what production is started with."""
    root = {"TRADEWARDEN_ROOT_KEY": "passphrase:", "TRADEWARDEN_PASSPHRASE": PASSPHRASE}
    places = {"ALPHAPULSE_ENV": "production", "TRADEWARDEN_DATA_DIR": str(directory / "data")}
    return {**bare_environment(), **places, **root, **more}


def run(command: str, directory: Path, **more: str) -> tuple[int, str]:
    """Run a command to its end; return its exit code and what it said about it."""
    done = subprocess.run(
        [str(PROGRAM), command],
        env=environment(directory, **more),
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=INIT_SECONDS,
    )
    return done.returncode, done.stderr


def test_init_after_a_mistake_needs_nothing_but_its_correction(tmp_path: Path) -> None:
    """A short passphrase and a CA that is not there are named, exit with 2 and leave nothing; then `init` works."""
    code, told = run("init", tmp_path, TRADEWARDEN_PASSPHRASE="hunter2")
    assert (code, "at least 16 characters" in told) == (2, True), told
    code, told = run("init", tmp_path, CA_CERT_PATH="/nonex/a", CA_KEY_PATH="/nonex/b")
    assert (code, "CA_CERT_PATH (/nonex/a) cannot be read" in told) == (2, True), told
    assert not list(tmp_path.iterdir())
    code, told = run("init", tmp_path)
    assert code == 0, told
    code, told = run("init", tmp_path)
    assert (code, "is initialised already" in told) == (2, True), told


def test_serve_after_a_mistake_needs_nothing_but_its_correction(tmp_path: Path) -> None:
    """In development the failed `serve` leaves nothing in the way of the next one."""
    wrong = {"ALPHAPULSE_ENV": "development", "TRADEWARDEN_ROOT_KEY": "file:/etc/passwd"}
    code, told = run("serve", tmp_path, **wrong)
    assert (code, "/etc/passwd" in told) == (2, True), told
    assert not (tmp_path / "data").exists()
    service = start(tmp_path)
    with Wire(service.url, token=service.admin_token) as admin:
        assert admin.ask("GET", "/health/ready").status == 200
    assert stop(service) == 0


@pytest.mark.parametrize("column", ["role", "state"])
def test_serve_refuses_a_ca_that_was_changed(tmp_path: Path, column: str) -> None:
    """A role or state that there is not is told as what it is, with the exit code for it."""
    assert run("init", tmp_path)[0] == 0
    with closing(sqlite3.connect(tmp_path / "data/secrets/tradewarden.db", isolation_level=None)) as connection:
        connection.execute(f"UPDATE authorities SET {column} = 'abc'")  # noqa: S608
    code, told = run("serve", tmp_path)
    assert (code, "A row of table authorities was changed outside Tradewarden" in told) == (7, True), told


@pytest.mark.crash
@pytest.mark.slow
def test_init_is_finished_by_the_next_one_whenever_it_is_killed(tmp_path: Path) -> None:
    """SIGKILL at instants all over an `init`; the next one finishes it, or says that it was finished already."""
    whole = tmp_path / "whole"
    whole.mkdir()
    began = time.monotonic()
    assert run("init", whole)[0] == 0
    seconds = time.monotonic() - began
    codes = set()
    for number in range(KILLS):
        directory = tmp_path / str(number)
        directory.mkdir()
        killed = subprocess.Popen([str(PROGRAM), "init"], env=environment(directory), stdout=subprocess.DEVNULL)
        # From where the interpreter and its imports are done; the instant is random: there is nothing to wait for.
        time.sleep(seconds * (0.3 + 0.7 * number / KILLS))
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        code, told = run("init", directory)
        codes.add(code)
        assert code == 0 or (code == 2 and "is initialised already" in told), told
        code, told = run("init", directory)
        assert (code, "is initialised already" in told) == (2, True), told
    assert 0 in codes

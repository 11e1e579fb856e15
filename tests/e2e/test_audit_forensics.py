"""Somebody with the database in hand changes the log: `tradewarden audit verify` names what was done, and where."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.service import PROGRAM, Service, wait_until
from tests.support.trial import copy_database, done, keep_checkpoint, live_path
from tests.support.wire import Wire

AT = 7
"""The entry that is tampered with."""
LEAST = 40
OK, FOUND = 0, 7
"""Exit codes of `tradewarden audit verify`."""


class Evidence(NamedTuple):
    """A copy of a live data directory, and what somebody outside kept of the running service."""

    directory: Path
    checkpoint: Path
    public_key: Path
    environment: Mapping[str, str]
    size: int

    def copy(self, directory: Path) -> Evidence:
        """Return another copy, to be tampered with."""
        shutil.copytree(self.directory, directory)
        return self._replace(directory=directory)

    @property
    def database(self) -> Path:
        """The database in the copy."""
        return self.directory / "secrets" / "tradewarden.db"

    def audit(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run `tradewarden audit …` on the copy; return exit code and answer."""
        environment = {**self.environment, "TRADEWARDEN_DATA_DIR": str(self.directory)}
        command = [str(PROGRAM), "audit", *arguments, "--json"]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert ran.returncode in (OK, FOUND), ran.stderr
        return ran.returncode, json.loads(ran.stdout)

    def verify(self, *more: str) -> tuple[int, dict[str, Any]]:
        """Verify the copy against what was kept outside."""
        return self.audit("verify", "--checkpoint", str(self.checkpoint), "--public-key", str(self.public_key), *more)


def size_of(checkpoint: bytes) -> int:
    """Return how many entries a checkpoint signs (C2SP tlog-checkpoint: the second line)."""
    return int(checkpoint.split(b"\n")[1])


@pytest.fixture(scope="module")
def evidence(trial: Service, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """A copy of the directory of the running service, taken under way, and a checkpoint of before."""
    kept: list[bytes] = []
    with Wire(trial.url, token=trial.admin_token) as admin:
        for number in range(LEAST):
            done(admin.ask("POST", "/secrets/store", {"path": f"forensics/{number}", "data": {"n": number}}))

        def enough() -> bool:
            kept[:] = keep_checkpoint(admin)
            return size_of(kept[0]) > LEAST

        wait_until(enough, "no checkpoint covers what was written")
        done(admin.ask("POST", "/secrets/store", {"path": "forensics/after", "data": {}}))
    outside = tmp_path_factory.mktemp("outside")
    (outside / "checkpoint").write_bytes(kept[0])
    (outside / "public_key.pem").write_bytes(kept[1])
    directory = outside / "security"
    shutil.copytree(trial.data_dir, directory, ignore=shutil.ignore_patterns("tradewarden.*", "*.new", ".probe-*"))
    copy_database(trial, directory / live_path(trial).relative_to(trial.data_dir))
    found = Evidence(directory, outside / "checkpoint", outside / "public_key.pem", trial.environment, size_of(kept[0]))
    assert found.copy(outside / "first").verify()[0] == OK
    return found


Tamper = Callable[[sqlite3.Connection, int], None]


def edit(database: sqlite3.Connection, size: int) -> None:
    """Change what an entry tells, in its line and in its columns."""
    del size
    (line,) = database.execute("SELECT line FROM audit_entries WHERE sequence = ?", (AT,)).fetchone()
    told = json.loads(line) | {"user": "service:somebody-else"}
    changed = json.dumps(told, separators=(",", ":")).encode()
    values = (changed, told["user"], AT)
    database.execute("UPDATE audit_entries SET line = ?, principal = ? WHERE sequence = ?", values)


def edit_one_letter(database: sqlite3.Connection, size: int) -> None:
    """Change one letter of a line that stays readable."""
    del size
    (line,) = database.execute("SELECT line FROM audit_entries WHERE sequence = ?", (AT,)).fetchone()
    changed = bytes(line).replace(b'"result":"success"', b'"result":"successs"')
    database.execute("UPDATE audit_entries SET line = ? WHERE sequence = ?", (changed, AT))


def delete(database: sqlite3.Connection, size: int) -> None:
    """Take an entry out."""
    del size
    database.execute("DELETE FROM audit_entries WHERE sequence = ?", (AT,))


def delete_and_close_the_gap(database: sqlite3.Connection, size: int) -> None:
    """Take an entry out and number the rows after it anew."""
    delete(database, size)
    database.execute("UPDATE audit_entries SET sequence = -sequence WHERE sequence > ?", (AT,))
    database.execute("UPDATE audit_entries SET sequence = -sequence - 1 WHERE sequence < 0")


def reorder(database: sqlite3.Connection, size: int) -> None:
    """Let an entry and the next one change places."""
    del size
    for old, new in ((AT, -1), (AT + 1, AT), (-1, AT + 1)):
        database.execute("UPDATE audit_entries SET sequence = ? WHERE sequence = ?", (new, old))


def cut_off(database: sqlite3.Connection, size: int) -> None:
    """Take the end away, and everything that tells of it."""
    end = size - 5
    database.execute("DELETE FROM audit_entries WHERE sequence >= ?", (end,))
    database.execute("DELETE FROM audit_checkpoints WHERE size > ?", (end,))
    database.execute("UPDATE audit_tree SET size = ?", (end,))


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        (edit, "changed"),
        (edit_one_letter, "changed"),
        (delete, "removed"),
        (delete_and_close_the_gap, "removed"),
        (reorder, "reordered"),
    ],
)
def test_what_was_done_to_an_entry_is_named(evidence: Evidence, tmp_path: Path, tamper: Tamper, kind: str) -> None:
    """An entry that was changed, removed or moved in the database is named with its sequence."""
    copy = evidence.copy(tmp_path / "copy")
    with closing(sqlite3.connect(copy.database)) as database, database:
        tamper(database, copy.size)
    code, report = copy.verify()
    assert code == FOUND
    first = report["problems"][0]
    assert (first["kind"], first["first"]) == (kind, AT), report["problems"]


def test_a_cut_off_end_shows_against_a_checkpoint_from_outside(evidence: Evidence, tmp_path: Path) -> None:
    """Where the end and all that told of it are gone, the checkpoint that was kept elsewhere names what is missing."""
    copy = evidence.copy(tmp_path / "copy")
    with closing(sqlite3.connect(copy.database)) as database, database:
        cut_off(database, copy.size)
    code, report = copy.verify()
    assert code == FOUND
    problems = {each["kind"]: each for each in report["problems"]}
    assert (problems["cut_off"]["first"], problems["cut_off"]["last"]) == (copy.size - 5, copy.size - 1)


def swap(lines: list[bytes]) -> list[bytes]:
    """Exchange two lines."""
    return [*lines[:AT], lines[AT + 1], lines[AT], *lines[AT + 2 :]]


@pytest.mark.parametrize(
    ("change", "kind", "at"),
    [
        (lambda lines: [*lines[:AT], lines[AT].replace(b'"user":"', b'"user":"not-'), *lines[AT + 1 :]], "changed", AT),
        (lambda lines: lines[:AT] + lines[AT + 1 :], "removed", AT),
        (swap, "reordered", AT),
        (lambda lines: [*lines[:AT], lines[AT], *lines[AT:]], "added", AT + 1),
        (lambda lines: lines[:LEAST], "cut_off", LEAST),
    ],
    ids=["edited", "deleted", "swapped", "doubled", "truncated"],
)
def test_what_was_done_to_an_export_is_named(
    evidence: Evidence, tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], kind: str, at: int
) -> None:
    """The same holds for an export, which is verified without any of our keys."""
    export = tmp_path / "export"
    copy = evidence.copy(tmp_path / "copy")
    assert copy.audit("export", str(export))[0] == OK
    shutil.rmtree(copy.directory)
    assert copy.verify("--export", str(export))[0] == OK
    entries = export / "entries.jsonl"
    entries.write_bytes(b"".join(change(entries.read_bytes().splitlines(keepends=True))))
    code, report = copy.verify("--export", str(export))
    assert code == FOUND
    assert (report["problems"][0]["kind"], report["problems"][0]["first"]) == (kind, at), report["problems"]


def test_an_older_whole_shows_against_a_newer_checkpoint(evidence: Evidence, trial: Service, tmp_path: Path) -> None:
    """A directory that was put back to an earlier state is whole in itself; a later checkpoint shows what it lacks."""
    with Wire(trial.url, token=trial.admin_token) as admin:
        newer: list[bytes] = []

        def grown() -> bool:
            newer[:] = keep_checkpoint(admin)
            return size_of(newer[0]) > evidence.size + 20

        wait_until(grown, "the log does not grow")
    old = evidence.copy(tmp_path / "copy")
    later = tmp_path / "checkpoint"
    later.write_bytes(newer[0])
    assert old.verify()[0] == OK
    code, report = old._replace(checkpoint=later).verify()
    assert code == FOUND
    assert report["problems"][0]["kind"] == "cut_off"

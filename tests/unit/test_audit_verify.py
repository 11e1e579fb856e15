"""Edits, removals, reorderings and cuts, in the database and in an export: each is named."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from tests.support.audit import ORIGIN, SEAL, SIGNER, VERIFIER, Room
from tradewarden.access.grant import authorize
from tradewarden.access.permission import ALL
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.checkpoint import Checkpoint
from tradewarden.audit.finding import INTEGRITY, UNCLOSED, finding
from tradewarden.audit.store import read_columns
from tradewarden.audit.tiles import extend, range_hash
from tradewarden.audit.tree import leaf_hash
from tradewarden.audit.verify import verify_export, verify_log
from tradewarden.cli import main
from tradewarden.cli.audit import app
from tradewarden.crypto.signers import Signer, Verifier
from tradewarden.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tradewarden.audit.examine import Report
    from tradewarden.storage.database import Transaction

ENTRIES, EARLY = 600, 300
GRANT = authorize(Principal(Kind.USER, "auditor"), ALL, "audit:read")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 600 entries with checkpoints at 300 and 600, closed, and an export of it."""
    directory = tmp_path_factory.mktemp("log")
    asyncio.run(_make(directory))
    return directory


async def _make(directory: Path) -> None:
    room = Room(directory)
    for part in range(2):
        await asyncio.gather(*(room.read(f"secret/{part}/{each}") for each in range(EARLY)))
        await room.settle()
    export = directory / "export"
    export.mkdir()

    await room.log.export(GRANT, lambda name, data: _append(export / name, data))
    for name, size in (("early", EARLY), ("newest", ENTRIES)):
        stored = await room.store.checkpoint(size)
        assert stored is not None
        (directory / name).write_bytes(stored.note)
    await room.close()


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return shutil.copytree(original, tmp_path / "log")


async def _verify(copy: Path, kept: bytes | None = None) -> Report:
    room = Room(copy)
    try:
        return await verify_log(room.store, VERIFIER, kept)
    finally:
        await room.close()


def _sql(copy: Path, *statements: tuple[str, Any]) -> None:
    connection = sqlite3.connect(copy / "secrets" / "tradewarden.db")
    for sql, args in statements:
        connection.execute(sql, args)
    connection.commit()
    connection.close()


def _lines(copy: Path) -> list[bytes]:
    connection = sqlite3.connect(copy / "secrets" / "tradewarden.db")
    rows = connection.execute("SELECT line FROM audit_entries ORDER BY sequence").fetchall()
    connection.close()
    return [row[0] for row in rows]


def _first(report: Report) -> tuple[str, int, int]:
    problem = report.problems[0]
    return problem.kind, problem.first, problem.last


def _verify_by_command(export: Path, *more: str) -> tuple[int, str]:
    ran = CliRunner().invoke(app, ["verify", "--export", str(export), *more])
    return ran.exit_code, ran.output


@pytest.mark.parametrize("grave", [True, False])
async def test_a_fault_that_the_log_tells_of_ends_with_7_until_it_was_seen(tmp_path: Path, grave: bool) -> None:
    """What never arrived or did not verify wants a person, who then says so; a process that died does not."""
    room = Room(tmp_path / "log")
    await room.read("a")
    await room.settle()
    told = finding(0, INTEGRITY if grave else UNCLOSED, "audit/journal/x", "x: what the clerk noticed")

    async def tell(transaction: Transaction) -> None:
        await transaction.record(SEAL.change(told))

    await room.database.transact(tell)
    await room.settle()
    await room.read("b")
    await room.settle()
    report = await verify_log(room.store, VERIFIER)
    assert (report.ok, report.fault, len(report.findings)) == (True, 1 if grave else -1, 1)
    export = tmp_path / "export"
    export.mkdir()
    await room.log.export(GRANT, lambda name, data: _append(export / name, data))
    await room.close()
    code, output = await asyncio.to_thread(_verify_by_command, export)
    assert (code, "--seen 1" in output) == ((7, True) if grave else (0, False)), output
    assert (await asyncio.to_thread(_verify_by_command, export, "--seen", "1"))[0] == 0
    assert (await asyncio.to_thread(_verify_by_command, export, "--seen", "0"))[0] == code


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


async def test_an_untouched_log_is_whole(copy: Path) -> None:
    """Nothing is wrong with a log nobody touched, against every checkpoint of it."""
    for kept in (None, (copy / "early").read_bytes(), (copy / "newest").read_bytes()):
        report = await _verify(copy, kept)
        assert (report.problems, report.findings) == ((), ())
        assert (report.entries, report.size, report.unproven) == (ENTRIES, ENTRIES, 0)
        assert verify_export(copy / "export", VERIFIER, kept).ok


EDIT = "UPDATE audit_entries SET line = CAST(replace(line, 'secret/', 'public/') AS BLOB) WHERE sequence = ?"
REMOVE = "DELETE FROM audit_entries WHERE sequence = ?"
MOVE = "UPDATE audit_entries SET sequence = ? WHERE sequence = ?"


async def test_a_changed_entry_is_named(copy: Path) -> None:
    """The first of several changed entries is named exactly."""
    _sql(copy, (EDIT, (457,)), (EDIT, (123,)), (EDIT, (590,)))
    assert _first(await _verify(copy)) == ("changed", 123, 123)


async def test_a_removed_entry_is_named(copy: Path) -> None:
    """A removed entry is named, and so are several."""
    _sql(copy, (REMOVE, (123,)))
    assert _first(await _verify(copy)) == ("removed", 123, 123)
    _sql(copy, (REMOVE, (124,)))
    assert _first(await _verify(copy)) == ("removed", 123, 124)


async def test_reordered_entries_are_named(copy: Path) -> None:
    """Two entries that changed places are named by the first of the two places."""
    _sql(copy, (MOVE, (9999, 123)), (MOVE, (123, 200)), (MOVE, (200, 9999)))
    assert _first(await _verify(copy)) == ("reordered", 123, 123)


async def test_renumbered_entries_are_named(copy: Path) -> None:
    """Removing one and giving all later ones new numbers is a change from there on."""
    lines = _lines(copy)
    kept = [*lines[:123], *(_renumbered(each, n) for n, each in enumerate(lines[124:], 123))]
    _replace(copy, kept)
    kind, first, _ = _first(await _verify(copy))
    assert (kind, first) == ("changed", 123)


def _renumbered(line: bytes, sequence: int) -> bytes:
    return line[: line.rindex(b":") + 1] + b"%d}" % sequence


def _replace(copy: Path, lines: list[bytes], *, tiles: bool = False) -> bytes:
    """Put other lines into the log, with tiles that fit them if asked for; return their root."""
    leaves = [leaf_hash(each) for each in lines]
    made = extend(0, {}, leaves)
    _sql(copy, ("DELETE FROM audit_entries WHERE sequence >= ?", (len(lines),)))
    connection = sqlite3.connect(copy / "secrets" / "tradewarden.db")
    for sequence, line in enumerate(lines):
        connection.execute("UPDATE audit_entries SET line = ? WHERE sequence = ?", (line, sequence))
    if tiles:
        connection.execute("DELETE FROM audit_tiles")
        rows = [(*place, hashes) for place, hashes in made.items()]
        connection.executemany("INSERT INTO audit_tiles VALUES (?, ?, ?)", rows)
        connection.execute("UPDATE audit_tree SET size = ?", (len(lines),))
    connection.commit()
    connection.close()
    return range_hash(made, (0, len(lines)))


async def test_entries_that_are_cut_off_are_named(copy: Path) -> None:
    """The end that is missing is told from the first missing entry to the last."""
    _sql(copy, ("DELETE FROM audit_entries WHERE sequence >= 590", ()))
    assert _first(await _verify(copy)) == ("cut_off", 590, 599)


async def test_a_change_with_its_tiles_is_narrowed_down(copy: Path) -> None:
    """When every hash was recomputed, the signed checkpoints tell between which of them it happened."""
    lines = _lines(copy)
    lines[457] = lines[457].replace(b"secret/", b"public/")
    _replace(copy, lines, tiles=True)
    report = await _verify(copy)
    assert _first(report) == ("changed", EARLY, ENTRIES - 1)


async def test_a_removal_with_its_tiles_is_named(copy: Path) -> None:
    """When every hash was recomputed over a removal, the entries' own sequences still name it."""
    lines = _lines(copy)
    _replace(copy, [*lines[:123], *lines[124:]], tiles=True)
    assert _first(await _verify(copy)) == ("removed", 123, 123)


async def test_a_cut_with_its_checkpoints_shows_against_a_kept_one(copy: Path) -> None:
    """Cutting the end together with tiles, checkpoints and journals shows only against one kept elsewhere."""
    _replace(copy, _lines(copy)[:EARLY], tiles=True)
    _sql(copy, ("DELETE FROM audit_checkpoints WHERE size > ?", (EARLY,)))
    assert _first(await _verify(copy))[0] == "state"
    _sql(copy, ("DELETE FROM audit_journals", ()))
    assert (await _verify(copy)).ok
    report = await _verify(copy, (copy / "newest").read_bytes())
    assert _first(report) == ("cut_off", EARLY, ENTRIES - 1)


@pytest.mark.parametrize("content", [b"", b"no checkpoint\n", b"a\nb\n\nc\n", b"\xff" * 5000])
async def test_what_is_no_checkpoint_tells_nothing_of_the_log(
    copy: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """A wrong file is a mistake of whoever named it (exit code 2), and no tampering."""
    with pytest.raises(InvalidInputError, match="no signed checkpoint"):
        await _verify(copy, content)
    wrong = copy / "wrong"
    wrong.write_bytes(content)
    arguments = ["audit", "verify", "--export", str(copy / "export"), "--checkpoint", str(wrong)]
    monkeypatch.setattr("sys.argv", ["tradewarden", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2


async def test_a_checkpoint_of_another_key_is_told_as_a_problem(copy: Path) -> None:
    """What has the form and does not verify may be the sign of a log that was replaced."""
    foreign = Checkpoint(ORIGIN, EARLY, bytes(32), "2026-01-01T00:00:00Z").sign(Signer(bytes(32)))
    assert _first(await _verify(copy, foreign))[0] == "checkpoint"


async def test_a_replaced_whole_shows_against_a_kept_checkpoint(copy: Path) -> None:
    """A whole log signed anew with a stolen key shows against a checkpoint kept elsewhere."""
    lines = [each.replace(b"service:bot", b"service:cat") for each in _lines(copy)]
    forged = Checkpoint(ORIGIN, ENTRIES, _replace(copy, lines, tiles=True), "2026-01-01T00:00:00Z")
    _sql(
        copy,
        ("UPDATE audit_entries SET principal = 'service:cat'", ()),
        ("DELETE FROM audit_marks", ()),
        ("DELETE FROM audit_checkpoints", ()),
        ("INSERT INTO audit_checkpoints VALUES (?, 1, ?)", (ENTRIES, forged.sign(SIGNER))),
    )
    assert (await _verify(copy)).ok
    report = await _verify(copy, (copy / "early").read_bytes())
    assert _first(report) == ("changed", 0, EARLY - 1)


async def test_another_key_is_refused(copy: Path) -> None:
    """A log signed by another key than the one given from outside is not taken for ours."""
    room = Room(copy)
    report = await verify_log(room.store, Verifier(Signer(bytes(32)).public_key))
    await room.close()
    assert _first(report)[0] == "checkpoint"
    assert not verify_export(copy / "export", Verifier(Signer(bytes(32)).public_key)).ok


@pytest.mark.parametrize(
    ("sql", "args", "expected"),
    [
        ("UPDATE audit_entries SET principal = 'x' WHERE sequence = ?", (77,), ("columns", 77, 77)),
        ("UPDATE audit_marks SET marks = zeroblob(1000) WHERE tile = ?", (1,), ("columns", 256, 511)),
        ("UPDATE audit_marks SET marks = substr(marks, 1, 7) WHERE tile = ?", (2,), ("columns", 512, 599)),
        ("UPDATE audit_spans SET latest = '2000' WHERE tile = ?", (1,), ("columns", 256, 511)),
        ("UPDATE audit_spans SET earliest = '3000' WHERE tile = ?", (2,), ("columns", 512, 599)),
        ("UPDATE audit_spans SET earliest = x'00' WHERE tile = ?", (0,), ("columns", 0, 255)),
        ("UPDATE audit_spans SET tile = 7 WHERE tile = ?", (1,), ("columns", 256, 511)),
        ("DELETE FROM audit_spans WHERE tile = ?", (0,), ("columns", 0, 255)),
        ("UPDATE audit_tiles SET hashes = zeroblob(8192) WHERE number = ?", (1,), ("tree", 256, 256)),
        ("UPDATE audit_tiles SET hashes = zeroblob(64) WHERE level = ?", (1,), ("tree", 0, 0)),
        ("DELETE FROM audit_tiles WHERE level = ?", (1,), ("tree", 0, 0)),
        ("DELETE FROM audit_checkpoints WHERE size > ?", (0,), ("checkpoint", 0, 0)),
    ],
)
async def test_what_surrounds_the_entries_is_checked(
    copy: Path, sql: str, args: tuple[int, ...], expected: tuple[str, int, int]
) -> None:
    """Changed search columns, marks and spans, tiles and checkpoints are told apart from changed entries."""
    _sql(copy, (sql, args))
    assert _first(await _verify(copy)) == expected


async def test_a_journal_that_is_said_to_have_come_further_is_named(copy: Path) -> None:
    """Who raises its counter has the shipper pass over what it did not bring yet; the log tells what is missing."""
    connection = sqlite3.connect(copy / "secrets" / "tradewarden.db")
    ((boot, counter),) = connection.execute("SELECT boot, counter FROM audit_journals").fetchall()
    connection.close()
    assert counter > 0
    _sql(copy, ("UPDATE audit_journals SET counter = counter + ?", (3,)))
    (problem,) = (await _verify(copy)).problems
    assert problem.kind == "state"
    assert (
        problem.detail
        == f"entries {counter} to {counter + 2} of journal '{boot}' are said to have come, and are not here"
    )


async def test_a_span_tells_which_entries_it_hides(copy: Path) -> None:
    """A span that leaves out some of its tile's entries is told with these, and with what that means."""
    times = [read_columns(each).timestamp for each in _lines(copy)]
    assert times[300] > times[0]
    _sql(copy, ("UPDATE audit_spans SET latest = ? WHERE tile = 1", (times[299],)))
    report = await _verify(copy)
    (problem,) = report.problems
    late = [number for number in range(256, 512) if times[number] > times[299]]
    assert (problem.kind, problem.first, problem.last) == ("columns", late[0], late[-1])
    assert f"{len(late)} of its entries would not be found by time" in problem.detail


def _edited(lines: list[bytes]) -> list[bytes]:
    return [*lines[:123], lines[123].replace(b"secret/", b"public/"), *lines[124:]]


def _removed(lines: list[bytes]) -> list[bytes]:
    return [*lines[:123], *lines[124:]]


def _swapped(lines: list[bytes]) -> list[bytes]:
    return [*lines[:123], lines[124], lines[123], *lines[125:]]


def _put_in(lines: list[bytes]) -> list[bytes]:
    return [*lines[:123], lines[5], *lines[123:]]


def _garbled(lines: list[bytes]) -> list[bytes]:
    return [*lines[:123], b"\xff{", *lines[124:]]


def _cut(lines: list[bytes]) -> list[bytes]:
    return lines[:590]


def _longer(lines: list[bytes]) -> list[bytes]:
    return [*lines, _renumbered(lines[-1], ENTRIES)]


TAMPERED = [
    (_edited, "changed", 123, 123),
    (_removed, "removed", 123, 123),
    (_swapped, "reordered", 123, 123),
    (_put_in, "added", 123, 123),
    (_garbled, "changed", 123, 123),
    (_cut, "cut_off", 590, 599),
    (_longer, "added", 600, 600),
]


@pytest.mark.parametrize(("tamper", "kind", "first", "last"), TAMPERED)
@pytest.mark.parametrize("leaves", ["as exported", "recomputed", "removed"])
def test_a_tampered_export_is_named(
    copy: Path,
    tamper: Callable[[list[bytes]], list[bytes]],
    kind: str,
    first: int,
    last: int,
    leaves: str,
) -> None:
    """Each way of tampering with an export is named, as exactly as what is left of it can prove."""
    export = copy / "export"
    lines = tamper((export / "entries.jsonl").read_bytes().splitlines())
    (export / "entries.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    if leaves == "recomputed":
        (export / "leaves").write_bytes(b"".join(map(leaf_hash, lines)))
    if leaves == "removed":
        (export / "leaves").unlink()
    report = verify_export(export, VERIFIER)
    if leaves != "as exported" and tamper is _edited:
        assert _first(report) == ("changed", 0, EARLY - 1)
        return
    assert _first(report) == (kind, first, last)


def test_changed_leaf_hashes_of_an_export_are_told(copy: Path) -> None:
    """When the entries lead to the signed root, a differing leaf hash is what was changed."""
    path = copy / "export" / "leaves"
    data = bytearray(path.read_bytes())
    data[123 * 32] ^= 1
    path.write_bytes(data)
    assert _first(verify_export(copy / "export", VERIFIER)) == ("tree", 123, 123)


def test_changed_checkpoints_of_an_export_are_told(copy: Path) -> None:
    """A checkpoint whose signature does not hold is a problem, whichever it is."""
    export = copy / "export"
    good = (export / "checkpoint").read_bytes()
    (export / "checkpoint").write_bytes(good.replace(b"600", b"599"))
    assert _first(verify_export(export, VERIFIER))[0] == "checkpoint"
    (export / "checkpoint").write_bytes(good)
    history = (export / "checkpoints.jsonl").read_bytes()
    (export / "checkpoints.jsonl").write_bytes(history.replace(b"300", b"301"))
    assert _first(verify_export(export, VERIFIER))[0] == "checkpoint"


def test_an_exports_digest_does_not_change(original: Path) -> None:
    """The export holds the log's very lines."""
    exported = (original / "export" / "entries.jsonl").read_bytes()
    assert sha256(exported).digest() == sha256(b"\n".join(_lines(original)) + b"\n").digest()

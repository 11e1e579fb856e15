"""The clerk: what was recorded arrives once, in the log, whoever dies in between."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import stat
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tests.support.audit import ORIGIN, SEAL, SIGNER, VERIFIER, Room
from tradewarden.audit.checkpoint import Checkpoint, read_checkpoint
from tradewarden.audit.finding import finding
from tradewarden.audit.frames import FRAME_HEAD
from tradewarden.audit.store import FINISHED, Shipped
from tradewarden.audit.verify import verify_log
from tradewarden.crypto.signers import Signer, Verifier
from tradewarden.errors import ConflictError, IntegrityError, StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tradewarden.audit.store import InboxRow, Leader, Numbering


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    """An audit room over a fresh database."""
    made = Room(tmp_path)
    yield made
    await made.close()


async def _lines(room: Room) -> list[dict[str, Any]]:
    return [json.loads(each.line) for each in await room.store.entries(0, 100_000)]


def _only(room: Room) -> Path:
    (path,) = room.journals.glob("*.journal")
    return path


async def test_reads_and_changes_are_numbered(room: Room) -> None:
    """Journaled reads and committed changes get one sequence from 0, and a signed checkpoint."""
    for each in range(5):
        await room.read(f"a/{each}")
        await room.change(f"b/{each}")
    await room.settle()
    lines = await _lines(room)
    assert [each["sequence"] for each in lines] == list(range(10))
    assert sorted(each["counter"] for each in lines if "boot" in each) == list(range(5))
    assert {each["resource"] for each in lines if "rows" in each} == {f"b/{n}" for n in range(5)}
    note = await room.store.checkpoint()
    assert note is not None
    assert read_checkpoint(note.note, VERIFIER).size == 10
    assert (await verify_log(room.store, VERIFIER)).ok


async def test_a_live_journal_is_followed(room: Room) -> None:
    """A living process's journal is shipped as it grows, never removed, and nothing comes twice."""
    for each in range(30):
        await room.read(f"a/{each}")
        await room.settle()
    assert [each["resource"] for each in await _lines(room)] == [f"a/{n}" for n in range(30)]
    assert _only(room).exists()
    assert room.clerk._shipper.unshipped() == 0
    lag = await room.clerk.lag()
    assert (lag.unnumbered, lag.oldest_seconds) == (0, 0)


async def test_lag_is_told(room: Room) -> None:
    """What waits is told in bytes, entries and seconds."""
    await room.read("a")
    await room.change("b")
    room.clock.ahead += 5
    lag = await room.clerk.lag()
    assert lag.unshipped_bytes > 200
    assert lag.unnumbered == 1
    assert lag.oldest_seconds >= 5


async def test_an_orphan_is_shipped_and_removed(room: Room) -> None:
    """A closed journal of a process that is gone is shipped and then removed, without a finding."""
    await room.read("a")
    await room.journal.close()
    await room.settle()
    assert list(room.journals.iterdir()) == []
    assert [each["action"] for each in await _lines(room)] == ["secrets:read"]


async def _die(room: Room) -> None:
    """Let the journal's file go as a kill does: no closing frame."""
    segment = room.journal._segment
    assert segment is not None
    os.close(segment.descriptor)
    room.journal._segment = None


@pytest.mark.parametrize("rest", [0, 10, 100])
async def test_a_torn_end_is_told(room: Room, rest: int) -> None:
    """After a kill every whole frame arrives, and the log tells how the journal ended."""
    await room.read("a")
    size = _only(room).stat().st_size
    await room.read("b")
    await _die(room)
    os.truncate(_only(room), size + rest)
    await room.settle()
    lines = await _lines(room)
    actions = ["audit.torn" if rest else "audit.unclosed", "secrets:read"]
    assert sorted(each["action"] for each in lines) == actions
    assert not rest or f"{rest} bytes" in str(lines)
    assert list(room.journals.iterdir()) == []


@pytest.mark.parametrize("alive", [True, False])
async def test_a_journal_cut_below_what_arrived_is_told(room: Room, alive: bool) -> None:
    """What came after that is gone, answered or not: the file is put aside, and the log tells of it as damage."""
    for each in range(5):
        await room.read(f"a/{each}")
    await room.settle()
    whole = _only(room).stat().st_size
    await room.read("gone")
    if not alive:
        await _die(room)
    os.truncate(_only(room), whole // 2)
    for _ in range(5):
        await room.clerk.run_once()
    found = [each for each in await _lines(room) if each["action"] != "secrets:read"]
    assert [each["action"] for each in found] == ["audit.integrity"]
    assert f"and had {whole}; what followed counter 5 is gone" in found[0]["reason"]
    assert [each.suffix for each in room.journals.iterdir()] == [".damaged"]
    assert len(await _lines(room)) == 6


async def test_zeros_after_a_power_cut_are_a_torn_end(room: Room) -> None:
    """What a file system leaves of an unsynced write is a torn end, not damage."""
    await room.read("a")
    await _die(room)
    with _only(room).open("ab") as file:
        file.write(bytes(5000))
    await room.settle()
    assert sorted(each["action"] for each in await _lines(room)) == ["audit.torn", "secrets:read"]


@pytest.mark.parametrize("alive", [True, False])
async def test_a_damaged_journal_is_put_aside(room: Room, alive: bool) -> None:
    """A changed frame is a finding; the file is kept aside, and its process goes on in a new one."""
    await room.read("a")
    size = _only(room).stat().st_size
    await room.read("b")
    await room.read("c")
    if not alive:
        await _die(room)
    with _only(room).open("r+b") as file:
        file.seek(size + FRAME_HEAD.size + 5)
        file.write(b"X")
    for _ in range(3):
        await room.settle()
    assert [each.suffix for each in room.journals.iterdir()] == [".damaged"]
    if alive:
        await room.read("d")
        await room.settle()
        assert " ".join(e["resource"] for e in await _lines(room) if "boot" in e) == "a d"
    findings = [each for each in await _lines(room) if each["action"] == "audit.integrity"]
    assert len(findings) == 1 + alive
    assert "does not verify from byte" in findings[0]["reason"]
    assert not alive or "entries 1 to 2 of this journal never arrived" in findings[1]["reason"]
    assert (await verify_log(room.store, VERIFIER)).findings


async def test_a_changed_length_is_damage(room: Room) -> None:
    """A frame whose length was changed to swallow the rest is not taken for a torn end."""
    await room.read("a")
    size = _only(room).stat().st_size
    await room.read("b")
    await room.read("c")
    await _die(room)
    with _only(room).open("r+b") as file:
        file.seek(size + 16)
        file.write(b"\x00\xff")
    await room.settle()
    assert [each.suffix for each in room.journals.iterdir()] == [".damaged"]


async def test_a_file_that_is_no_journal_is_put_aside(room: Room) -> None:
    """A file with a journal's name and foreign content is a finding, never a crash."""
    (room.journals / "00ff-000000.journal").write_bytes(b"hello")
    await room.read("a")
    await room.settle()
    await room.settle()
    actions = sorted(each["action"] for each in await _lines(room))
    assert actions == ["audit.integrity", "secrets:read"]


async def test_what_is_no_file_is_put_aside_and_keeps_no_other_back(room: Room) -> None:
    """A link, a loop of links, a directory, a pipe, a socket with a journal's name is a finding; others are shipped."""
    (room.journals / "00aa-000000.journal").symlink_to("/dev/zero")
    (room.journals / "00bb-000000.journal").mkdir()
    (room.journals / "00cc-000000.journal").symlink_to("00cc-000000.journal")
    os.mkfifo(room.journals / "00dd-000000.journal")
    os.mknod(room.journals / "00ee-000000.journal", stat.S_IFSOCK | 0o600)
    (room.journals / os.fsdecode(b"\xff.journal")).mkdir()
    await room.read("a")
    assert (await room.clerk.lag()).unshipped_bytes > 0
    await room.settle()
    await room.settle()
    actions = sorted(each["action"] for each in await _lines(room))
    assert actions == [*["audit.integrity"] * 6, "secrets:read"]
    assert len(list(room.journals.glob("*.damaged"))) == 6
    assert len(list(room.journals.glob("*.journal"))) == 1


async def test_what_is_no_file_is_not_taken_for_an_unfinished_one(room: Room) -> None:
    """A loop of links or a pipe with the name of an unfinished journal stops nothing."""
    (room.journals / "00cc-000000.new").symlink_to("00cc-000000.new")
    os.mkfifo(room.journals / "00dd-000000.new")
    room.clock.ahead += 100
    await room.read("a")
    await room.settle()
    assert [each["resource"] for each in await _lines(room)] == ["a"]


@pytest.mark.parametrize("name", ["{boot}-000000-copy", "{boot}-000001", "{boot}-000000.journal", "ab-000000", "z"])
async def test_a_copy_of_a_live_journal_takes_nothing_from_it(room: Room, name: str) -> None:
    """A journal under another name than its header's is no orphan: it is put aside, and the live one is shipped on."""
    await room.read("a")
    await room.settle()
    live = _only(room)
    shutil.copy(live, live.with_name(name.format(boot=room.journal.boot.hex()) + ".journal"))
    await room.settle()
    for each in range(10):
        await room.read(f"b/{each}")
    await room.settle()
    await room.journal.close()
    await room.settle()
    found = await _lines(room)
    assert [each["resource"] for each in found if "boot" in each] == ["a", *(f"b/{n}" for n in range(10))]
    assert ["does not verify under this name" in e["reason"] for e in found if "boot" not in e] == [True]
    assert [each.suffix for each in room.journals.iterdir()] == [".damaged"]


async def _say_finished(room: Room) -> None:
    """Say of the journal, as whoever took something else for it would, that it has arrived whole."""
    state = await room.store.shipped(room.journal.boot.hex())
    assert state is not None
    assert await room.store.ship(state, replace(state, offset=FINISHED), [], [])


@pytest.mark.parametrize("alive", [True, False])
async def test_no_file_is_removed_unread(room: Room, alive: bool) -> None:
    """A file that is said to have arrived, and holds more, is put aside and told of, never removed."""
    await room.read("a")
    await room.settle()
    await _say_finished(room)
    await room.settle()
    assert _only(room).exists()
    await room.read("b")
    if not alive:
        await room.journal.close()
    await room.settle()
    (aside,) = room.journals.iterdir()
    assert aside.suffix == ".damaged"
    assert b'"resource":"b"' in aside.read_bytes()
    if alive:
        await room.read("c")
        await room.settle()
    findings = [each["reason"] for each in await _lines(room) if each["action"] == "audit.integrity"]
    assert "entries from 1 on never arrived" in findings[0]
    assert len(findings) == 1 + alive
    assert {"c"} & {each["resource"] for each in await _lines(room)} == ({"c"} if alive else set())


async def test_a_file_that_was_put_in_the_place_of_another_is_not_removed_for_it(room: Room) -> None:
    """The file that arrived is what goes; whatever stands under its name by then is read first."""
    await room.read("a")
    await room.settle()
    path = _only(room)
    path.rename(room.directory / "moved")
    path.write_bytes(b"something else")
    await room.journal.close()
    await room.settle()
    await room.settle()
    (aside,) = room.journals.iterdir()
    assert aside.read_bytes() == b"something else"


async def test_a_file_from_before_is_told(room: Room) -> None:
    """A segment that comes back after its journal has gone on is put aside and told of."""
    await room.read("a")
    await room.settle()
    old = _only(room)
    kept = old.read_bytes()
    old.unlink()
    await room.settle()
    await room.read("b")
    await room.settle()
    old.write_bytes(kept)
    await room.settle()
    findings = [each["reason"] for each in await _lines(room) if each["action"] == "audit.integrity"]
    assert len(findings) == 2
    assert "segment 1 of its journal arrived before it" in findings[1]
    assert old.with_suffix(".damaged").exists()


async def test_what_cannot_be_put_aside_is_told_once(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a foreign file cannot be moved it is a fault, but no finding in every round."""
    (room.journals / "00ff-000000.journal").write_bytes(b"hello")

    def refuse(*_: object) -> None:
        raise PermissionError("not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(type(room.journals), "rename", refuse)
        for _ in range(3):
            assert (await room.clerk.run_once()).faults
    await room.settle()
    assert [each["action"] for each in await _lines(room)] == ["audit.integrity"]
    assert list(room.journals.glob("*.damaged"))


@pytest.mark.parametrize("times", [1, 3])
async def test_a_finding_is_recorded_before_its_file_is_put_aside(
    room: Room, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """When another shipper records something meanwhile it is tried again."""
    (room.journals / "00ff00ff00ff00ff-000000.journal").write_bytes(b"rubbish" * 10)
    shipped, left = room.store.shipped, times

    async def overtaken(boot: str) -> Shipped | None:
        nonlocal left
        state = await shipped(boot)
        if boot == "shipper" and left:
            left -= 1
            await room.store.ship(state, Shipped(boot, 0, 0, (state.offset if state else 0) + 1), [], [])
        return state

    monkeypatch.setattr(room.store, "shipped", overtaken)
    await room.settle()
    assert ["does not verify" in each["reason"] for each in await _lines(room)] == [True]
    assert [each.suffix for each in room.journals.iterdir() if "00ff" in each.name] == [".damaged"]


async def test_a_finding_that_cannot_be_recorded_leaves_its_file(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries have an end, which is a fault; the file stays until its finding is in."""
    foreign = room.journals / "00ff00ff00ff00ff-000000.journal"
    foreign.write_bytes(b"rubbish")
    with monkeypatch.context() as patch:
        patch.setattr(room.store, "ship", _refuse_all)
        assert any("could not be recorded" in each for each in (await room.clerk.run_once()).faults)
    assert foreign.exists()
    await room.settle()
    assert not foreign.exists()


async def _refuse_all(*_: object) -> bool:
    return False


async def test_a_living_log_is_verified_while_it_grows(room: Room) -> None:
    """Verifying beside the clerk sees nothing wrong, whatever arrives meanwhile."""
    for _ in range(10):
        await asyncio.gather(*(room.read("a") for _ in range(300)))
        room.clock.ahead += 2
        report, progress = await asyncio.gather(verify_log(room.store, VERIFIER), room.clerk.run_once())
        assert (report.problems, progress.faults) == ((), ())


async def test_files_are_private(room: Room) -> None:
    """Nobody else can read a journal or enter its directory."""
    assert room.journals.stat().st_mode & 0o777 == 0o700
    assert _only(room).stat().st_mode & 0o777 == 0o600


async def test_what_a_dying_process_left_unnamed_is_removed(room: Room) -> None:
    """A file that never got its name holds nothing, and goes after a minute."""
    left = room.journals / "00cc-000000.new"
    left.write_bytes(b"")
    await room.settle()
    assert left.exists()
    room.clock.ahead += 100
    await room.settle()
    assert not left.exists()


async def test_a_journal_that_vanishes_is_told(room: Room) -> None:
    """A journal that is removed before all of it arrived leaves a finding."""
    await room.read("a")
    await room.settle()
    _only(room).unlink()
    await room.settle()
    await room.settle()
    assert [each["action"] for each in await _lines(room)][1:] == ["audit.integrity"]
    await room.another_clerk().settle()
    assert len(await _lines(room)) == 2


async def test_a_journal_that_vanished_while_no_clerk_worked_is_told(room: Room) -> None:
    """The first round of a clerk finds the journals that are not at their end and have no file; each is told once."""
    await room.read("a")
    await room.settle()
    path = _only(room)
    room.clerk._shipper.close()
    room.clerk = room.another_clerk()
    await room.settle()
    assert len(await _lines(room)) == 1
    room.clerk._shipper.close()
    kept = path.rename(room.directory / "kept")
    room.clerk = room.another_clerk()
    await room.settle()
    await room.another_clerk().settle()
    (told,) = (await _lines(room))[1:]
    assert (told["action"], told["resource"]) == ("audit.integrity", f"audit/journal/{path.name}")
    assert "was taken away before all of it arrived, at counter 1" in told["reason"]
    kept.rename(path)
    await room.read("b")
    await room.settle()
    assert [each["resource"] for each in await _lines(room) if "boot" in each] == ["a", "b"]


async def test_journals_at_their_end_are_not_missed(room: Room) -> None:
    """A journal that was closed, shipped and removed is not told of by the next clerk."""
    await room.read("a")
    await room.journal.close()
    await room.settle()
    room.clerk = room.another_clerk()
    await room.settle()
    assert len(await _lines(room)) == 1


async def test_dying_between_shipping_and_removing_ships_once(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shipper that dies before it removes the file is followed by one that ships nothing again."""
    for each in range(10):
        await room.read(f"a/{each}")
    await room.journal.close()
    shipper = room.clerk._shipper

    def die(*_: object, **__: object) -> bool:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(shipper, "_clear", die)
        assert (await room.clerk.run_once()).faults
    shipper.close()
    assert _only(room).exists()
    room.clerk = room.another_clerk()
    room.clock.ahead += 30
    await room.settle()
    assert list(room.journals.iterdir()) == []
    assert len(await _lines(room)) == 10


async def test_two_shippers_ship_once(room: Room) -> None:
    """Two clerks on one directory and one database: each entry arrives once."""
    clerks = [room.clerk, room.another_clerk()]
    for each in range(20):
        await asyncio.gather(*(room.read(f"a/{each}/{n}") for n in range(10)))
        await asyncio.gather(*(clerk.run_once() for clerk in clerks))
    for clerk in clerks:
        await clerk.run_once()
    names = [each["resource"] for each in await _lines(room)]
    assert sorted(names) == sorted(f"a/{e}/{n}" for e in range(20) for n in range(10))
    clerks[1]._shipper.close()


async def test_a_faster_shipper_is_no_fault(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes second to a chunk lets the file go and begins anew; nothing is asked of a closed file."""
    second = room.another_clerk()
    ship = room.store.ship

    async def after_the_other(
        before: Shipped | None, after: Shipped, rows: Sequence[InboxRow], notes: Sequence[bytes]
    ) -> bool:
        monkeypatch.setattr(room.store, "ship", ship)
        assert (await second.run_once()).faults == ()
        return await ship(before, after, rows, notes)

    await room.read("a/1")
    monkeypatch.setattr(room.store, "ship", after_the_other)
    assert (await room.clerk.run_once()).faults == ()
    await room.read("a/2")
    assert (await room.clerk.run_once()).faults == ()
    await second.run_once()
    assert [each["resource"] for each in await _lines(room)] == ["a/1", "a/2"]
    second._shipper.close()


@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("times", [1, 3])
async def test_a_batch_that_fails_arrives_later_once(
    room: Room, monkeypatch: pytest.MonkeyPatch, times: int, arrives: bool
) -> None:
    """Whether a batch fails before or after it was taken in (a full disk, a lock): all of it is in the log, once."""
    ship, left = room.store.ship, times

    async def failing(before: Shipped | None, after: Shipped, rows: Sequence[InboxRow], notes: Sequence[bytes]) -> bool:
        nonlocal left
        if not left:
            return await ship(before, after, rows, notes)
        left -= 1
        if arrives:
            await ship(before, after, rows, notes)
        raise StorageUnavailableError("The database cannot be written now", reason="disk is full")

    await room.read("a/1")
    await room.settle()
    monkeypatch.setattr(room.store, "ship", failing)
    for number in range(2, 2 + times):
        await room.read(f"a/{number}")
        assert (await room.clerk.run_once()).faults
    await room.read("a/last")
    await room.journal.close()
    await room.settle()
    found = await _lines(room)
    assert [each["resource"] for each in found] == [*(f"a/{n}" for n in range(1, 2 + times)), "a/last"]
    assert not list(room.journals.iterdir())


async def test_the_end_waits_for_who_reads(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clerk that finishes while somebody waits for the log to settle closes no file under that one's hands."""
    await room.read("a/1")
    resign, settling = room.clerk.resign, asyncio.Event()

    async def slowly() -> None:
        settling.set()
        await asyncio.sleep(0)
        await resign()

    shipped = room.store.shipped

    async def give_way(boot: str) -> Shipped | None:
        for _ in range(20):
            await asyncio.sleep(0)
        return await shipped(boot)

    monkeypatch.setattr(room.clerk, "resign", slowly)
    ending = asyncio.create_task(room.clerk.finish())
    await settling.wait()
    await room.read("a/2")
    monkeypatch.setattr(room.store, "shipped", give_way)
    await asyncio.gather(ending, room.clerk.settle())
    assert {each["resource"] for each in await _lines(room)} == {"a/1", "a/2"}


async def test_lag_passes_over_a_journal_that_goes(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that another shipper removes between two looks at the directory is nothing to count."""
    await room.read("a/1")
    (path,) = room.journals.glob("*.journal")
    gone = path.with_name("gone.journal")
    monkeypatch.setattr(type(path), "glob", lambda *_: iter([gone, path]))
    assert (await room.clerk.lag()).unshipped_bytes == path.stat().st_size


async def test_a_fenced_leader_writes_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader that slept past its lease finds its epoch over inside its own transaction."""
    await room.change("a")
    other = room.another_clerk()
    number = room.store.number
    slept: list[int] = []

    async def asleep(leader: Leader, numbering: Numbering) -> None:
        if not slept:
            slept.append(leader.epoch)
            room.clock.ahead += 60
            assert (await other.run_once()).leads
        await number(leader, numbering)

    monkeypatch.setattr(room.store, "number", asleep)
    late = await room.clerk.run_once()
    assert (late.numbered, late.leads) == (0, False)
    assert late.faults
    assert not (await room.clerk.run_once()).leads
    assert len(await _lines(room)) == 1
    report = await verify_log(room.store, VERIFIER)
    assert report.ok


async def test_a_checkpoint_needs_the_lead(room: Room) -> None:
    """Signing with an epoch that is over is refused."""
    await room.change("a")
    await room.settle()
    old = room.clerk._leader
    assert old is not None
    room.clock.ahead += 60
    other = room.another_clerk()
    await other.run_once()
    with pytest.raises(ConflictError):
        await room.clerk._checkpointer._store.thin(old, 10**6)
    other._shipper.close()


async def test_a_forged_inbox_row_is_a_finding(room: Room) -> None:
    """What somebody writes into the inbox, or changes there, is numbered as a finding in its place."""
    await room.change("a")
    await room.read("b")
    await room.clerk._shipper.run_once()
    connection = sqlite3.connect(room.path)
    forged = finding(0, "secrets:write", "forged", "a line as good as ours under another line's seal")
    connection.execute("INSERT INTO audit_inbox (batch) VALUES (?)", (SEAL.change(b"{}")[:32] + forged,))
    connection.execute("INSERT INTO audit_inbox (batch) VALUES (?)", (b"",))
    connection.execute("INSERT INTO audit_inbox (journal, first, count, batch) SELECT journal, first + 1, count, batch"
                       " FROM audit_inbox WHERE journal <> ''")  # fmt: skip
    connection.execute("UPDATE audit_inbox SET journal = 'no hex' WHERE id = 1")
    connection.commit()
    connection.close()
    await room.settle()
    actions = [each["action"] for each in await _lines(room)]
    assert actions == ["audit.integrity", "secrets:read", *["audit.integrity"] * 3]
    report = await verify_log(room.store, VERIFIER)
    assert report.ok
    assert [each.sequence for each in report.findings] == [0, 2, 3, 4]


async def test_changes_of_one_group_share_a_row_and_no_seal(room: Room) -> None:
    """Entries committed together are one inbox row; damage to one is a finding in its place, the others stand."""
    await asyncio.gather(*[room.change(f"a/{each}") for each in range(4)])
    connection = sqlite3.connect(room.path)
    ((row, count, batch),) = connection.execute("SELECT id, count, batch FROM audit_inbox").fetchall()
    assert count == 4
    forged = batch.replace(b'"a/2"', b'"b/2"')
    connection.execute("UPDATE audit_inbox SET batch = ? WHERE id = ?", (forged, row))
    connection.execute("INSERT INTO audit_inbox (count, batch) VALUES (2, ?), (0, ?)", (batch[:-1], b"\x90"))
    connection.commit()
    connection.close()
    await room.settle()
    told = [(each["action"], each["resource"]) for each in await _lines(room)]
    assert [told[each] for each in (0, 1, 3)] == [("secrets:write", f"a/{each}") for each in (0, 1, 3)]
    assert [each[0] for each in told[2:3] + told[4:]] == ["audit.integrity"] * 3
    assert (await room.store.backlog()).entries == 0


async def test_a_batch_that_is_shipped_again_is_told(room: Room) -> None:
    """A sealed batch that somebody copies back into the inbox shows as a second time."""
    await room.read("a")
    await room.clerk._shipper.run_once()
    connection = sqlite3.connect(room.path)
    connection.execute("INSERT INTO audit_inbox (journal, first, count, batch) SELECT journal, first, count, batch"
                       " FROM audit_inbox")  # fmt: skip
    connection.commit()
    connection.close()
    await room.settle()
    (finding,) = (await verify_log(room.store, VERIFIER)).findings
    assert "second time" in finding.detail


async def test_nothing_is_signed_over_a_changed_tree(room: Room) -> None:
    """A tree that denies an earlier checkpoint is never signed; the clerk says so and numbers on."""
    for each in range(5):
        await room.change(f"a/{each}")
    await room.settle()
    connection = sqlite3.connect(room.path)
    connection.execute("UPDATE audit_tiles SET hashes = zeroblob(160) WHERE level = 0")
    connection.commit()
    connection.close()
    await room.change("b")
    room.clock.ahead += 2
    progress = await room.clerk.run_once()
    assert progress.numbered == 1
    assert progress.checkpoint is None
    assert "does not contain the checkpoint of size 5" in progress.faults[0]


async def test_checkpoints_come_once_a_second_and_are_thinned(room: Room) -> None:
    """At most one checkpoint a second; after a day one an hour is kept."""
    for each in range(6):
        await room.change(f"a/{each}")
        room.clock.ahead += 0.4
        await room.clerk.run_once()
    kept = await room.store.checkpoints(0, 100)
    assert len(kept) == 2 or len(kept) == 3
    room.clock.ahead += 26 * 3600
    await room.change("b")
    await room.settle()
    await room.change("c")
    await room.settle()
    kept = await room.store.checkpoints(0, 100)
    hours = [each.hour for each in kept]
    assert len(hours[:-2]) == len(set(hours[:-2]))


async def test_the_end_leaves_everything_in_the_log_and_signed(room: Room) -> None:
    """However short a time ago the last checkpoint was; and the next clerk leads at once."""
    for each in range(20):
        await room.read(f"a/{each}")
        if each in (5, 10):
            await room.clerk.run_once()
    await room.clerk.finish()
    assert len(await _lines(room)) == 20
    newest = await room.store.checkpoint()
    assert newest is not None
    assert newest.size == 20
    assert (await room.another_clerk().run_once()).leads


def test_a_checkpoint_is_what_was_signed() -> None:
    """A signed note reads back; another key, another byte or no signature is refused."""
    checkpoint = Checkpoint(ORIGIN, 7, bytes(32), "2026-01-15T10:30:00.000000Z")
    note = checkpoint.sign(SIGNER)
    assert read_checkpoint(note, VERIFIER) == checkpoint
    witnessed = note + "— witness.example Zm9vYmFy\n".encode()
    assert read_checkpoint(witnessed, VERIFIER) == checkpoint
    other = Verifier(Signer(bytes(32)).public_key)
    bad = (note.replace(b"\n7\n", b"\n8\n"), note.split("—".encode())[0], b"", note[:-5], b"\n\n")
    for each, verifier in ((note, other), *((each, VERIFIER) for each in bad)):
        with pytest.raises(IntegrityError):
            read_checkpoint(each, verifier)

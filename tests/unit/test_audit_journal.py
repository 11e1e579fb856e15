"""The journal: nothing is answered before it stands, and nothing that was answered is lost."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.audit import SEAL, TestClock, cipher
from tradewarden.audit import frames
from tradewarden.audit import journal as journal_module
from tradewarden.audit.entry import Auditor, EventType, Origin
from tradewarden.audit.frames import FRAME_HEAD, step
from tradewarden.audit.journal import MAX_FRAME_LINES, SEGMENT_BYTES, Journal
from tradewarden.audit.reading import JournalReader, Tail
from tradewarden.audit.shipping import Shipper
from tradewarden.errors import AuditUnavailableError, PermissionDeniedError
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_audit import MemoryAuditStore

if TYPE_CHECKING:
    from collections.abc import Iterator

ORIGIN = Origin("10.0.0.1", "tests", "r-1")


def _journal(
    directory: Path,
    clock: TestClock | None = None,
    *,
    sync: bool = False,
    segment_bytes: int = SEGMENT_BYTES,
) -> Journal:
    return Journal(directory, clock or TestClock(), os.urandom, cipher(), sync, segment_bytes)


def _paths(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.journal"))


def _read(path: Path) -> tuple[list[bytes], Tail]:
    reader = JournalReader(path, cipher())
    lines: list[bytes] = []
    tail = Tail.MORE
    while tail is Tail.MORE:
        frames, tail = reader.read(100)
        lines += [line for frame in frames for line in frame.lines.split(b"\n")]
    reader.close()
    return lines, tail


def _only(directory: Path) -> Path:
    (path,) = _paths(directory)
    return path


@pytest.mark.parametrize("sync", [False, True])
async def test_records_stand_in_order(tmp_path: Path, sync: bool) -> None:
    """What is recorded stands in the file, in order, and a closed journal says that it was closed."""
    journal = _journal(tmp_path, sync=sync)
    events = [b'{"n":%d}' % each for each in range(100)]
    await asyncio.gather(*(journal.record(each) for each in events[:50]))
    for each in events[50:]:
        await journal.record(each)
    await journal.close()
    assert _read(_only(tmp_path)) == (events, Tail.CLOSED)


async def test_one_turn_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that one turn of the loop gathered is written at once, before any of it is answered."""
    journal = _journal(tmp_path)
    writes = []
    pwrite = os.pwrite

    def counted(descriptor: int, data: bytes, offset: int) -> int:
        writes.append(data)
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", counted)
    await asyncio.gather(*(journal.record(b"{}") for _ in range(64)))
    assert len(writes) == 1
    assert journal.counter == 64
    await journal.close()


async def test_a_very_large_turn_is_several_frames(tmp_path: Path) -> None:
    """What one turn gathered beyond a frame's limit goes into further frames, all before the answer."""
    journal = _journal(tmp_path)
    await asyncio.gather(*(journal.record(b"{}") for _ in range(2 * MAX_FRAME_LINES + 5)))
    assert journal.counter == 2 * MAX_FRAME_LINES + 5
    await journal.close()
    assert len(_read(_only(tmp_path))[0]) == 2 * MAX_FRAME_LINES + 5


async def test_the_key_only_goes_forward(tmp_path: Path) -> None:
    """After each frame the process holds the next key only, from which there is no way back."""
    journal = _journal(tmp_path)
    segment = journal._segment
    assert segment is not None
    keys = [segment._chain._key]
    for _ in range(3):
        await journal.record(b"{}")
        keys.append(segment._chain._key)
    assert len(set(keys)) == 4
    assert [step(each, frames._NEXT_FRAME) for each in keys[:-1]] == keys[1:]
    await journal.close()


async def test_with_sync_nothing_is_answered_before_the_disk_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer waits for fdatasync; what comes meanwhile goes together into the next one."""
    journal = _journal(tmp_path, sync=True)
    may_sync = threading.Semaphore(0)
    synced: list[int] = []

    def fdatasync(descriptor: int) -> None:
        assert may_sync.acquire(timeout=10)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    first = asyncio.create_task(journal.record(b"{}"))
    for _ in range(10):
        await asyncio.sleep(0)
    later = [asyncio.create_task(journal.record(b"{}")) for _ in range(5)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert not first.done()
    may_sync.release()
    await first
    assert not any(each.done() for each in later)
    may_sync.release()
    await asyncio.gather(*later)
    assert len(synced) == 2
    await journal.close()


async def test_cancelling_the_caller_does_not_prevent_the_record(tmp_path: Path) -> None:
    """A caller that is cancelled while it waits has its entry in the journal all the same."""
    journal = _journal(tmp_path)
    tasks = [asyncio.create_task(journal.record(b'{"n":%d}' % each)) for each in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in done] == [type(None), asyncio.CancelledError, type(None)]
    await journal.close()
    assert len(_read(_only(tmp_path))[0]) == 3


class _FullDisk:
    """Takes a part of a write, then says that the disk is full, until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = True
        self._pwrite = os.pwrite
        monkeypatch.setattr(os, "pwrite", self)

    def __call__(self, descriptor: int, data: bytes, offset: int) -> int:
        if not self.full:
            return self._pwrite(descriptor, data, offset)
        if len(data) > 10:
            return self._pwrite(descriptor, data[:10], offset)
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk_fails_the_record_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short write is taken back, everybody who waited is refused, and the next record works again."""
    journal = _journal(tmp_path)
    await journal.record(b'{"n":0}')
    size = _only(tmp_path).stat().st_size
    disk = _FullDisk(monkeypatch)
    monkeypatch.setattr(journal_module.Segment, "_expect", _no_space)
    failed = await asyncio.gather(*(journal.record(b'{"n":9}') for _ in range(5)), return_exceptions=True)
    assert [type(each) for each in failed] == [AuditUnavailableError] * 5
    assert _only(tmp_path).stat().st_size == size
    monkeypatch.undo()
    disk.full = False
    await journal.record(b'{"n":1}')
    await journal.close()
    assert _read(_only(tmp_path)) == ([b'{"n":0}', b'{"n":1}'], Tail.CLOSED)


def _no_space(self: object, size: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_limit_on_the_files_size_fails_the_record_and_recovers(tmp_path: Path) -> None:
    """The kernel itself refuses a write (RLIMIT_FSIZE), and lifting that is all it takes."""
    script = """
import asyncio, os, resource, sys
from pathlib import Path
from tests.support.audit import TestClock, cipher
from tradewarden.audit.journal import SEGMENT_BYTES, Journal
from tradewarden.errors import AuditUnavailableError

async def main():
    journal = Journal(Path(sys.argv[1]), TestClock(), os.urandom, cipher())
    await journal.record(b"{}" )
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        await journal.record(b'{"x":"%b"}' % (b"y" * 2000))
    except AuditUnavailableError:
        print("refused")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await journal.record(b'{"again":1}')
    await journal.close()

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == "refused\n"
    assert _read(_only(tmp_path)) == ([b"{}", b'{"again":1}'], Tail.CLOSED)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; skipped where none can be mounted, unless `CI` is set."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


async def test_a_really_full_disk(small_disk: Path) -> None:
    """On a full file system records are refused, room is not spare, and freeing some ends it."""
    clock = TestClock()
    journal = _journal(small_disk, clock)
    assert journal.spare()
    filler = small_disk / "filler"
    filler.write_bytes(bytes(200 << 10))
    with suppress(AuditUnavailableError):
        while journal.counter < 1000:
            await journal.record(b'{"x":"%b"}' % (b"y" * 1000))
    recorded = journal.counter
    assert 0 < recorded < 100
    clock.ahead += 2
    assert not journal.spare()
    filler.unlink()
    await journal.record(b"{}")
    clock.ahead += 2
    assert journal.spare()
    await journal.close()
    lines, tail = _read(_only(small_disk))
    assert (len(lines), tail) == (recorded + 1, Tail.CLOSED)


async def test_a_failed_sync_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When fdatasync fails the record fails, and the journal goes on in a new file."""
    journal = _journal(tmp_path, sync=True)

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(AuditUnavailableError):
            await journal.record(b"{}")
    await journal.record(b"{}")
    await journal.close()
    assert len(_paths(tmp_path)) == 2


async def test_a_journal_that_was_taken_away_is_begun_anew(tmp_path: Path) -> None:
    """A removed file is noticed within a second; what comes then stands in a new one."""
    clock = TestClock()
    journal = _journal(tmp_path, clock=clock)
    await journal.record(b'{"n":0}')
    _only(tmp_path).unlink()
    clock.ahead += 2
    await journal.record(b'{"n":1}')
    await journal.close()
    assert _read(_only(tmp_path))[0] == [b'{"n":1}']


@pytest.mark.parametrize("instead", ["nothing", "a file", "a loop"])
async def test_a_journal_that_is_gone_answers_nobody_until_there_is_another(tmp_path: Path, instead: str) -> None:
    """While no new file can be begun every record fails; none goes into the file that nobody will read."""
    clock = TestClock()
    directory = tmp_path / "audit"
    journal = _journal(directory, clock=clock)
    await journal.record(b'{"n":0}')
    directory.rename(tmp_path / "elsewhere")
    if instead == "a file":
        directory.write_bytes(b"")
    elif instead == "a loop":
        directory.symlink_to(directory)
    clock.ahead += 2
    for each in range(1, 4):
        with pytest.raises(AuditUnavailableError):
            await journal.record(b'{"n":%d}' % each)
    directory.unlink(missing_ok=True)
    directory.mkdir()
    await journal.record(b'{"n":4}')
    await journal.close()
    assert _read(_only(directory))[0] == [b'{"n":4}']
    assert _only(directory).name.endswith("-000001.journal")
    assert _read(_only(tmp_path / "elsewhere")) == ([b'{"n":0}'], Tail.CLOSED)


async def test_a_full_segment_is_followed_by_another(tmp_path: Path) -> None:
    """Segments are closed in order, and each can be read by itself."""
    journal = _journal(tmp_path, segment_bytes=2000)
    events = [b'{"n":%d,"x":"%b"}' % (each, b"y" * 300) for each in range(20)]
    for each in events:
        await journal.record(each)
    await journal.close()
    parts = [_read(each) for each in _paths(tmp_path)]
    assert len(parts) > 2
    assert [line for lines, _ in parts for line in lines] == events
    assert {tail for _, tail in parts} == {Tail.CLOSED}


@pytest.mark.parametrize("at", ["header", "head", "line", "mac"])
async def test_a_changed_byte_is_seen(tmp_path: Path, at: str) -> None:
    """No byte of a journal can be another one."""
    journal = _journal(tmp_path)
    start = _only(tmp_path).stat().st_size
    await journal.record(b'{"n":0}')
    await journal.record(b'{"n":1}')
    await journal.close()
    offsets = {"header": 20, "head": start + 13, "line": start + FRAME_HEAD.size + 3, "mac": start + 40}
    data = bytearray(_only(tmp_path).read_bytes())
    data[offsets[at]] ^= 1
    _only(tmp_path).write_bytes(data)
    assert _read(_only(tmp_path)) == ([], Tail.DAMAGED)


async def test_an_action_is_recorded_however_it_ends(tmp_path: Path) -> None:
    """Success, denial and failure each leave their entry; a change that stands leaves none here."""
    journal = _journal(tmp_path)
    auditor = Auditor(journal, TestClock(), SEAL)

    async with auditor.entry(EventType.TOKEN, "ok", ORIGIN):
        pass
    with pytest.raises(PermissionDeniedError):
        async with auditor.entry(EventType.TOKEN, "denied", ORIGIN):
            raise PermissionDeniedError("lacks it")
    with pytest.raises(ZeroDivisionError):
        async with auditor.entry(EventType.TOKEN, "failed", ORIGIN):
            raise ZeroDivisionError
    async with auditor.entry(EventType.TOKEN, "changed", ORIGIN) as entry:
        entry.commit()
    await journal.close()
    lines = _read(_only(tmp_path))[0]
    results = [(b'"result":"success"' in each, b"lacks it" in each) for each in lines]
    assert results == [(True, False), (False, True), (False, False)]


async def test_hostile_text_is_cut_and_escaped(tmp_path: Path) -> None:
    """A name with newlines, quotes or half a surrogate pair stays one JSON line of bounded length."""
    journal = _journal(tmp_path)
    origin = Origin("10.0.0.1", "agent\n" * 100_000, "r-1")
    async with Auditor(journal, TestClock()).entry(EventType.TOKEN, "ok", origin) as entry:
        entry.user = 'x","user":"admin\ud800\n' * 1000
    await journal.close()
    (line,) = _read(_only(tmp_path))[0]
    assert len(line) < 5000
    assert line.count(b'"user":') == 1


_CHILD = """
import asyncio, os, sys
from pathlib import Path
from tests.support.audit import TestClock, cipher
from tradewarden.audit.journal import Journal

async def work(journal, name):
    for number in range(1_000_000):
        await journal.record(b'{"name":"%s","n":%d}' % (name, number))
        os.write(1, b"%s %d\\n" % (name, number))

async def main():
    journal = Journal(Path(sys.argv[1]), TestClock(), os.urandom, cipher(), segment_bytes=200_000)
    await asyncio.gather(*(work(journal, b"w%d" % each) for each in range(8)))

asyncio.run(main())
"""


@pytest.mark.crash
@pytest.mark.parametrize("attempt", range(4))
def test_sigkill_loses_nothing_that_was_answered(tmp_path: Path, attempt: int) -> None:
    """After a kill at any instant, every record whose await returned is shipped, once."""
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    wanted = random.Random(attempt).randrange(500, 6000)
    answered = [child.stdout.readline() for _ in range(wanted)]
    child.send_signal(signal.SIGKILL)
    answered += child.stdout.read().splitlines(keepends=True)
    child.stdout.close()
    child.wait(timeout=10)
    shipped = asyncio.run(_ship(tmp_path))
    whole = [each.split() for each in answered if each.endswith(b"\n")]
    assert len(whole) >= wanted
    assert {b'{"name":"%s","n":%s}' % tuple(each) for each in whole} <= set(shipped)
    assert len(shipped) == len(set(shipped))
    assert list(tmp_path.iterdir()) == []


async def _ship(directory: Path) -> list[bytes]:
    store = MemoryAuditStore(MemoryDatabase())
    shipper = Shipper(directory, store, cipher(), SEAL, TestClock())
    while await shipper.run_once():
        pass
    lines: list[bytes] = []
    for row in (await store.pending(10**9)).rows:
        if row.journal:
            batch = SEAL.open_batch(bytes.fromhex(row.journal), row.first, row.count, row.batch)
            assert batch is not None
            lines += batch.split(b"\n")
    return lines

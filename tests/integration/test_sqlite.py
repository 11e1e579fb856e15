"""SQLite under several processes, crashes, full and read-only disks, and damaged files."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.storage import inbox, sqlite_database
from tradewarden.errors import ConfigurationError, StorageUnavailableError
from tradewarden.storage.migration import migrate_sqlite, migrations
from tradewarden.storage.sqlite import SqliteDatabase
from tradewarden.storage.writelock import WriteLock
from tradewarden.storage.writer import MAX_GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from tradewarden.storage.database import Transaction

WRITER = Path(__file__).with_name("sqlite_writer.py")


def writing(entry: bytes) -> Callable[[Transaction], Coroutine[None, None, None]]:
    """Return a work that records an entry."""

    async def work(transaction: Transaction) -> None:
        await transaction.record(entry)

    return work


def start_writer(path: Path, name: str, tasks: int, seconds: float) -> subprocess.Popen[bytes]:
    """Start another process that writes."""
    return subprocess.Popen([sys.executable, WRITER, path, name, str(tasks), str(seconds)], stdout=subprocess.PIPE)


async def test_writes_that_come_together_share_a_commit(tmp_path: Path) -> None:
    """While one group commits the next gathers, up to its limit; all of a group is seen at once."""
    async with sqlite_database(tmp_path) as database:
        statements: list[str] = []

        async def first(transaction: Transaction) -> None:
            transaction._connection.set_trace_callback(statements.append)  # type: ignore[attr-defined]
            time.sleep(0.05)  # noqa: ASYNC251  (on the writer thread: the others gather)

        jobs = [database.transact(first)] + [database.transact(writing(b"e")) for _ in range(300)]
        await asyncio.gather(*jobs)
        groups = statements.count("COMMIT")
        assert groups <= 2 + 300 // MAX_GROUP + 1
        assert len(await inbox(database)) == 300


async def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    """Directory 0700, database, log, index and lock 0600."""
    path = tmp_path / "secrets" / "tradewarden.db"
    migrate_sqlite(path)
    database = SqliteDatabase(path)
    await database.transact(writing(b"e"))
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    await database.close()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    endings = (".db", ".db-wal", ".db-shm", ".lock")
    assert modes == {f"tradewarden{ending}": 0o600 for ending in endings}


async def test_every_group_is_synced_before_it_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change is answered after an fdatasync of the log that began after its commit; without one it fails."""
    sync, synced = os.fdatasync, []

    def watched(descriptor: int) -> None:
        log = Path(f"/proc/self/fd/{descriptor}").readlink()
        if log.is_relative_to(tmp_path):  # and of no database that another test keeps open
            synced.append((str(log), os.fstat(descriptor).st_size))
            if len(synced) == 3:
                raise OSError(errno.EIO, "input/output error")
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", watched)
    async with sqlite_database(tmp_path) as database:
        for number in (1, 2):
            await database.transact(writing(b"e"))
            log, size = synced[-1]
            assert len(synced) == number
            assert Path(log) == Path(f"{database.path}-wal")
            assert size > 0
        with pytest.raises(StorageUnavailableError):
            await database.transact(writing(b"e"))
        await database.transact(writing(b"e"))
        assert len(synced) == 4


async def test_the_writer_runs_with_its_settings(tmp_path: Path) -> None:
    """The writer's own connection runs with the settings that durability rests on."""
    async with sqlite_database(tmp_path) as database:

        async def pragmas(transaction: Transaction) -> list[object]:
            names = ("synchronous", "journal_mode", "secure_delete", "foreign_keys")
            return [await transaction.one(f"PRAGMA {name}") for name in names]

        assert await database.transact(pragmas) == [(1,), ("wal",), (1,), (1,)]


async def test_another_process_is_seen_on_the_very_next_look(tmp_path: Path) -> None:
    """Once another process's write is acknowledged, the next look at the revisions has it."""
    async with sqlite_database(tmp_path) as database:
        process = start_writer(database.path, "other", 1, 0.5)
        assert process.stdout
        reads, before = 0, (await database.revisions()).tokens
        while await asyncio.to_thread(process.stdout.readline):
            reads += 1
            assert (await database.revisions()).tokens >= before + reads
        process.communicate()
        assert (await database.revisions()).tokens == before + reads
        assert reads > 5


async def test_processes_do_not_starve_each_other(tmp_path: Path) -> None:
    """Under load from three processes each gets its share and waits a bounded time."""
    async with sqlite_database(tmp_path) as database:
        processes = [start_writer(database.path, f"p{n}", 8, 3) for n in range(3)]
        outputs = await asyncio.gather(*[asyncio.to_thread(process.communicate) for process in processes])
        latencies = [sorted(float(line.split()[1]) for line in out.splitlines()) for out, _ in outputs]
        counts = [len(each) for each in latencies]
        assert [process.returncode for process in processes] == [0, 0, 0]
        assert len(await inbox(database)) == sum(counts)
        assert min(counts) > max(counts) / 4, counts
        for each in latencies:
            assert each[int(len(each) * 0.99)] < 0.25, (counts, each[-1])
            assert each[-1] < 1.0, (counts, each[-1])


async def test_writers_queue_at_the_lock_and_readers_do_not(tmp_path: Path) -> None:
    """While another process has the write lock a write waits and reads are answered."""
    async with sqlite_database(tmp_path) as database:
        lock = WriteLock(database.path)
        with lock.held():
            job = asyncio.create_task(database.transact(writing(b"e")))
            done, _ = await asyncio.wait({job}, timeout=0.2)
            assert not done
            assert await inbox(database) == []
        await asyncio.wait_for(job, 5)
        lock.close()


@pytest.mark.crash
async def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    """SIGKILL at random instants: every acknowledged write is there once, and others go on."""
    async with sqlite_database(tmp_path) as database:
        acknowledged: list[str] = []
        for turn in range(6):
            process = start_writer(database.path, f"t{turn}", 16, 60)
            assert process.stdout
            first = await asyncio.to_thread(process.stdout.readline)
            await asyncio.sleep(random.uniform(0, 0.2))
            process.kill()
            rest, _ = await asyncio.to_thread(process.communicate)
            lines = [line for line in (first + rest).splitlines(keepends=True) if b"\n" in line]
            acknowledged += [line.split()[0].decode() for line in lines]
            await asyncio.wait_for(database.transact(writing(b"mine")), 5)
        stored = [each.decode() for each in await inbox(database)]
        assert len(set(acknowledged)) > 50
        assert set(acknowledged) <= set(stored)
        assert len(stored) - stored.count("mine") == len(set(stored)) - 1
        assert await database.one("PRAGMA integrity_check") == ("ok",)


@contextmanager
def small_disk(directory: Path, size: str = "2m") -> Iterator[Path]:
    """Give a directory on a small disk of its own; skips where nothing can be mounted."""
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        reason = f"a small disk cannot be mounted here: {mounted.stderr.strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def remount(directory: Path, mode: str) -> None:
    """Make a disk read-only (`ro`) or writable (`rw`)."""
    subprocess.run(["mount", "-o", f"remount,{mode}", directory], check=True)


def fill(ballast: Path) -> None:
    """Take all space that is left on a disk."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


@pytest.mark.crash
async def test_a_full_disk_is_an_error_and_heals(tmp_path: Path) -> None:
    """Without space writes fail clearly and reads go on; with space again all works."""
    with small_disk(tmp_path / "disk") as disk:
        async with sqlite_database(disk) as database:
            await database.transact(writing(b"before"))
            ballast = disk / "ballast"
            fill(ballast)
            stored = [b"before"]
            failures: list[StorageUnavailableError] = []
            for number in range(300):
                entry = b"%d" % number * 2000
                try:
                    await database.transact(writing(entry))
                    stored.append(entry)
                except StorageUnavailableError as error:
                    failures.append(error)
            assert failures
            assert all("full" in error.reason for error in failures)
            assert await inbox(database) == stored
            ballast.unlink()
            await database.transact(writing(b"after"))
            assert await inbox(database) == [*stored, b"after"]
            assert await database.one("PRAGMA integrity_check") == ("ok",)


@pytest.mark.crash
async def test_a_read_only_disk_is_an_error_and_heals(tmp_path: Path) -> None:
    """A disk that turned read-only fails writes clearly; remounted for writing all works."""
    with small_disk(tmp_path / "disk") as disk:
        migrate_sqlite(disk / "tradewarden.db")
        remount(disk, "ro")
        with pytest.raises(ConfigurationError, match=r"tradewarden\.db"):
            migrate_sqlite(disk / "tradewarden.db")
        with pytest.raises(StorageUnavailableError):
            SqliteDatabase(disk / "tradewarden.db")
        remount(disk, "rw")
        async with sqlite_database(disk) as database:
            await database.transact(writing(b"after"))
            assert await inbox(database) == [b"after"]


def test_a_read_only_file_is_named() -> None:
    """A file that must not be written is named at start."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "tradewarden.db"
        migrate_sqlite(path)
        path.chmod(0o444)
        path.parent.chmod(0o555)
        user = os.geteuid()
        if user == 0:  # root may write everywhere
            os.seteuid(65534)
        try:
            with pytest.raises(ConfigurationError, match=r"tradewarden\.db cannot be opened"):
                migrate_sqlite(path)
            with pytest.raises(StorageUnavailableError):
                SqliteDatabase(path)
        finally:
            os.seteuid(user)
            path.parent.chmod(0o700)


async def test_a_database_that_was_replaced_is_not_written(tmp_path: Path) -> None:
    """Nothing is acknowledged into a file that nobody would find again; the file put back heals."""
    async with sqlite_database(tmp_path) as database:
        await database.transact(writing(b"e"))
        moved = database.path.rename(tmp_path / "moved.db")
        with pytest.raises(StorageUnavailableError) as refused:
            await database.transact(writing(b"lost"))
        assert "No such file" in refused.value.reason
        assert not database.path.exists()
        database.path.write_bytes(moved.read_bytes())
        with pytest.raises(StorageUnavailableError) as refused:
            await database.transact(writing(b"lost"))
        assert "not the file that was opened" in refused.value.reason
        moved.rename(database.path)
        await database.transact(writing(b"after"))
        assert await inbox(database) == [b"e", b"after"]


def test_opening_makes_no_database(tmp_path: Path) -> None:
    """A database that went away is an error and no fresh start."""
    with pytest.raises(StorageUnavailableError):
        SqliteDatabase(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    """Every migration is applied once."""
    path = tmp_path / "a dir?#%" / "tradewarden.db"
    newest = migrations("sqlite")[-1][0]
    assert migrate_sqlite(path) == newest
    content = path.read_bytes()
    assert migrate_sqlite(path) == newest
    assert path.read_bytes() == content


def test_a_migration_that_fails_is_undone_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a migration never stands; the next start does it from its beginning."""
    path = tmp_path / "tradewarden.db"
    migrate_sqlite(path)
    known = migrations("sqlite")
    broken = [*known, (9999, "CREATE TABLE half (a INTEGER);\nCREATE TABLE half (a INTEGER);\n")]
    monkeypatch.setattr("tradewarden.storage.migration.migrations", lambda _: broken)
    with pytest.raises(ConfigurationError, match="half already exists"):
        migrate_sqlite(path)
    whole = [*known, (9999, "CREATE TABLE half (a INTEGER);\n")]
    monkeypatch.setattr("tradewarden.storage.migration.migrations", lambda _: whole)
    assert migrate_sqlite(path) == 9999


def test_names_registered_before_are_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Domains and addresses of a register that knew no sharing are in the index of what is shared."""
    path = tmp_path / "tradewarden.db"
    known = migrations("sqlite")
    with monkeypatch.context() as patched:
        patched.setattr("tradewarden.storage.migration.migrations", lambda _: [each for each in known if each[0] < 13])
        migrate_sqlite(path)
    put = "INSERT INTO services VALUES (?, 'i', '[]', x'', 1, 'user:admin', 1, ?, ?, x'')"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(put, ("a", '["a.internal",".feeds.internal"]', '["10.9.9.9","2001:db8::1"]'))
        connection.execute(put, ("b", '[".feeds.internal"]', "[]"))
    migrate_sqlite(path)
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name, service_name FROM service_shares ORDER BY name, service_name")
        assert found.fetchall() == [
            (".feeds.internal", "a"),
            (".feeds.internal", "b"),
            ("10.9.9.9", "a"),
            ("2001:db8::1", "a"),
        ]


def test_a_newer_database_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of a later Tradewarden is left alone."""
    path = tmp_path / "tradewarden.db"
    later = [*migrations("sqlite"), (9999, "CREATE TABLE later (a INTEGER);\n")]
    with monkeypatch.context() as patched:
        patched.setattr("tradewarden.storage.migration.migrations", lambda _: later)
        migrate_sqlite(path)
    content = path.read_bytes()
    with pytest.raises(ConfigurationError, match="newer Tradewarden"):
        migrate_sqlite(path)
    assert path.read_bytes() == content


def foreign(path: Path) -> None:
    """Make a database of another program."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()


def no_database(path: Path) -> None:
    """Make a file that is no database."""
    path.write_bytes(b"not a database, but long enough to be looked at " * 50)


def bad_page(path: Path) -> None:
    """Make a database with a page of noise."""
    migrate_sqlite(path)
    content = bytearray(path.read_bytes())
    content[4096:8192] = random.randbytes(4096)
    path.write_bytes(content)


def bad_cell(path: Path) -> None:
    """Make a database that opens and has a broken entry in one table."""
    migrate_sqlite(path)
    content = bytearray(path.read_bytes())
    connection = sqlite3.connect(path)
    sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'schema_version'"
    start = (connection.execute(sql).fetchone()[0] - 1) * 4096
    connection.close()
    content[start + 3 : start + 5] = b"\x00\x63"  # the page claims 99 entries
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    """Make a database whose end is missing."""
    migrate_sqlite(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 8192])


@pytest.mark.parametrize("make", [foreign, no_database, bad_page, bad_cell, cut_off])
def test_a_damaged_or_foreign_file_is_named_and_kept(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A start on such a file names it, stops and changes nothing in it."""
    path = tmp_path / "tradewarden.db"
    make(path)
    content = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"tradewarden\.db is (damaged|a database of)"):
        migrate_sqlite(path)
    assert path.read_bytes() == content


async def test_damage_while_running_is_a_storage_error(tmp_path: Path) -> None:
    """A page that turned bad fails the reads that need it, clearly."""
    path = tmp_path / "tradewarden.db"
    migrate_sqlite(path)
    page = sqlite3.connect(path)
    root = page.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'secrets'").fetchone()[0]
    page.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    database = SqliteDatabase(path)
    with pytest.raises(StorageUnavailableError):
        await database.one("SELECT * FROM secrets WHERE path = ?", "a")
    await database.close()

"""The audit log of a copy that nothing can be written beside: verified and exported, or the way out is told."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from tradewarden import Warden, load_settings
from tradewarden.errors import ConfigurationError, StorageUnavailableError
from tradewarden.records import open_for_reading
from tradewarden.storage import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tradewarden.settings import Settings


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Mount a directory over itself, read-only; skips where nothing can be mounted."""
    bound = subprocess.run(["mount", "--bind", directory, directory], check=False, capture_output=True, text=True)
    if bound.returncode:
        stop = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        stop(f"nothing can be mounted here: {bound.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", directory], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


@pytest.fixture
async def copy(tmp_path: Path) -> Settings:
    """The settings of an installation that was closed in order: all of it stands in the database file."""
    settings = load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data")})
    async with Warden.open(settings) as warden:
        await warden.local.secrets.put("a/b", {"n": 1})
    with closing(sqlite3.connect(settings.database_path)) as last:
        last.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return settings


async def _entries(settings: Settings) -> int:
    written: list[bytes] = []
    async with open_for_reading(settings) as records:
        report = await records.verify()
        assert report.ok
        await records.export(lambda name, content: written.append(content) if name == "entries.jsonl" else None)
    assert b"".join(written).count(b"\n") == report.entries
    return report.entries


async def test_a_read_only_copy_is_verified(copy: Settings) -> None:
    """A copy on a read-only mount is verified and exported as a writable one is."""
    entries = await _entries(copy)
    assert entries > 1
    with read_only(copy.data_dir):
        assert await _entries(copy) == entries


async def test_the_log_of_a_read_only_copy_counts(copy: Settings, tmp_path: Path) -> None:
    """What stands in SQLite's log alone is read, or the copy is refused with the way out; it is never passed over."""
    entries = await _entries(copy)
    with sqlite3.connect(copy.database_path) as writer:
        writer.execute("UPDATE audit_entries SET line = x'00' WHERE sequence = 0")
        writer.commit()
        shutil.copytree(copy.data_dir, tmp_path / "whole")
    writer.close()
    whole = load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "whole")})
    assert whole.database_path.with_name("tradewarden.db-wal").stat().st_size > 0
    with read_only(whole.data_dir):
        async with open_for_reading(whole) as records:
            report = await records.verify()
    assert (report.entries, report.problems[0].kind, report.problems[0].first) == (entries, "changed", 0)
    whole.database_path.with_name("tradewarden.db-shm").unlink()
    with read_only(whole.data_dir), pytest.raises(ConfigurationError, match=r"copy the whole data directory, with "):
        async with open_for_reading(whole):
            pass


async def test_a_directory_that_others_may_write_to_is_not_read_as_it_stands(
    copy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a read-only mount is; one that turns out to be written to elsewhere counts for nothing."""
    monkeypatch.setattr(frozen, "_mounted_read_only", lambda _: True)
    log = copy.database_path.with_name("tradewarden.db-wal")
    assert not log.exists()

    async def read_while(something: Callable[[], None]) -> None:
        async with open_for_reading(copy) as records:
            await records.verify()
            something()

    for written in (lambda: os.utime(copy.database_path, ns=(1, 1)), log.touch):
        with pytest.raises(StorageUnavailableError, match="written to while it was read"):
            await read_while(written)


async def test_an_emptied_log_of_an_installation_is_told(copy: Settings) -> None:
    """The log of a database that holds keys cannot be empty: their making is its first entry."""
    with sqlite3.connect(copy.database_path) as writer:
        for table in ("entries", "tiles", "checkpoints", "inbox", "journals"):
            writer.execute(f"DELETE FROM audit_{table}")  # noqa: S608
        writer.execute("UPDATE audit_tree SET size = 0")
    writer.close()
    async with open_for_reading(copy) as records:
        report = await records.verify()
    assert [(each.kind, each.first) for each in report.problems] == [("cut_off", 0)]

"""Verified rows are kept until anybody commits anything, few and small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.secrets import may, room
from tests.support.storage import sqlite_database
from tradewarden.errors import IntegrityError
from tradewarden.secrets.recent import MAX_ENVELOPE_BYTES, MAX_ROWS, Readable, Recent
from tradewarden.secrets.store import SecretVersion
from tradewarden.storage.connection import connect
from tradewarden.storage.sql_secrets import SqlSecretStore

if TYPE_CHECKING:
    from pathlib import Path


def readable(size: int = 10) -> Readable:
    """Return a version with an envelope of `size` bytes."""
    return Readable(SecretVersion("a", 1, b"i", 1.0, "me", 0.0, 0), b"v" * size)


def test_another_mark_forgets_everything() -> None:
    """What was kept under the mark before is neither found nor kept any longer."""
    recent = Recent()
    recent.keep(1, "a", None, readable())
    assert recent.find(1, "a", None) == readable()
    assert recent.find(2, "a", None) is None
    recent.keep(2, "b", None, readable())
    assert recent.find(2, "a", None) is None
    assert recent.find(1, "b", None) is None


def test_what_is_kept_is_bounded() -> None:
    """So many rows at most, and no large value."""
    recent = Recent()
    for number in range(MAX_ROWS + 1):
        recent.keep(1, str(number), None, readable())
    assert recent.find(1, "0", None) is None
    assert recent.find(1, str(MAX_ROWS), None) is not None
    recent.keep(1, "large", None, readable(MAX_ENVELOPE_BYTES + 1))
    assert recent.find(1, "large", None) is None


async def test_a_second_read_looks_at_the_mark_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until something is committed; then the rows are read and verified again, and a forged one is refused."""
    async with sqlite_database(tmp_path) as database:
        store = SqlSecretStore(database)
        here = await room(store)
        await here.put("a", {"v": 1})
        reads: list[str] = []
        read = store.read

        async def counted(path: str, version: int | None) -> object:
            reads.append(path)
            return await read(path, version)

        monkeypatch.setattr(store, "read", counted)
        for _ in range(3):
            assert (await here.secrets.get(may("secrets:read", "a"), "a")).value() == {"v": 1}
        assert len(reads) == 1
        await here.put("b", {"v": 2})
        assert (await here.secrets.get(may("secrets:read", "a"), "a")).value() == {"v": 1}
        assert len(reads) == 2
        forger = connect(database.path)
        forger.execute("UPDATE secrets SET max_versions = 11 WHERE path = 'a'")
        forger.close()
        with pytest.raises(IntegrityError):
            await here.secrets.get(may("secrets:read", "a"), "a")

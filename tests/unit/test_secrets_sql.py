"""The secrets room over SQLite: what only a real database shows."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.secrets import may, room
from tests.support.storage import inbox, sqlite_database
from tradewarden.errors import ConflictError
from tradewarden.secrets.commands import PickVersions, PutSecret
from tradewarden.secrets.value import raw_object
from tradewarden.storage.sql_secrets import SqlSecretStore

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.storage.database import Transaction


async def test_a_change_whose_caller_went_away_is_told_as_it_happened(tmp_path: Path) -> None:
    """The entry of a change that commits says success, though its caller was cancelled before."""
    async with sqlite_database(tmp_path) as database:
        here = await room(SqlSecretStore(database))
        holding, go_on = threading.Event(), threading.Event()

        async def hold(_: Transaction) -> None:
            holding.set()
            go_on.wait(10)

        async def put() -> None:
            async with here.entry("secrets.put") as entry:
                command = PutSecret("a", raw_object({"n": 1}))
                await here.secrets.put(may("secrets:write", "a"), command, entry)

        held = asyncio.create_task(database.transact(hold))
        await asyncio.to_thread(holding.wait)
        task = asyncio.create_task(put())
        for _ in range(10):
            await asyncio.sleep(0)
        assert database.waiting == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        await held
        await here.put("b", {})
        assert await here.value("a") == {"n": 1}
        told = [json.loads(each)["result"] for each in (*here.journal.events, *await inbox(database))]
        assert told == ["failure", "success", "success"]


async def test_only_one_of_many_wins_a_compare_and_set(tmp_path: Path) -> None:
    """Writers in one group are decided one after another."""
    async with sqlite_database(tmp_path) as database:
        here = await room(SqlSecretStore(database))
        outcomes = await asyncio.gather(*[here.put("a", {"n": n}, cas=0) for n in range(50)], return_exceptions=True)
        assert sum(not isinstance(each, ConflictError) for each in outcomes) == 1
        assert len(await inbox(database)) == 1


async def test_changes_of_one_group_see_those_before_them(tmp_path: Path) -> None:
    """A path that is written several times in one group gets one version each; who is refused stops nobody."""
    async with sqlite_database(tmp_path) as database:
        here = await room(SqlSecretStore(database))
        await here.put("a", {"n": 0})
        puts = [
            here.put("a", {"n": 1}),
            here.put("b", {"n": 2}),
            here.put("b", {"n": 3}, cas=7),
            here.put("a", {"n": 4}),
        ]
        outcomes = await asyncio.gather(*puts, here.put("b", {"n": 5}, cas=1), return_exceptions=True)
        assert [getattr(each, "version", None) for each in outcomes] == [2, 1, None, 3, 2]
        assert isinstance(outcomes[2], ConflictError)
        assert (await here.value("a"), await here.value("b")) == ({"n": 4}, {"n": 5})
        assert len(await inbox(database)) == 5
        assert await database.one("SELECT count(*) FROM audit_inbox") == (2,)


async def test_a_destroyed_value_leaves_the_file(tmp_path: Path) -> None:
    """Not even the ciphertext of a destroyed value stays in the database file."""
    async with sqlite_database(tmp_path) as database:
        here = await room(SqlSecretStore(database))
        await here.put("a", {"key": "x" * 20_000})
        found = await here.store.read("a", 1)
        assert found is not None
        pieces = [found[2][at : at + 32] for at in range(100, 20_000, 500)]
        pick = PickVersions("a", (1,))
        await here.secrets.destroy(may("secrets:write", "a"), pick, here.entry())
    content = (tmp_path / "tradewarden.db").read_bytes()
    assert not [piece for piece in pieces if piece in content]

"""What every SQL `Database` does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.storage import inbox, sqlite_database
from tradewarden.errors import ConflictError, StorageUnavailableError
from tradewarden.storage.database import Revisions
from tradewarden.storage.memory import MemoryDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tradewarden.storage.database import Database, Transaction

INSERT = "INSERT INTO audit_inbox (id, batch) VALUES (?, ?)"
COUNT = "SELECT coalesce(sum(count), 0) FROM audit_inbox"


@pytest.fixture(params=["sqlite"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Give each database in turn."""
    async with sqlite_database(tmp_path) as opened:
        yield opened


async def record(transaction: Transaction, entry: bytes = b"e") -> str:
    """Be the smallest work."""
    await transaction.record(entry)
    return "answer"


async def test_a_transaction_answers_and_stands(database: Database) -> None:
    """What the work returned comes out, what it wrote can be read."""

    async def work(transaction: Transaction) -> tuple[object, object, int]:
        await transaction.run_many(INSERT, [(1, b"a"), (2, b"b")])
        changed = await transaction.run("UPDATE audit_inbox SET batch = ?", b"c")
        one = await transaction.one("SELECT batch FROM audit_inbox WHERE id = ?", 1)
        assert await transaction.one("SELECT 1 FROM audit_inbox WHERE id = ?", 9) is None
        return one, await transaction.all("SELECT id FROM audit_inbox ORDER BY id"), changed

    assert await database.transact(work) == ((b"c",), [(1,), (2,)], 2)
    assert await database.one("SELECT batch FROM audit_inbox WHERE id = ?", 2) == (b"c",)
    assert await database.one("SELECT 1 FROM audit_inbox WHERE id = ?", 9) is None
    assert await inbox(database) == [b"c", b"c"]


async def test_a_failing_work_takes_no_other_with_it(database: Database) -> None:
    """Each kind of failure undoes that one work; those handed in around it all stand."""

    async def raises(transaction: Transaction) -> None:
        await record(transaction)
        raise ValueError("mine")

    async def twice(transaction: Transaction) -> None:
        await record(transaction)
        await transaction.run(INSERT, 77, b"x")
        await transaction.run(INSERT, 77, b"x")

    async def nonsense(transaction: Transaction) -> None:
        await record(transaction)
        await transaction.run("UPDATE nothing SET x = 1")

    async def incomplete(transaction: Transaction) -> None:
        await record(transaction)
        await transaction.run(INSERT, 78, None)

    async def overflows(transaction: Transaction) -> None:
        await record(transaction)
        await transaction.run(INSERT, 2**70, b"x")

    async def unknown(transaction: Transaction) -> None:
        await record(transaction)
        await transaction.bump("tokens", "nonsense")

    async def suspends(transaction: Transaction) -> None:
        await record(transaction)
        await asyncio.sleep(0)

    works = [raises, twice, nonsense, incomplete, overflows, unknown, suspends]
    jobs = [database.transact(each) for work in works for each in (record, work, record)]
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert outcomes[0::3] == outcomes[2::3] == ["answer"] * len(works)
    assert [type(each) for each in outcomes[1::3]] == [
        ValueError,
        ConflictError,
        StorageUnavailableError,
        StorageUnavailableError,
        OverflowError,
        AttributeError,
        RuntimeError,
    ]
    assert await database.one(COUNT) == (2 * len(works),)
    assert (await database.revisions()).tokens == 1


async def test_changes_of_one_kind_are_made_together(database: Database) -> None:
    """Changes handed in at once come to one making, in their order; one decided against is its caller's alone."""
    seen: list[list[int]] = []

    async def making(transaction: Transaction, changes: Sequence[int]) -> list[int | Exception]:
        seen.append(list(changes))
        await transaction.record(*[b"%d" % each for each in changes if each != 3])
        return [ValueError("not three") if each == 3 else -each for each in changes]

    outcomes = await asyncio.gather(*[database.make(making, each) for each in range(6)], return_exceptions=True)
    assert [outcomes[each] for each in (0, 1, 2, 4, 5)] == [0, -1, -2, -4, -5]
    assert isinstance(outcomes[3], ValueError)
    assert seen == [[0, 1, 2, 3, 4, 5]]
    assert await inbox(database) == [b"0", b"1", b"2", b"4", b"5"]


async def test_a_change_that_cannot_be_written_takes_no_other_with_it(database: Database) -> None:
    """When the making fails, each change is made alone, and works handed in around it stand as well."""

    async def making(transaction: Transaction, changes: Sequence[int | None]) -> list[int | None]:
        await transaction.record(*[b"%r" % each for each in changes])
        await transaction.run_many("INSERT INTO audit_leader VALUES (?, '', 0, 0)", [(each,) for each in changes])
        return list(changes)

    made = [database.make(making, each) for each in (70, 1, 71)]
    outcomes = await asyncio.gather(database.transact(record), *made, return_exceptions=True)
    assert outcomes[:2] == ["answer", 70]
    assert isinstance(outcomes[2], ConflictError)
    assert outcomes[3] == 71
    assert sorted(await inbox(database)) == [b"70", b"71", b"e"]
    assert await database.all("SELECT id FROM audit_leader ORDER BY id") == [(1,), (70,), (71,)]


async def test_a_making_that_raises_at_once_is_tried_for_each_alone(database: Database) -> None:
    """A change that stops the making before anything is written fails alone."""

    async def making(transaction: Transaction, changes: Sequence[int]) -> list[int]:
        if 2 in changes:
            raise ValueError("two")
        await transaction.record(*[b"%d" % each for each in changes])
        return list(changes)

    outcomes = await asyncio.gather(*[database.make(making, each) for each in range(4)], return_exceptions=True)
    assert [outcomes[each] for each in (0, 1, 3)] == [0, 1, 3]
    assert isinstance(outcomes[2], ValueError)
    assert await inbox(database) == [b"0", b"1", b"3"]


async def test_cancelling_the_caller_does_not_stop_the_work(database: Database) -> None:
    """Work that was handed in is done, whether or not someone waits."""
    task = asyncio.create_task(database.transact(record))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.transact(record)
    assert await database.one(COUNT) == (2,)


async def test_a_cancelled_caller_leaves_no_noise(database: Database) -> None:
    """The failure of a work that nobody waits for is not reported to the loop."""
    noise: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))

    async def raises(_: Transaction) -> None:
        raise ValueError

    task = asyncio.create_task(database.transact(raises))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await database.transact(record)
    del task
    await asyncio.sleep(0)
    assert noise == []


async def test_revisions_move_with_the_transaction(database: Database) -> None:
    """A revision moves when its transaction commits, and only then."""
    before = await database.revisions()

    async def bump(transaction: Transaction) -> None:
        await transaction.bump("tokens", "keys", "keys")

    async def fails(transaction: Transaction) -> None:
        await bump(transaction)
        raise ValueError

    await database.transact(bump)
    with pytest.raises(ValueError, match=r"^$"):
        await database.transact(fails)
    after = await database.revisions()
    assert after == msgspec.structs.replace(before, tokens=before.tokens + 1, keys=before.keys + 2)


async def test_the_memory_database_counts_alike(database: Database) -> None:
    """In memory the revisions start the same and know the same kinds."""
    memory = MemoryDatabase()
    assert await memory.revisions() == await database.revisions()
    memory.bump("tokens", "services")
    assert await memory.revisions() == Revisions(tokens=2, certificates=1, services=2, keys=1, authorities=1)
    with pytest.raises(AttributeError):
        memory.bump("nonsense")
    memory.record(b"e")
    assert memory.inbox == [b"e"]


async def test_bad_statements_are_storage_errors(database: Database) -> None:
    """Every failure to read is a `StorageUnavailableError`."""
    with pytest.raises(StorageUnavailableError):
        await database.one("SELECT nothing FROM nowhere")
    with pytest.raises(StorageUnavailableError):
        await database.all("SELECT nothing FROM nowhere")


async def test_reads_do_not_write(database: Database) -> None:
    """A read connection refuses to change anything."""
    with pytest.raises(StorageUnavailableError):
        await database.one("DELETE FROM revisions RETURNING kind")
    with pytest.raises(StorageUnavailableError):
        await database.all("DELETE FROM revisions RETURNING kind")


async def test_closing_finishes_what_was_handed_in(database: Database, tmp_path: Path) -> None:
    """All work handed in before closing is done; later work is refused and never hangs."""
    tasks = [asyncio.create_task(database.transact(record)) for _ in range(200)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*tasks) == ["answer"] * 200
    with pytest.raises(StorageUnavailableError):
        await database.transact(record)
    for read in (database.one(COUNT), database.all(COUNT), database.revisions()):
        with pytest.raises(StorageUnavailableError, match="this Warden has ended"):
            await read
    await database.close()

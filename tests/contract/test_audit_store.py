"""What every audit store must do, in SQLite and in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.audit import SEAL
from tradewarden.audit.entry import Event, encode
from tradewarden.audit.marks import extend
from tradewarden.audit.query import Filter
from tradewarden.audit.sequencer import number
from tradewarden.audit.store import InboxRow, Shipped, Span, StoredCheckpoint
from tradewarden.audit.tiles import Place, edge
from tradewarden.audit.tree import leaf_hash
from tradewarden.errors import ConflictError
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_audit import MemoryAuditStore
from tradewarden.storage.migration import migrate_sqlite
from tradewarden.storage.sql_audit import SqlAuditStore
from tradewarden.storage.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from tradewarden.audit.store import AuditStore
    from tradewarden.storage.database import Transaction

BOOT = "0011223344556677"


class Subject:
    """A store, and the way in which changes get into its inbox."""

    def __init__(self, store: AuditStore, record: Callable[[bytes], Any]) -> None:
        self.store = store
        self.record = record

    async def fill(self, count: int, user: str = "u", resource: str = "r") -> None:
        """Number so many changes."""
        leader = await self.store.lead("filler", 0, 10**12)
        assert leader is not None
        size = await self.store.size()
        for each in range(size, size + count):
            await self.record(SEAL.change(_line(each, user, resource)))
        while (pending := await self.store.pending(1000)).rows:
            await self.store.number(leader, number(pending, SEAL, 0))


def _line(each: int, user: str = "u", resource: str = "r") -> bytes:
    time = f"2026-01-15T10:{each // 60:02d}:{each % 60:02d}.000000Z"
    result = "denied" if each % 3 == 0 else "success"
    return encode(Event(time, "token", user, resource, "a", result, "", "", f"id-{each}"))


@pytest.fixture(params=["sqlite", "memory"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """Each adapter in turn."""
    if request.param == "memory":
        memory = MemoryDatabase()

        async def put(entry: bytes) -> None:
            memory.record(entry)

        yield Subject(MemoryAuditStore(memory), put)
        return
    path = tmp_path / "tradewarden.db"
    migrate_sqlite(path)
    database = SqliteDatabase(path)

    async def record(entry: bytes) -> None:
        async def work(transaction: Transaction) -> None:
            await transaction.record(entry)

        await database.transact(work)

    yield Subject(SqlAuditStore(database), record)
    await database.close()


async def test_batches_arrive_once(subject: Subject) -> None:
    """A batch is taken in only from where the journal stands, and its progress is kept."""
    store = subject.store
    first, second = Shipped(BOOT, 2, 0, 500), Shipped(BOOT, 3, 0, 700)
    batch = InboxRow(0, BOOT, 0, 2, b"batch")
    assert await store.shipped(BOOT) is None
    assert await store.ship(None, first, [batch], [])
    assert not await store.ship(None, first, [batch], [])
    assert await store.ship(first, second, [], [b"note"])
    assert await store.shipped(BOOT) == second
    backlog = await store.backlog()
    assert backlog.entries == 3
    assert backlog.oldest is not None
    assert backlog.oldest.batch == b"batch"


async def test_pending_rows_come_in_order_and_portions(subject: Subject) -> None:
    """Rows come in the order in which they were put in, about as many entries as asked for."""
    store = subject.store
    assert (await store.pending(10)).rows == []
    await subject.record(b"one")
    await store.ship(None, Shipped(BOOT, 50, 0, 1), [InboxRow(0, BOOT, 0, 50, b"fifty")], [])
    await subject.record(b"two")
    assert [each.batch for each in (await store.pending(10)).rows] == [b"one"]
    assert [each.batch for each in (await store.pending(51)).rows] == [b"one", b"fifty"]
    rows = (await store.pending(100)).rows
    assert [each.batch for each in rows] == [b"one", b"fifty", b"two"]
    assert [each.id for each in rows] == sorted({each.id for each in rows})


async def test_one_leads(subject: Subject) -> None:
    """One holder leads until its lease is over; who takes over has a new epoch, who stays has not."""
    store = subject.store
    a = await store.lead("a", 100, 10)
    assert a is not None
    assert await store.lead("b", 105, 10) is None
    renewed = await store.lead("a", 108, 10)
    assert renewed is not None
    assert (renewed.epoch, renewed.expires_at) == (a.epoch, 118)
    b = await store.lead("b", 119, 10)
    assert b is not None
    assert b.epoch == a.epoch + 1
    for write in (
        store.number(a, number(await store.pending(10), SEAL, 0)),
        store.sign(a, StoredCheckpoint(1, 0, b"")),
        store.thin(a, 5),
    ):
        with pytest.raises(ConflictError):
            await write


async def test_a_lead_from_before_a_clock_was_set_back_bars_nobody(subject: Subject) -> None:
    """A lease that ends further off than any lease can is taken over, and its holder is fenced."""
    old = await subject.store.lead("a", 100_000, 10)
    assert old is not None
    new = await subject.store.lead("b", 50, 10)
    assert new is not None
    with pytest.raises(ConflictError):
        await subject.store.thin(old, 0)


async def test_numbering_is_whole(subject: Subject) -> None:
    """Numbering puts entries and tiles, takes the rows away, and refuses a length that is over."""
    store = subject.store
    await subject.record(SEAL.change(_line(0)))
    leader = await store.lead("a", 0, 10)
    assert leader is not None
    numbering = number(await store.pending(10), SEAL, 0)
    await store.number(leader, numbering)
    with pytest.raises(ConflictError):
        await store.number(leader, numbering)
    assert await store.size() == 1
    assert (await store.backlog()).entries == 0
    (entry,) = await store.entries(0, 10)
    assert entry.line == _line(0)[:-1] + b',"sequence":0}'
    assert await store.tiles([Place(0, 0), Place(1, 0)]) == {Place(0, 0): leaf_hash(entry.line)}
    assert (await store.pending(10)).size == 1


async def test_the_tree_grows_by_tiles(subject: Subject) -> None:
    """Whole tiles stay, the last ones grow, and levels above follow."""
    await subject.fill(200)
    await subject.fill(400)
    entries = await subject.store.entries(0, 1000)
    tiles = await subject.store.tiles([Place(0, 0), Place(0, 1), Place(0, 2), Place(1, 0)])
    hashes = b"".join(tiles[Place(0, each)] for each in range(3))
    assert hashes == b"".join(leaf_hash(each.line) for each in entries)
    assert len(tiles[Place(1, 0)]) == 64
    assert edge(600) == [Place(0, 2), Place(1, 0)]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), range(100)),
        (Filter(user="u2"), range(50, 100)),
        (Filter(user="nobody"), []),
        (Filter(resource="a/b"), range(50)),
        (Filter(resource="a/*"), range(100)),
        (Filter(resource="a/c*"), range(50, 100)),
        (Filter(result="denied"), range(0, 100, 3)),
        (Filter(event_type="key"), []),
        (Filter(event_type="token", action="a", request_id="id-42"), [42]),
        (Filter(since="2026-01-15T10:00:10.000000Z", until="2026-01-15T10:01:00.000000Z"), range(10, 60)),
        (Filter(since="2027"), []),
        (Filter(until="2025"), []),
    ],
)
async def test_entries_are_found(subject: Subject, wanted: Filter, expected: Sequence[int]) -> None:
    """Every column finds its entries, newest first or oldest first."""
    store = subject.store
    await subject.fill(50, "u1", "a/b")
    await subject.fill(50, "u2", "a/c/d")
    low, high = await store.bounds(wanted.since, wanted.until)
    found = await store.find(wanted, low, high, 1000)
    assert [each.sequence for each in found] == sorted(expected, reverse=True)
    oldest = Filter(**{**{f: getattr(wanted, f) for f in wanted.__struct_fields__}, "oldest_first": True})
    assert [each.sequence for each in await store.find(oldest, low, high, 5)] == list(expected)[:5]


async def test_marks_grow_with_their_tile(subject: Subject) -> None:
    """Each tile has the marks of all its entries; the unfinished one's come with what is pending."""
    store = subject.store
    assert await store.marks(0, 10) == {}
    await subject.fill(200, "u1")
    await subject.fill(100, "u2")
    entries = await store.entries(0, 1000)
    assert await store.marks(0, 10) == extend(0, None, entries)
    assert list(await store.marks(1, 1)) == [1]
    await subject.record(b"next")
    assert (await store.pending(10)).marks == (await store.marks(1, 1))[1]


async def test_spans_grow_with_their_tile(subject: Subject) -> None:
    """Each tile has the earliest and the latest time of its entries, also when it was filled in parts."""
    store = subject.store
    assert await store.spans(0, 10) == []
    await subject.fill(200)
    await subject.fill(100)
    times = [each.timestamp for each in await store.entries(0, 1000)]
    assert await store.spans(0, 10) == [Span(0, times[0], times[255]), Span(1, times[256], times[299])]
    assert [each.tile for each in await store.spans(1, 1)] == [1]


async def test_what_is_rare_is_found_among_many(subject: Subject) -> None:
    """Entries in few tiles are found in either order, up to the limit, within the range."""
    store = subject.store
    for count, user in ((300, "u1"), (2, "u2"), (1100, "u1"), (3, "u2"), (20, "u1")):
        await subject.fill(count, user)
    rare = [300, 301, 1402, 1403, 1404]
    for limit in (1, 2, 3, 5, 10):
        newest = await store.find(Filter(user="u2"), 0, 1425, limit)
        assert [each.sequence for each in newest] == rare[::-1][:limit]
        oldest = await store.find(Filter(user="u2", oldest_first=True), 0, 1425, limit)
        assert [each.sequence for each in oldest] == rare[:limit]
    assert [each.sequence for each in await store.find(Filter(user="u2"), 301, 1404, 10)] == [1403, 1402, 301]
    assert await store.find(Filter(user="u2"), 302, 1402, 10) == []
    assert await store.find(Filter(user="u2"), 302, 302, 10) == []


async def test_checkpoints_are_kept_and_thinned(subject: Subject) -> None:
    """One checkpoint a size, the first stays; thinning leaves the last of each old hour."""
    store = subject.store
    leader = await store.lead("a", 0, 10)
    assert leader is not None
    assert await store.checkpoint() is None
    for size in range(1, 11):
        await store.sign(leader, StoredCheckpoint(size, size // 4, b"%d" % size))
    await store.sign(leader, StoredCheckpoint(10, 9, b"later"))
    newest = await store.checkpoint()
    assert newest == StoredCheckpoint(10, 2, b"10")
    assert await store.checkpoint(4) == StoredCheckpoint(4, 1, b"4")
    assert [each.size for each in await store.checkpoints(3, 4)] == [4, 5, 6, 7]
    await store.thin(leader, 2)
    assert [each.size for each in await store.checkpoints(0, 100)] == [3, 7, 8, 9, 10]

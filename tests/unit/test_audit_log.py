"""Reading the log: who may, searches in pages, proofs that hold; and floods that are only counted."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING

import pytest

from tests.support.audit import VERIFIER, Room
from tradewarden.access.grant import Grant, authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit import log
from tradewarden.audit.checkpoint import read_checkpoint
from tradewarden.audit.flood import MAX_ADDRESSES, Flood
from tradewarden.audit.query import Filter, Query, checked, encode_cursor
from tradewarden.audit.tree import leaf_hash, verify_consistency, verify_inclusion
from tradewarden.errors import (
    AuditUnavailableError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tradewarden.storage.database import Row, Transaction, Value

AUDITOR = Principal(Kind.USER, "auditor")


def _grant(permission: str = "audit:read", action: str = "") -> Grant:
    return authorize(AUDITOR, PermissionSet((permission,)), action or permission)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    """A log of 30 reads and 30 changes."""
    made = Room(tmp_path)
    for each in range(30):
        await made.read(f"secret/{each}", f"service:{each % 2}")
        await made.change(f"secret/{each}", "user:admin")
    await made.settle()
    yield made
    await made.close()


@pytest.mark.parametrize("other", [_grant("secrets:read"), _grant("audit:read:foo", "audit:read")])
async def test_only_auditors_read(room: Room, other: Grant) -> None:
    """A grant for something else, or for a part of the log, opens nothing here."""
    for call in (
        room.log.search(other, Query()),
        room.log.checkpoint(other),
        room.log.inclusion(other, 0, 1),
        room.log.consistency(other, 1, 2),
        room.log.export(other, lambda *_: None),
    ):
        with pytest.raises(PermissionDeniedError):
            await call


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_a_search_goes_on_where_it_left_off(room: Room, oldest_first: bool) -> None:
    """Pages follow each other without gap or overlap, and the last one has no cursor."""
    wanted = Filter(user="user:admin", oldest_first=oldest_first)
    seen: list[int] = []
    cursor = ""
    for _ in range(10):
        page = await room.log.search(_grant(), Query(wanted, 7, cursor))
        seen += [json.loads(each)["sequence"] for each in page.entries]
        cursor = page.cursor
        if not cursor:
            break
    assert len(seen) == 30
    assert seen == sorted(set(seen), reverse=not oldest_first)
    assert cursor == ""


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_a_search_that_takes_long_gives_what_it_has(
    room: Room, monkeypatch: pytest.MonkeyPatch, oldest_first: bool
) -> None:
    """A search looks at a part of the log at a time, and stops after its time with a cursor."""
    monkeypatch.setattr(log, "_WINDOW", 8)
    wanted = Filter(request_id="w-secret/15", oldest_first=oldest_first)
    assert len((await room.log.search(_grant(), Query(wanted))).entries) == 1
    monkeypatch.setattr(log, "_SEARCH_SECONDS", 0)
    pages = [await room.log.search(_grant(), Query(wanted))]
    while pages[-1].cursor:
        pages.append(await room.log.search(_grant(), Query(wanted, cursor=pages[-1].cursor)))
    assert len(pages) == 8
    assert [len(each.entries) for each in pages if each.entries] == [1]


async def test_a_page_is_stable_while_the_log_grows(room: Room) -> None:
    """Going on with a cursor shows what was there, however much came meanwhile."""
    page = await room.log.search(_grant(), Query(limit=50))
    for each in range(20):
        await room.read(f"later/{each}")
    await room.settle()
    rest = await room.log.search(_grant(), Query(cursor=page.cursor))
    sequences = [json.loads(each)["sequence"] for each in (*page.entries, *rest.entries)]
    assert sequences == list(range(59, -1, -1))


async def test_the_log_can_be_followed(room: Room) -> None:
    """Oldest first, a cursor of the last sequence seen goes on once there is more."""
    wanted = Filter(user="user:admin", oldest_first=True)
    page = await room.log.search(_grant(), Query(wanted, 1000))
    assert (len(page.entries), page.cursor) == (30, "")
    cursor = encode_cursor(json.loads(page.entries[-1])["sequence"])
    again = await room.log.search(_grant(), Query(wanted, 1000, cursor))
    assert (again.entries, again.cursor) == ([], "")
    await room.change("later", "user:admin")
    await room.settle()
    more = await room.log.search(_grant(), Query(wanted, 1000, cursor))
    assert [json.loads(each)["resource"] for each in more.entries] == ["later"]


@pytest.mark.parametrize(
    "query",
    [
        Query(limit=0),
        Query(limit=1001),
        Query(cursor="!"),
        Query(cursor="é"),
        Query(cursor="oWE"),
        Query(cursor="A" * 1000),
        Query(Filter(since="yesterday")),
        Query(Filter(until="2026-01-15T10:30:00+01:00")),
        Query(Filter(event_type="party")),
        Query(Filter(result="maybe")),
        Query(Filter(user="x" * 2000)),
    ],
)
async def test_a_bad_query_is_named(room: Room, query: Query) -> None:
    """A parameter that is not understood is refused by its name."""
    with pytest.raises(InvalidInputError, match="must be"):
        await room.log.search(_grant(), query)


def test_times_are_brought_to_one_form() -> None:
    """A time without fraction means the whole second."""
    wanted = checked(Query(Filter(since="2026-01-15T10:30:00Z", until="2026-01-15T10:30:00.5Z")))
    assert wanted.filter.since == "2026-01-15T10:30:00.000000Z"
    assert wanted.filter.until == "2026-01-15T10:30:00.500000Z"


async def test_proofs_hold(room: Room) -> None:
    """What is served proves every entry in the signed tree, and that the log only grew."""
    early = read_checkpoint(await room.log.checkpoint(_grant()), VERIFIER)
    for each in range(300):
        await room.read(f"later/{each}")
    await room.settle()
    note = await room.log.checkpoint(_grant())
    late = read_checkpoint(note, VERIFIER)
    assert b64decode(note.split(b"\n")[2]) == late.root
    for sequence in (0, 7, 59, 60, 255, 256, late.size - 1):
        proof = await room.log.inclusion(_grant(), sequence, late.size)
        (entry,) = await room.store.entries(sequence, 1)
        assert proof.leaf == leaf_hash(entry.line)
        verify_inclusion(proof.leaf, sequence, late.size, proof.proof, late.root)
    agreed = await room.log.consistency(_grant(), early.size, late.size)
    verify_consistency(early.size, early.root, late.size, late.root, agreed.proof)
    assert await room.log.checkpoint(_grant(), early.size) != note
    for call in (
        room.log.inclusion(_grant(), 5, 5),
        room.log.inclusion(_grant(), 0, late.size + 1),
        room.log.consistency(_grant(), 9, 8),
        room.log.consistency(_grant(), 0, 8),
    ):
        with pytest.raises(InvalidInputError):
            await call
    with pytest.raises(NotFoundError):
        await room.log.checkpoint(_grant(), 3)


async def test_hidden_rows_do_not_change_what_is_found(room: Room) -> None:
    """An entry whose columns say otherwise than its line is not shown for what it is not."""

    async def lie(transaction: object) -> None:
        await transaction.run("UPDATE audit_entries SET principal = 'user:eve' WHERE sequence < 5")  # type: ignore[attr-defined]

    await room.database.transact(lie)
    page = await room.log.search(_grant(), Query(Filter(user="user:eve")))
    assert page.entries == []


async def test_missing_marks_hide_nothing(room: Room) -> None:
    """A tile whose marks somebody took away is read, before and after it grows."""

    async def take_away(transaction: Transaction) -> None:
        await transaction.run("DELETE FROM audit_marks")

    query = Query(Filter(resource="secret/7"))
    await room.database.transact(take_away)
    assert len((await room.log.search(_grant(), query)).entries) == 2
    await room.change("secret/7")
    await room.settle()
    assert await room.store.marks(0, 0) == {}
    assert len((await room.log.search(_grant(), query)).entries) == 3


@pytest.mark.parametrize(
    "lie",
    [
        "DELETE FROM audit_spans",
        "DELETE FROM audit_spans WHERE tile = 0",
        "UPDATE audit_spans SET tile = 99 WHERE tile = 1",
        "UPDATE audit_spans SET tile = -1 WHERE tile = 1",
    ],
)
async def test_missing_spans_hide_nothing(room: Room, lie: str) -> None:
    """A search by time finds everything also when somebody took spans away."""
    for each in range(300):
        await room.read("often", f"service:{each % 2}")
    await room.settle()
    begin, end = "2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z"

    async def found() -> list[int]:
        wanted = [Filter(since=begin), Filter(until=end), Filter(since=begin, until=end), Filter(since=end)]
        return [len((await room.log.search(_grant(), Query(each, 1000))).entries) for each in wanted]

    async def take_away(transaction: Transaction) -> None:
        await transaction.run(lie)

    assert await found() == [360, 360, 360, 0]
    await room.database.transact(take_away)
    assert await found() == [360, 360, 360, 0]


async def test_what_cannot_hold_it_is_not_read(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search reads entries of those tiles only whose marks say that they may be wanted."""
    for each in range(300):
        await room.read("often", f"service:{each % 2}")
    await room.settle()
    ranges = []
    read = room.database.all

    async def watched(sql: str, *args: Value) -> list[Row]:
        if "FROM audit_entries" in sql:
            ranges.append(args[:2])
        return await read(sql, *args)

    monkeypatch.setattr(room.database, "all", watched)
    for resource, count in (("secret/7", 2), ("often", 300), ("nowhere", 0), ("secret/*", 60), ("no/*", 0)):
        assert len((await room.log.search(_grant(), Query(Filter(resource=resource), 1000))).entries) == count
    assert ranges == [(0, 256), (0, 360), (0, 256)]


class _Recorder:
    def __init__(self) -> None:
        self.events: list[dict[str, object]] = []
        self.broken = False

    async def record(self, event: bytes) -> None:
        if self.broken:
            raise AuditUnavailableError("full")
        self.events.append(json.loads(event))


async def test_a_flood_is_two_entries_an_address_and_window(room: Room) -> None:
    """However many calls are throttled, a window leaves two entries an address, and few addresses."""
    recorder = _Recorder()
    flood = Flood(recorder, room.clock)
    for each in range(100_000):
        address = f"10.0.{each % 4}.1"
        if flood.note(address):
            await flood.begin(address)
    await flood.close_window()
    counts = [event.get("count") for event in recorder.events]
    assert counts == [None] * 4 + [25_000] * 4
    assert {event["result"] for event in recorder.events} == {"denied"}

    recorder.events.clear()
    for each in range(100_000):
        address = f"10.{each >> 8 & 255}.{each & 255}.1"
        if flood.note(address):
            await flood.begin(address)
    await flood.close_window()
    await flood.close_window()
    assert len(recorder.events) == 2 * (MAX_ADDRESSES + 1)
    assert sum(int(str(e.get("count", 1))) for e in recorder.events[MAX_ADDRESSES + 1 :]) == 100_000


async def test_a_count_that_cannot_be_recorded_is_kept(room: Room) -> None:
    """When the journal is full the count goes into the next window."""
    recorder = _Recorder()
    flood = Flood(recorder, room.clock)
    for _ in range(10):
        flood.note("10.0.0.1")
    recorder.broken = True
    with pytest.raises(AuditUnavailableError):
        await flood.close_window()
    recorder.broken = False
    flood.note("10.0.0.1")
    await flood.close_window()
    assert [event["count"] for event in recorder.events] == [11]

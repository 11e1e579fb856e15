"""A search of the stored log against the filter over a plain list, however the log was cut into numberings."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.audit import SEAL, SIGNER
from tradewarden.access.grant import authorize
from tradewarden.access.permission import ALL
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit import log, marks
from tradewarden.audit.entry import Event, encode
from tradewarden.audit.log import AuditLog
from tradewarden.audit.query import Filter, Query
from tradewarden.audit.sequencer import number
from tradewarden.audit.store import InboxRow, Shipped
from tradewarden.clock import SystemClock
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_audit import MemoryAuditStore
from tradewarden.storage.migration import migrate_sqlite
from tradewarden.storage.sql_audit import SqlAuditStore
from tradewarden.storage.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from tradewarden.audit.store import AuditStore, StoredEntry

BOOT = "0011223344556677"
GRANT = authorize(Principal(Kind.USER, "auditor"), ALL, "audit:read")
WINDOW = 1000
TILE = 256

names = st.sampled_from(["", "a", "b", "service:x"])
resources = st.sampled_from(["", "a", "a/", "a/b", "a/b/c", "a/bc", "a/b/c/d/e/f", "b/a", "/a", "é/ü"])
events = st.builds(
    Event,
    timestamp=st.sampled_from([f"2026-01-15T10:30:{second:02d}.000000Z" for second in range(5)]),
    event_type=st.sampled_from(["token", "key", "user"]),
    user=names,
    resource=resources,
    action=names,
    result=st.sampled_from(["success", "denied"]),
    ip_address=st.just(""),
    user_agent=st.just(""),
    request_id=names,
)
runs = st.lists(
    st.tuples(events, st.sampled_from([1, 2, 30, TILE - 1, TILE, TILE + 1, 2 * TILE])), min_size=1, max_size=6
)
"""One kind of entry after the other, so many of each: a kind stands in some tiles and not in others."""
prefixes = st.sampled_from(["*", "a*", "a/*", "a/b*", "a/b/*", "a/b/c/d/e/*", "x*", "x/*", "é/*"])
filters = st.builds(
    Filter,
    since=st.sampled_from(["", "2026-01-15T10:30:02.000000Z"]),
    until=st.sampled_from(["", "2026-01-15T10:30:04.000000Z"]),
    user=names,
    resource=resources | prefixes,
    event_type=st.sampled_from(["", "", "token", "key", "user"]),
    action=names,
    result=st.sampled_from(["", "", "success", "denied"]),
    request_id=names,
    oldest_first=st.booleans(),
)


async def _fill(store: AuditStore, lines: list[bytes], cuts: list[int]) -> None:
    leader = await store.lead("test", 0, 10**12)
    assert leader is not None
    ends = [*sorted({cut for cut in cuts if cut < len(lines)}), len(lines)]
    begin, before = 0, None
    for end in ends:
        after = Shipped(BOOT, end, 0, end)
        sealed = SEAL.batch(bytes.fromhex(BOOT), begin, end - begin, b"\n".join(lines[begin:end]))
        assert await store.ship(before, after, [InboxRow(0, BOOT, begin, end - begin, sealed)], [])
        await store.number(leader, number(await store.pending(end - begin), SEAL, 0))
        begin, before = end, after


async def _compare(store: AuditStore, wanted: Filter, low: int, high: int, limit: int) -> None:
    entries: list[StoredEntry] = await store.entries(0, 10_000)
    in_order = entries if wanted.oldest_first else entries[::-1]
    expected = [each for each in in_order if wanted.matches(each)]
    between = [each for each in expected if low <= each.sequence < high]
    assert await store.find(wanted, low, high, limit) == between[:limit]
    reader = AuditLog(store, SIGNER, SystemClock())
    query = Query(wanted, max(limit, len(expected) // 3))
    page = await reader.search(GRANT, query)
    found = list(page.entries)
    while page.cursor:
        page = await reader.search(GRANT, replace(query, cursor=page.cursor))
        found += page.entries
    assert [json.loads(each)["sequence"] for each in found] == [each.sequence for each in expected]


@settings(max_examples=40, deadline=None)
@given(
    runs=runs,
    cuts=st.lists(st.sampled_from([1, 3, TILE - 1, TILE, TILE + 1, 2 * TILE, 700]), max_size=4),
    searches=st.lists(
        st.tuples(filters, st.integers(0, 1500), st.integers(0, 1500), st.integers(1, 300)), min_size=1, max_size=8
    ),
)
def test_a_search_finds_what_the_filter_takes(
    runs: list[tuple[Event, int]], cuts: list[int], searches: list[tuple[Filter, int, int, int]]
) -> None:
    """Whatever is asked for, in every order, range and page size, is what a plain list has of it."""
    lines = [encode(event) for event, count in runs for _ in range(count)][:1400]

    async def run(directory: Path) -> None:
        path = directory / "tradewarden.db"
        migrate_sqlite(path)
        database = SqliteDatabase(path)
        try:
            for store in (SqlAuditStore(database), MemoryAuditStore(MemoryDatabase())):
                await _fill(store, lines, cuts)
                for wanted, low, high, limit in searches:
                    await _compare(store, wanted, low, min(high, len(lines)), limit)
        finally:
            await database.close()

    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "_WINDOW", WINDOW)
        patch.setattr(marks, "_GAP", 0)
        asyncio.run(run(Path(directory)))

"""The audit log in memory. Nothing here suspends, so each method is atomic."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from tradewarden.audit.store import (
    Arrival,
    Backlog,
    InboxRow,
    Leader,
    Numbering,
    Pending,
    Shipped,
    Span,
    StoredCheckpoint,
    StoredEntry,
)
from tradewarden.audit.tiles import HEIGHT, Place, Tiles, edge
from tradewarden.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.audit.marks import Marks
    from tradewarden.audit.query import Filter
    from tradewarden.storage.memory import MemoryDatabase

_NOBODY = Leader("", 0, 0.0)


class MemoryAuditStore:
    """An `AuditStore` over a `MemoryDatabase`, whose inbox it takes changes from."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._next_id = 1
        self._rows: list[InboxRow] = []
        self._shipped: dict[str, Shipped] = {}
        self._leader = _NOBODY
        self._entries: list[StoredEntry] = []
        self._tiles: Tiles = {}
        self._marks: Marks = {}
        self._spans: dict[int, Span] = {}
        self._checkpoints: dict[int, StoredCheckpoint] = {}

    def _inbox(self) -> list[InboxRow]:
        changes, self._database.inbox = self._database.inbox, []
        for change in changes:
            self._put("", 0, 1, change)
        return self._rows

    def _put(self, journal: str, first: int, count: int, batch: bytes) -> None:
        self._rows.append(InboxRow(self._next_id, journal, first, count, batch))
        self._next_id += 1

    async def shipped(self, boot: str) -> Shipped | None:
        """Return how far a boot's journal has come; None when nothing of it has."""
        return self._shipped.get(boot)

    async def ship(
        self,
        before: Shipped | None,
        after: Shipped,
        rows: Sequence[InboxRow],
        notes: Sequence[bytes],
    ) -> bool:
        """Put batches and notes into the inbox, if the journal still stands where `before` says."""
        if self._shipped.get(after.boot) != before:
            return False
        self._inbox()
        self._shipped[after.boot] = after
        for row in rows:
            self._put(row.journal, row.first, row.count, row.batch)
        for note in notes:
            self._database.record(note)
        return True

    async def backlog(self) -> Backlog:
        """Return what waits for its numbers."""
        rows = self._inbox()
        return Backlog(sum(each.count for each in rows), rows[0] if rows else None)

    async def lead(self, holder: str, now: float, lease: float) -> Leader | None:
        """Take or keep the lead; a new lead has a new epoch."""
        present = self._leader
        if present.bars(holder, now, lease):
            return None
        epoch = present.epoch + (present.holder != holder)
        self._leader = Leader(holder, epoch, now + lease)
        return self._leader

    def _fence(self, leader: Leader) -> None:
        if (leader.holder, leader.epoch) != (self._leader.holder, self._leader.epoch):
            raise ConflictError("Another process leads the audit log now", reason=f"epoch {leader.epoch} is over")

    async def pending(self, limit: int) -> Pending:
        """Return the log's edge and inbox rows in order, about `limit` entries."""
        rows: list[InboxRow] = []
        taken = 0
        for row in self._inbox():
            if taken and taken + row.count > limit:
                break
            rows.append(row)
            taken += row.count
        size = len(self._entries)
        tiles = await self.tiles(edge(size)) if rows else {}
        return Pending(size, tiles, self._marks.get(size >> HEIGHT), rows)

    async def number(self, leader: Leader, numbering: Numbering) -> None:
        """Write a numbering; raises `ConflictError` when the lead or the length is not as it was."""
        self._fence(leader)
        if numbering.size != len(self._entries):
            raise ConflictError("The audit log has grown meanwhile", reason="other length")
        taken = set(numbering.taken)
        self._rows = [each for each in self._rows if each.id not in taken]
        self._entries.extend(numbering.entries)
        self._tiles.update(numbering.tiles)
        self._marks.update(numbering.marks)
        for each in numbering.spans:
            before = self._spans.get(each.tile, each)
            earliest, latest = min(before.earliest, each.earliest), max(before.latest, each.latest)
            self._spans[each.tile] = Span(each.tile, earliest, latest)

    async def sign(self, leader: Leader, checkpoint: StoredCheckpoint) -> None:
        """Keep a checkpoint; one a size, the first stays."""
        self._fence(leader)
        self._checkpoints.setdefault(checkpoint.size, checkpoint)

    async def thin(self, leader: Leader, before_hour: int) -> None:
        """Keep only the last checkpoint of each hour before `before_hour`."""
        self._fence(leader)
        old = [each for each in self._checkpoints.values() if each.hour < before_hour]
        newest: dict[int, int] = {}
        for each in old:
            newest[each.hour] = max(each.size, newest.get(each.hour, 0))
        for each in old:
            if each.size != newest[each.hour]:
                del self._checkpoints[each.size]

    async def size(self) -> int:
        """Return how many entries are numbered."""
        return len(self._entries)

    async def entries(self, first: int, limit: int) -> list[StoredEntry]:
        """Return up to `limit` entries from sequence `first` on."""
        return self._entries[first : first + limit]

    async def find(self, wanted: Filter, low: int, high: int, limit: int) -> list[StoredEntry]:
        """Return up to `limit` matching entries between two sequences, in the filter's order."""
        part = self._entries[low:high]
        ordered = part if wanted.oldest_first else part[::-1]
        return [each for each in ordered if wanted.matches(each)][:limit]

    async def bounds(self, since: str, until: str) -> tuple[int, int]:
        """Return sequences between which every entry of that time lies."""
        del since, until  # `find` looks at every entry anyway
        return 0, len(self._entries)

    async def tiles(self, places: Sequence[Place]) -> Tiles:
        """Return those of the tiles that are there."""
        return {place: self._tiles[place] for place in places if place in self._tiles}

    async def marks(self, first: int, last: int) -> Marks:
        """Return the marks of level 0 tiles `first` to `last`, of those that have any."""
        return {tile: marks for tile, marks in self._marks.items() if first <= tile <= last}

    async def spans(self, first: int, last: int) -> list[Span]:
        """Return the spans of level 0 tiles `first` to `last`, of those that have one."""
        return [self._spans[tile] for tile in sorted(self._spans) if first <= tile <= last]

    async def arrivals(self) -> list[Arrival]:
        """Return how far each journal has come."""
        ends: dict[str, int] = {}
        for row in self._inbox():
            ends[row.journal] = max(ends.get(row.journal, 0), row.first + row.count)
        return [Arrival(boot, each.counter, ends.get(boot, 0)) for boot, each in self._shipped.items()]

    async def misfits(self) -> list[str]:
        """Return what is wrong around the log: nothing, what is here keeps its types."""
        return []

    async def checkpoint(self, size: int | None = None) -> StoredCheckpoint | None:
        """Return the checkpoint of one size, or the newest."""
        if size is None:
            size = max(self._checkpoints, default=0)
        return self._checkpoints.get(size)

    async def checkpoints(self, after: int, limit: int) -> list[StoredCheckpoint]:
        """Return up to `limit` checkpoints of more than `after` entries, smallest first."""
        sizes = sorted(self._checkpoints)
        start = bisect_right(sizes, after)
        return [self._checkpoints[size] for size in sizes[start : start + limit]]

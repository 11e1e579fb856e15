"""The audit log in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import astuple

from tradewarden.audit.marks import asked, promising
from tradewarden.audit.store import (
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
from tradewarden.audit.tiles import HEIGHT, WIDTH, Place, Tiles, edge
from tradewarden.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.audit.marks import Marks
    from tradewarden.audit.query import Filter
    from tradewarden.audit.tree import Range
    from tradewarden.storage.database import Database, Transaction, Value

_SHIPPED = "SELECT boot, counter, segment, position FROM audit_journals WHERE boot = ?"
_PUT_SHIPPED = (
    "INSERT INTO audit_journals (boot, counter, segment, position) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (boot) DO UPDATE SET counter = excluded.counter, segment = excluded.segment,"
    " position = excluded.position"
)
_PUT_BATCH = "INSERT INTO audit_inbox (journal, first, count, batch) VALUES (?, ?, ?, ?)"
_WAITING = "SELECT coalesce(sum(count), 0) FROM audit_inbox"
_COUNTS = "SELECT id, count FROM audit_inbox ORDER BY id LIMIT ?"
_ROWS = "SELECT id, journal, first, count, batch FROM audit_inbox WHERE id <= ? ORDER BY id"
_OLDEST = "SELECT id, journal, first, count, batch FROM audit_inbox ORDER BY id LIMIT 1"
_TAKE = "DELETE FROM audit_inbox WHERE id = ?"
_LEADER = "SELECT holder, epoch, expires_at FROM audit_leader WHERE id = 1"
_LEAD = "UPDATE audit_leader SET holder = ?, epoch = ?, expires_at = ? WHERE id = 1"
_FENCE = "UPDATE audit_leader SET expires_at = ? WHERE id = 1 AND holder = ? AND epoch = ?"
_SIZE = "SELECT size FROM audit_tree WHERE id = 1"
_GROW = "UPDATE audit_tree SET size = ? WHERE id = 1 AND size = ?"
_ENTRY = "timestamp, event_type, principal, resource, action, result, request_id, sequence, line"
_PUT_ENTRY = (
    f"INSERT INTO audit_entries ({_ENTRY}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
    " ON CONFLICT (sequence) DO UPDATE SET timestamp = excluded.timestamp,"
    " event_type = excluded.event_type, principal = excluded.principal,"
    " resource = excluded.resource, action = excluded.action, result = excluded.result,"
    " request_id = excluded.request_id, line = excluded.line"
)
_ENTRIES = f"SELECT {_ENTRY} FROM audit_entries WHERE sequence >= ? ORDER BY sequence LIMIT ?"  # noqa: S608
_PUT_TILE = (
    "INSERT INTO audit_tiles (level, number, hashes) VALUES (?, ?, ?)"
    " ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes"
)
_TILE = "SELECT hashes FROM audit_tiles WHERE level = ? AND number = ?"
_PUT_SPAN = (
    "INSERT INTO audit_spans (tile, earliest, latest) VALUES (?, ?, ?)"
    " ON CONFLICT (tile) DO UPDATE SET"
    " earliest = CASE WHEN excluded.earliest < audit_spans.earliest"
    " THEN excluded.earliest ELSE audit_spans.earliest END,"
    " latest = CASE WHEN excluded.latest > audit_spans.latest"
    " THEN excluded.latest ELSE audit_spans.latest END"
)
_PUT_MARKS = (
    "INSERT INTO audit_marks (tile, marks) VALUES (?, ?) ON CONFLICT (tile) DO UPDATE SET marks = excluded.marks"
)
_BEGUN_MARKS = "SELECT marks FROM audit_marks WHERE tile = ?"
_MARKS = "SELECT tile, marks FROM audit_marks WHERE tile >= ? AND tile <= ?"
_SPANS = "SELECT tile, earliest, latest FROM audit_spans WHERE tile >= ? AND tile <= ? ORDER BY tile"
_COUNT_SPANS = "SELECT count(*) FROM audit_spans WHERE tile >= 0 AND tile < ?"
_FIRST_SPAN = "SELECT tile FROM audit_spans WHERE latest >= ? ORDER BY tile LIMIT 1"
_LAST_SPAN = "SELECT tile FROM audit_spans WHERE earliest < ? ORDER BY tile DESC LIMIT 1"
_PUT_CHECKPOINT = "INSERT INTO audit_checkpoints (size, hour, note) VALUES (?, ?, ?) ON CONFLICT (size) DO NOTHING"
_CHECKPOINT = "SELECT size, hour, note FROM audit_checkpoints WHERE size = ?"
_NEWEST = "SELECT size, hour, note FROM audit_checkpoints ORDER BY size DESC LIMIT 1"
_CHECKPOINTS = "SELECT size, hour, note FROM audit_checkpoints WHERE size > ? ORDER BY size LIMIT ?"
_THIN = (
    "DELETE FROM audit_checkpoints WHERE hour < ? AND size NOT IN"
    " (SELECT max(size) FROM audit_checkpoints WHERE hour < ? GROUP BY hour)"
)
_LAST_TEXT = "\U0010ffff"


class SqlAuditStore:
    """An `AuditStore` over any `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def shipped(self, boot: str) -> Shipped | None:
        """Return how far a boot's journal has come; None when nothing of it has."""
        row = await self._database.one(_SHIPPED, boot)
        return None if row is None else Shipped(*row)  # type: ignore[arg-type]

    async def ship(
        self,
        before: Shipped | None,
        after: Shipped,
        rows: Sequence[InboxRow],
        notes: Sequence[bytes],
    ) -> bool:
        """Put batches and notes into the inbox, if the journal still stands where `before` says."""

        async def work(transaction: Transaction) -> bool:
            row = await transaction.one(_SHIPPED, after.boot)
            if (None if row is None else Shipped(*row)) != before:  # type: ignore[arg-type]
                return False
            await transaction.run(_PUT_SHIPPED, after.boot, after.counter, after.segment, after.offset)
            await transaction.run_many(
                _PUT_BATCH, [(each.journal, each.first, each.count, each.batch) for each in rows]
            )
            for note in notes:
                await transaction.record(note)
            return True

        return await self._database.transact(work)

    async def backlog(self) -> Backlog:
        """Return what waits for its numbers."""
        ((waiting,),) = await self._database.all(_WAITING)
        row = await self._database.one(_OLDEST)
        oldest = None if row is None else InboxRow(*row)  # type: ignore[arg-type]
        return Backlog(waiting, oldest)  # type: ignore[arg-type]

    async def lead(self, holder: str, now: float, lease: float) -> Leader | None:
        """Take or keep the lead; a new lead has a new epoch."""

        async def work(transaction: Transaction) -> Leader | None:
            row = await transaction.one(_LEADER)
            present = Leader(*row) if row else Leader("", 0, 0)  # type: ignore[arg-type]
            if present.bars(holder, now, lease):
                return None
            epoch = present.epoch + (present.holder != holder)
            await transaction.run(_LEAD, holder, epoch, now + lease)
            return Leader(holder, epoch, now + lease)

        return await self._database.transact(work)

    async def pending(self, limit: int) -> Pending:
        """Return the log's edge and inbox rows in order, about `limit` entries."""
        size = await self.size()
        counts = await self._database.all(_COUNTS, limit)
        last, taken = -1, 0
        for row_id, count in counts:
            if taken and taken + count > limit:  # type: ignore[operator]
                break
            last, taken = row_id, taken + count  # type: ignore[assignment,operator]
        rows = await self._database.all(_ROWS, last) if counts else []
        tiles = await self.tiles(edge(size)) if rows else {}
        begun = await self._database.one(_BEGUN_MARKS, size >> HEIGHT) if rows else None
        marks = None if begun is None else begun[0]
        return Pending(size, tiles, marks, [InboxRow(*row) for row in rows])  # type: ignore[arg-type]

    async def number(self, leader: Leader, numbering: Numbering) -> None:
        """Write a numbering; raises `ConflictError` when the lead or the length is not as it was."""
        entries = [astuple(each) for each in numbering.entries]
        tiles = [(*place, hashes) for place, hashes in numbering.tiles.items()]
        spans = [(each.tile, each.earliest, each.latest) for each in numbering.spans]
        size = numbering.size

        async def work(transaction: Transaction) -> None:
            await _fence(transaction, leader)
            if await transaction.run(_GROW, size + len(entries), size) != 1:
                raise ConflictError("The audit log has grown meanwhile", reason="other length")
            await transaction.run_many(_PUT_ENTRY, entries)
            await transaction.run_many(_PUT_TILE, tiles)
            await transaction.run_many(_PUT_SPAN, spans)
            await transaction.run_many(_PUT_MARKS, numbering.marks.items())
            await transaction.run_many(_TAKE, [(each,) for each in numbering.taken])

        await self._database.transact(work)

    async def sign(self, leader: Leader, checkpoint: StoredCheckpoint) -> None:
        """Keep a checkpoint; one a size, the first stays."""

        async def work(transaction: Transaction) -> None:
            await _fence(transaction, leader)
            await transaction.run(_PUT_CHECKPOINT, checkpoint.size, checkpoint.hour, checkpoint.note)

        await self._database.transact(work)

    async def thin(self, leader: Leader, before_hour: int) -> None:
        """Keep only the last checkpoint of each hour before `before_hour`."""

        async def work(transaction: Transaction) -> None:
            await _fence(transaction, leader)
            await transaction.run(_THIN, before_hour, before_hour)

        await self._database.transact(work)

    async def size(self) -> int:
        """Return how many entries are numbered."""
        row = await self._database.one(_SIZE)
        return 0 if row is None else row[0]  # type: ignore[return-value]

    async def entries(self, first: int, limit: int) -> list[StoredEntry]:
        """Return up to `limit` entries from sequence `first` on."""
        rows = await self._database.all(_ENTRIES, first, limit)
        return [StoredEntry(*row) for row in rows]  # type: ignore[arg-type]

    async def find(self, wanted: Filter, low: int, high: int, limit: int) -> list[StoredEntry]:
        """Return up to `limit` matching entries between two sequences, in the filter's order."""
        found: list[StoredEntry] = []
        ranges = await self._promising(wanted, low, high)
        for begin, end in ranges if wanted.oldest_first else reversed(ranges):
            found += await self._matching(wanted, begin, end, limit - len(found))
            if len(found) == limit:
                break
        return found

    async def _promising(self, wanted: Filter, low: int, high: int) -> list[Range]:
        marks = asked(wanted)
        if not marks or low >= high:
            return [(low, high)]
        return promising(low, high, await self.marks(low >> HEIGHT, high - 1 >> HEIGHT), marks)

    async def _matching(self, wanted: Filter, low: int, high: int, limit: int) -> list[StoredEntry]:
        conditions, args = _conditions(wanted)
        sql = (
            f"SELECT {_ENTRY} FROM audit_entries WHERE sequence >= ? AND sequence < ?"  # noqa: S608
            f"{conditions} ORDER BY sequence {'ASC' if wanted.oldest_first else 'DESC'} LIMIT ?"
        )
        rows = await self._database.all(sql, low, high, *args, limit)
        return [StoredEntry(*row) for row in rows]  # type: ignore[arg-type]

    async def bounds(self, since: str, until: str) -> tuple[int, int]:
        """Return sequences between which every entry of that time lies."""
        size = await self.size()
        low, high = 0, size
        if not (since or until) or not await self._has_all_spans(size):
            return low, high
        if since:
            row = await self._database.all(_FIRST_SPAN, since)
            low = row[0][0] * WIDTH if row else size  # type: ignore[operator,assignment]
        if until:
            row = await self._database.all(_LAST_SPAN, until)
            high = (row[0][0] + 1) * WIDTH if row else 0  # type: ignore[operator,assignment]
        return low, min(high, size)

    async def _has_all_spans(self, size: int) -> bool:
        tiles = -(-size // WIDTH)
        return await self._database.all(_COUNT_SPANS, tiles) == [(tiles,)]

    async def tiles(self, places: Sequence[Place]) -> Tiles:
        """Return those of the tiles that are there."""
        found: Tiles = {}
        for place in places:
            row = await self._database.one(_TILE, *place)
            if row is not None:
                found[place] = row[0]  # type: ignore[assignment]
        return found

    async def marks(self, first: int, last: int) -> Marks:
        """Return the marks of level 0 tiles `first` to `last`, of those that have any."""
        return dict(await self._database.all(_MARKS, first, last))  # type: ignore[arg-type]

    async def spans(self, first: int, last: int) -> list[Span]:
        """Return the spans of level 0 tiles `first` to `last`, of those that have one."""
        rows = await self._database.all(_SPANS, first, last)
        return [Span(tile, str(earliest), str(latest)) for tile, earliest, latest in rows]  # type: ignore[arg-type]

    async def checkpoint(self, size: int | None = None) -> StoredCheckpoint | None:
        """Return the checkpoint of one size, or the newest."""
        sql, args = (_NEWEST, ()) if size is None else (_CHECKPOINT, (size,))
        row = await self._database.one(sql, *args)
        return None if row is None else StoredCheckpoint(*row)  # type: ignore[arg-type]

    async def checkpoints(self, after: int, limit: int) -> list[StoredCheckpoint]:
        """Return up to `limit` checkpoints of more than `after` entries, smallest first."""
        rows = await self._database.all(_CHECKPOINTS, after, limit)
        return [StoredCheckpoint(*row) for row in rows]  # type: ignore[arg-type]


async def _fence(transaction: Transaction, leader: Leader) -> None:
    kept = await transaction.run(_FENCE, leader.expires_at, leader.holder, leader.epoch)
    if kept != 1:
        raise ConflictError("Another process leads the audit log now", reason=f"epoch {leader.epoch} is over")


def _conditions(wanted: Filter) -> tuple[str, list[Value]]:
    equal = {
        "principal": wanted.user,
        "event_type": wanted.event_type,
        "action": wanted.action,
        "result": wanted.result,
        "request_id": wanted.request_id,
    }
    parts: list[tuple[str, Value]] = [(f"{column} = ?", value) for column, value in equal.items() if value]
    if wanted.since:
        parts.append(("timestamp >= ?", wanted.since))
    if wanted.until:
        parts.append(("timestamp < ?", wanted.until))
    if wanted.resource.endswith("*"):
        prefix = wanted.resource[:-1]
        parts += [("resource >= ?", prefix), ("resource < ?", prefix + _LAST_TEXT)]
    elif wanted.resource:
        parts.append(("resource = ?", wanted.resource))
    sql = "".join(f" AND {condition}" for condition, _ in parts)
    return sql, [value for _, value in parts]

"""The audit log in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from msgspec.structs import astuple

from tradewarden.audit.marks import asked, promising
from tradewarden.audit.store import (
    Arrival,
    Backlog,
    InboxRow,
    Leader,
    Misfit,
    Numbering,
    Pending,
    Shipped,
    Span,
    StoredCheckpoint,
    StoredEntry,
)
from tradewarden.audit.tiles import HEIGHT, WIDTH, Place, Tiles, edge
from tradewarden.crypto.keyset import changed_outside
from tradewarden.errors import ConflictError, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.audit.marks import Marks
    from tradewarden.audit.query import Filter
    from tradewarden.audit.tree import Range
    from tradewarden.storage.database import Database, Row, Transaction, Value

_SHIPPED = "SELECT boot, counter, segment, position FROM audit_journals WHERE boot = ?"
_JOURNALS = "SELECT boot, counter, segment, position FROM audit_journals ORDER BY boot"
_PUT_SHIPPED = (
    "INSERT INTO audit_journals (boot, counter, segment, position) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (boot) DO UPDATE SET counter = excluded.counter, segment = excluded.segment,"
    " position = excluded.position"
)
_PUT_BATCH = "INSERT INTO audit_inbox (journal, first, count, batch) VALUES (?, ?, ?, ?)"
_WAITING = "SELECT coalesce(sum(CASE WHEN count > 0 AND count < 4294967296 THEN count ELSE 1 END), 0) FROM audit_inbox"
_COUNTS = "SELECT id, count FROM audit_inbox ORDER BY id LIMIT ?"
_ROWS = "SELECT id, journal, first, count, batch FROM audit_inbox WHERE id <= ? ORDER BY id"
_ENDS = "SELECT journal, max(first + count) FROM audit_inbox GROUP BY journal"
_OLDEST = "SELECT id, journal, first, count, batch FROM audit_inbox ORDER BY id LIMIT 1"
_NEXT_ROWS = "SELECT id, journal, first, count, batch FROM audit_inbox WHERE id > ? ORDER BY id LIMIT ?"
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
_PAGE = 256
_LAST_TEXT = "\U0010ffff"


class SqlAuditStore:
    """An `AuditStore` over any `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def shipped(self, boot: str) -> Shipped | None:
        """Return how far a boot's journal has come; None when nothing of it has."""
        row = await self._database.one(_SHIPPED, boot)
        return None if row is None else _shipped(row)

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
            if (None if row is None else _shipped(row)) != before:
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
        return Backlog(waiting, None if row is None else _inbox_row(row))  # type: ignore[arg-type]

    async def lead(self, holder: str, now: float, lease: float) -> Leader | None:
        """Take or keep the lead; a new lead has a new epoch."""

        async def work(transaction: Transaction) -> Leader | None:
            row = await transaction.one(_LEADER)
            present = _leader(row) if row else Leader("", 0, 0)
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
        for row_id, stored in counts:
            count = stored if type(stored) is int and stored > 0 else 1
            if taken and taken + count > limit:
                break
            last, taken = row_id, taken + count  # type: ignore[assignment]
        rows = await self._database.all(_ROWS, last) if counts else []
        tiles = await self.tiles(edge(size)) if rows else {}
        begun = await self._database.one(_BEGUN_MARKS, size >> HEIGHT) if rows else None
        marks = begun[0] if begun is not None and type(begun[0]) is bytes else None
        return Pending(size, tiles, marks, [_inbox_row(row) for row in rows])

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
        if row is None:
            return 0
        size: Value = row[0]
        if _is_count(size):
            return size
        raise IntegrityError(
            "The length of the audit log (table audit_tree) was changed outside Tradewarden; restore it from a backup",
            reason=f"audit_tree.size is {Misfit.of(size).kind}",
        )

    async def entries(self, first: int, limit: int) -> list[StoredEntry]:
        """Return up to `limit` entries from sequence `first` on."""
        return _entries(await self._database.all(_ENTRIES, first, limit))

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
        return _entries(await self._database.all(sql, low, high, *args, limit))

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
                found[place] = _bytes(row[0])
        return found

    async def marks(self, first: int, last: int) -> Marks:
        """Return the marks of level 0 tiles `first` to `last`, of those that have any."""
        rows = await self._database.all(_MARKS, first, last)
        return {tile: _bytes(marks) for tile, marks in rows}  # type: ignore[misc]

    async def spans(self, first: int, last: int) -> list[Span]:
        """Return the spans of level 0 tiles `first` to `last`, of those that have one."""
        rows = await self._database.all(_SPANS, first, last)
        return [_span(row) for row in rows]

    async def arrivals(self) -> list[Arrival]:
        """Return how far each journal has come. Journals are asked first: what they count leaves the inbox later."""
        journals = [row for row in await self._database.all(_JOURNALS) if _is_shipped(row)]
        ends = {journal: end for journal, end in await self._database.all(_ENDS) if _is_count(end)}
        return [Arrival(boot, counter, ends.get(boot, 0)) for boot, counter, *_ in journals]  # type: ignore[arg-type]

    async def misfits(self) -> list[str]:
        """Return, for each row around the log (lead, journals, inbox) that nobody here wrote so, what it is."""
        found = []
        lead = await self._database.one(_LEADER)
        if lead is not None and not _is_leader(lead):
            found.append("the row of table audit_leader was changed")
        journals = [row for row in await self._database.all(_JOURNALS) if not _is_shipped(row)]
        found += [f"the row of journal {row[0]!a} in table audit_journals was changed" for row in journals]
        after: Value = -1
        while rows := await self._database.all(_NEXT_ROWS, after, _PAGE):
            found += [f"row {row[0]!a} of table audit_inbox was changed" for row in rows if not _is_inbox_row(row)]
            after = rows[-1][0]
        return found

    async def checkpoint(self, size: int | None = None) -> StoredCheckpoint | None:
        """Return the checkpoint of one size, or the newest."""
        sql, args = (_NEWEST, ()) if size is None else (_CHECKPOINT, (size,))
        row = await self._database.one(sql, *args)
        return None if row is None else _checkpoint(row)

    async def checkpoints(self, after: int, limit: int) -> list[StoredCheckpoint]:
        """Return up to `limit` checkpoints of more than `after` entries, smallest first."""
        rows = await self._database.all(_CHECKPOINTS, after, limit)
        return [_checkpoint(row) for row in rows]


# The door: the types of what was read are looked at here, once. Who can write to the file can store any of them.


def _bytes(value: Value) -> bytes:
    return value if type(value) is bytes else Misfit.of(value)


def _entries(rows: list[Row]) -> list[StoredEntry]:
    if {type(row[-1]) for row in rows} - {bytes}:
        rows = [(*row[:-1], _bytes(row[-1])) for row in rows]
    return [StoredEntry(*row) for row in rows]  # type: ignore[arg-type]


def _span(row: Row) -> Span:
    """Return a span; one of another type holds no time at all."""
    tile, earliest, latest = row
    if type(earliest) is str and type(latest) is str:
        return Span(tile, earliest, latest)  # type: ignore[arg-type]
    return Span(tile, _LAST_TEXT, "")  # type: ignore[arg-type]


def _is_count(value: Value) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 1 << 62


def _checkpoint(row: Row) -> StoredCheckpoint:
    size, hour, note = row
    whole = type(hour) is int
    return StoredCheckpoint(size, hour if whole else 0, _bytes(note) if whole else Misfit.of(hour))  # type: ignore[arg-type]


def _is_inbox_row(row: Row) -> bool:
    _, journal, first, count, batch = row
    numbers = _is_count(first) and _is_count(count) and 0 < count < 1 << 32
    return numbers and type(journal) is str and journal.isascii() and type(batch) is bytes


def _inbox_row(row: Row) -> InboxRow:
    """Return an inbox row; one that nobody here wrote becomes a change that no seal holds, and so a finding."""
    if _is_inbox_row(row):
        return InboxRow(*row)  # type: ignore[arg-type]
    told = repr(row[1:]).encode("ascii", "backslashreplace")
    return InboxRow(row[0], "", 0, 1, told)  # type: ignore[arg-type]


def _is_shipped(row: Row) -> bool:
    boot, counter, segment, offset = row
    return type(boot) is str and _is_count(counter) and _is_count(segment) and type(offset) is int


def _shipped(row: Row) -> Shipped:
    if not _is_shipped(row):
        raise _changed("audit_journals")
    return Shipped(*row)  # type: ignore[arg-type]


def _is_leader(row: Row) -> bool:
    holder, epoch, expires_at = row
    return type(holder) is str and _is_count(epoch) and type(expires_at) is float


def _leader(row: Row) -> Leader:
    if not _is_leader(row):
        raise _changed("audit_leader")
    return Leader(*row)  # type: ignore[arg-type]


def _changed(table: str) -> IntegrityError:
    return changed_outside(table, f"a value of {table} has a type that is never written there")


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

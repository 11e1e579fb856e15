"""What the audit room keeps, in three parts: the inbox, the numbered log, and reading it.

Always true of an adapter: `ship` and `number` are one transaction each; `number` and `sign` write
nothing unless the leader's epoch still holds inside their transaction, and nothing unless the log has
the length that the numbering was made for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from tradewarden.audit.tiles import Place, Tiles
from tradewarden.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.audit.marks import Marks
    from tradewarden.audit.query import Filter


class Misfit(bytes):
    """Stands for stored bytes that came back as a value of another type: `kind`, which is never written there.

    Empty, so that nothing verifies by it and nothing is read out of it.
    """

    kind: str

    @classmethod
    def of(cls, value: object) -> Misfit:
        """Return what stands for a value of a type that does not belong there."""
        misfit = cls()
        misfit.kind = _KINDS.get(type(value), type(value).__name__)
        return misfit


MISSED: Final = -3
FINISHED: Final = -2
ASIDE: Final = -1
_KINDS = {str: "TEXT", int: "INTEGER", float: "REAL", bytes: "BLOB", type(None): "NULL"}


class Shipped(msgspec.Struct, frozen=True):
    """How far the journal of one boot is in the database: the next counter, in which file, from where.

    In place of `offset` may stand what became of that file: `FINISHED`, all of it is here; `ASIDE`, the rest did not
    verify; `MISSED`, it was taken away (it may come back, and is shipped on from `counter`).
    """

    boot: str
    counter: int
    segment: int
    offset: int


class Arrival(msgspec.Struct, frozen=True):
    """How far the journal of one boot is said to be here, and how far it waits in the inbox (0: nothing of it does)."""

    boot: str
    counter: int
    waiting: int


class InboxRow(msgspec.Struct, frozen=True):
    """What waits for numbers: a sealed batch of a journal, or (without `journal`) a transaction's sealed changes."""

    id: int
    journal: str
    first: int
    count: int
    batch: bytes


class Pending(msgspec.Struct, frozen=True):
    """Everything a numbering is decided on: the log's length, its unfinished tiles, the rows in order.

    `marks` are those of the unfinished level 0 tile; None when there is none, or none are kept of it.
    """

    size: int
    edge: Tiles
    marks: bytes | None
    rows: Sequence[InboxRow]


class Columns(msgspec.Struct, frozen=True):
    """What an entry is found by, out of its line."""

    timestamp: str
    event_type: str
    user: str
    resource: str
    action: str
    result: str
    request_id: str


read_columns = msgspec.json.Decoder(Columns).decode


class StoredEntry(Columns, frozen=True):
    """One numbered entry: the columns it is found by, its place, its line."""

    sequence: int
    line: bytes


def columns_of(entry: StoredEntry) -> Columns:
    """Return what an entry's line says it is found by; raises `IntegrityError`, naming it, when that is no entry."""
    try:
        return read_columns(entry.line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise changed_entry(entry) from error


def changed_entry(entry: StoredEntry) -> IntegrityError:
    """Return the error for an entry whose line is none that was ever written."""
    stored = f"its line is stored as {entry.line.kind}" if isinstance(entry.line, Misfit) else "its line is no entry"
    return IntegrityError(
        f"Entry {entry.sequence} of the audit log was changed outside Tradewarden; run 'tradewarden audit verify'",
        reason=f"entry {entry.sequence}: {stored}",
    )


class Span(msgspec.Struct, frozen=True):
    """The earliest and the latest time among the entries of one level 0 tile, for search by time.

    No evidence, like marks: without the spans of all tiles a search reads everything, and `verify` checks each of them.
    """

    tile: int
    earliest: str
    latest: str


class Numbering(msgspec.Struct, frozen=True):
    """What one numbering writes: entries from `size` on, tiles, spans, marks; and the inbox rows it takes away."""

    size: int
    entries: Sequence[StoredEntry]
    tiles: Tiles
    spans: Sequence[Span]
    marks: Marks
    taken: Sequence[int]


class Leader(msgspec.Struct, frozen=True):
    """Who may number: the fencing epoch, and until when (seconds since the epoch, UTC)."""

    holder: str
    epoch: int
    expires_at: float

    def bars(self, holder: str, now: float, lease: float) -> bool:
        """Tell whether somebody else has the lead now.

        One that lasts longer than any lease is from before a clock was set back: it bars nobody, and
        the epoch keeps its holder from writing.
        """
        return self.holder != holder and now < self.expires_at <= now + 2 * lease


class StoredCheckpoint(msgspec.Struct, frozen=True):
    """A signed note over one tree size; `hour` since the epoch, for thinning out old ones."""

    size: int
    hour: int
    note: bytes


class Backlog(msgspec.Struct, frozen=True):
    """What waits in the inbox: how many entries, and the oldest row."""

    entries: int
    oldest: InboxRow | None


class Inbox(Protocol):
    """Where journals are shipped to."""

    async def shipped(self, boot: str) -> Shipped | None:
        """Return how far a boot's journal has come; None when nothing of it has."""
        ...

    async def ship(
        self, before: Shipped | None, after: Shipped, rows: Sequence[InboxRow], notes: Sequence[bytes]
    ) -> bool:
        """Put batches and sealed notes into the inbox; False, and nothing, when `before` is not so any more."""
        ...

    async def backlog(self) -> Backlog:
        """Return what waits for its numbers."""
        ...


class LogWriter(Protocol):
    """What the leader does."""

    async def lead(self, holder: str, now: float, lease: float) -> Leader | None:
        """Take or keep the lead for `lease` seconds; None while somebody else has it. A new lead has a new epoch."""
        ...

    async def pending(self, limit: int) -> Pending:
        """Return the log's edge and inbox rows in order, about `limit` entries and at least one row."""
        ...

    async def number(self, leader: Leader, numbering: Numbering) -> None:
        """Write it all; raises `ConflictError` when the lead or the log's length is not as it was."""
        ...

    async def sign(self, leader: Leader, checkpoint: StoredCheckpoint) -> None:
        """Keep a checkpoint; one a size, the first stays. Raises `ConflictError` when the lead is lost."""
        ...

    async def thin(self, leader: Leader, before_hour: int) -> None:
        """Keep only the last checkpoint of each hour before `before_hour`."""
        ...


class LogReader(Protocol):
    """What the log tells. In place of bytes that are of another type in the database stands a `Misfit`."""

    async def size(self) -> int:
        """Return how many entries are numbered."""
        ...

    async def entries(self, first: int, limit: int) -> list[StoredEntry]:
        """Return up to `limit` entries from sequence `first` on."""
        ...

    async def find(self, wanted: Filter, low: int, high: int, limit: int) -> list[StoredEntry]:
        """Return up to `limit` matching entries with `low <= sequence < high`, in the filter's order.

        It may read every entry between: a caller takes the log in portions.
        """
        ...

    async def bounds(self, since: str, until: str) -> tuple[int, int]:
        """Return sequences between which every entry of that time lies (an empty text: no bound).

        Those of the whole log when the span of any tile is missing.
        """
        ...

    async def tiles(self, places: Sequence[Place]) -> Tiles:
        """Return those of the tiles that are there."""
        ...

    async def marks(self, first: int, last: int) -> Marks:
        """Return the marks of level 0 tiles `first` to `last`, of those that have any."""
        ...

    async def spans(self, first: int, last: int) -> list[Span]:
        """Return the spans of level 0 tiles `first` to `last`, of those that have one."""
        ...

    async def arrivals(self) -> list[Arrival]:
        """Return how far each journal has come; whatever is counted in is in the log or in the inbox when it returns.

        Ask for the log's size after it.
        """
        ...

    async def misfits(self) -> list[str]:
        """Return, for each row around the log (lead, journals, inbox) that nobody here wrote so, what it is."""
        ...

    async def checkpoint(self, size: int | None = None) -> StoredCheckpoint | None:
        """Return the checkpoint of one size, or the newest."""
        ...

    async def checkpoints(self, after: int, limit: int) -> list[StoredCheckpoint]:
        """Return up to `limit` checkpoints of more than `after` entries, smallest first."""
        ...


class LogStore(LogWriter, LogReader, Protocol):
    """The numbered log."""


class AuditStore(Inbox, LogStore, Protocol):
    """All of it."""

"""Numbering: inbox rows become entries with a sequence, leaves and tiles. Pure.

Always true here: rows are taken in order and none is dropped. One whose seal does not hold, or whose
content is no entry, becomes a finding in its place that tells its digest and how it began.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from tradewarden.audit import marks
from tradewarden.audit.finding import INTEGRITY, finding
from tradewarden.audit.inbox import unpack
from tradewarden.audit.store import (
    Columns,
    InboxRow,
    Numbering,
    Pending,
    Span,
    StoredEntry,
    read_columns,
)
from tradewarden.audit.tiles import HEIGHT, extend

if TYPE_CHECKING:
    from tradewarden.audit.seal import InboxSeal

_QUOTED = 200


class _Numbers:
    """The numbering while it grows."""

    def __init__(self, size: int, now: float) -> None:
        self.now = now
        self.size = size
        self.entries: list[StoredEntry] = []
        self.leaves: list[bytes] = []

    def add(self, columns: Columns, line: bytes) -> None:
        """Take an entry that has its number in it."""
        sequence = self.size + len(self.entries)
        c = columns
        self.entries.append(
            StoredEntry(c.timestamp, c.event_type, c.user, c.resource, c.action, c.result, c.request_id, sequence, line)
        )
        self.leaves.append(sha256(b"\x00" + line).digest())

    def change(self, line: bytes) -> None:
        """Number one entry that came with its change."""
        sequence = self.size + len(self.entries)
        self.add(read_columns(line), b'%b,"sequence":%d}' % (line[:-1], sequence))

    def batch(self, journal: str, first: int, lines: list[bytes]) -> None:
        """Number the entries of a journal from counter `first` on."""
        boot = journal.encode()
        sequence = self.size + len(self.entries)
        for index, (columns, line) in enumerate(zip(map(read_columns, lines), lines, strict=True)):
            numbered = b'%b,"boot":"%b","counter":%d,"sequence":%d}' % (
                line[:-1],
                boot,
                first + index,
                sequence + index,
            )
            self.add(columns, numbered)

    def finding(self, row: InboxRow) -> None:
        """Number what is said about a row that does not verify."""
        began = row.batch[:_QUOTED].decode("utf-8", "backslashreplace")
        where = f"journal {row.journal} from counter {row.first}" if row.journal else "a change"
        digest = sha256(row.batch).hexdigest()
        reason = f"{where}: the seal does not hold; SHA-256 {digest}, it began {began!r}"
        self.change(finding(self.now, INTEGRITY, f"audit/inbox/{row.id}", reason))


def number(pending: Pending, seal: InboxSeal, now: float) -> Numbering:
    """Decide what numbering these rows writes. Raises `IntegrityError` when the tree's edge is damaged."""
    numbers = _Numbers(pending.size, now)
    for row in pending.rows:
        for each in _split(row):
            _number_row(numbers, each, seal)
    return Numbering(
        pending.size,
        numbers.entries,
        extend(pending.size, pending.edge, numbers.leaves),
        _spans(numbers.entries),
        marks.extend(pending.size, pending.marks, numbers.entries),
        [row.id for row in pending.rows],
    )


def _split(row: InboxRow) -> list[InboxRow]:
    """Return a row of several changes as one row each."""
    if row.journal or row.count == 1:
        return [row]
    return [InboxRow(row.id, "", row.first, 1, change) for change in unpack(row.count, row.batch)]


def _number_row(numbers: _Numbers, row: InboxRow, seal: InboxSeal) -> None:
    taken = len(numbers.entries)
    try:
        if _verified(numbers, row, seal):
            return
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        del numbers.entries[taken:], numbers.leaves[taken:]
    numbers.finding(row)


def _verified(numbers: _Numbers, row: InboxRow, seal: InboxSeal) -> bool:
    if not row.journal:
        line = seal.open_change(row.batch)
        if line is not None:
            numbers.change(line)
        return line is not None
    boot = bytes.fromhex(row.journal)
    batch = seal.open_batch(boot, row.first, row.count, row.batch)
    if batch is not None:
        lines = batch.split(b"\n")
        numbers.batch(row.journal, row.first, lines)
    return batch is not None


def _spans(entries: list[StoredEntry]) -> list[Span]:
    times: dict[int, list[str]] = {}
    for entry in entries:
        times.setdefault(entry.sequence >> HEIGHT, []).append(entry.timestamp)
    return [Span(tile, min(stamps), max(stamps)) for tile, stamps in times.items()]

"""Shipping: what stands in the journals of a directory goes into the database's inbox.

Always true here: how far a journal has come is kept in the database and moves in the transaction that
takes the batch in, so a batch arrives once however often a shipper dies or fails. A file is removed only when
all of it has arrived and its process is gone. What does not verify, or stands under another name than its
header's, is put aside as `*.damaged`, never removed, and stands in the log as a finding.
The writer of a live file that was put aside sees that and begins a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tradewarden.audit.finding import INTEGRITY, TORN, UNCLOSED
from tradewarden.audit.journal import file_name
from tradewarden.audit.journals import journals, put_aside, remove_unfinished, sizes_of, stands
from tradewarden.audit.missing import Missing
from tradewarden.audit.notes import Notes
from tradewarden.audit.reading import Frame, JournalReader, Tail
from tradewarden.audit.store import ASIDE, FINISHED, MISSED, AuditStore, InboxRow, Shipped
from tradewarden.errors import IntegrityError, TradewardenError

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.audit.seal import InboxSeal
    from tradewarden.clock import Clock
    from tradewarden.crypto.keyset import Cipher

CHUNK_ENTRIES = 4096
_CHUNKS_A_ROUND = 64
_ROW_ENTRIES = 1024
_ROW_BYTES = 256 << 10
_PATIENCE = 3


class _Visit(NamedTuple):
    """What one round did with one file: entries that arrived, whether it is gone, whether its end was reached."""

    arrived: int
    gone: bool
    whole: bool


class Shipper:
    """Ships one directory; any number of them may work on it at once."""

    def __init__(self, directory: Path, inbox: AuditStore, unwrap: Cipher, seal: InboxSeal, clock: Clock) -> None:
        self._directory = directory
        self._inbox = inbox
        self._unwrap = unwrap
        self._seal = seal
        self._clock = clock
        self._notes = Notes(inbox, seal, clock)
        self._missing = Missing(directory, inbox, self._notes)
        self._readers: dict[str, JournalReader] = {}
        self._doubts: dict[str, int] = {}
        self._refused: set[str] = set()
        self._caught_up = False

    @property
    def caught_up(self) -> bool:
        """Whether the last round reached the end of every file, as each stood when the round began, without error."""
        return self._caught_up

    async def run_once(self) -> int:
        """Ship what is there and return how many entries were.

        Raises what the store or the disk raised first, after every file was tried.
        """
        self._caught_up = False
        paths = journals(self._directory)
        await self._note_vanished({path.name for path in paths})
        await self._missing.look_back()
        shipped, behind = 0, False
        waiting: set[str] = set()  # of these boots the next segment comes when the one before it has arrived
        errors: list[Exception] = []
        for path in paths:
            boot = path.name.partition("-")[0]
            try:
                visit = await self._attempt(path, held=boot in waiting)
            except (TradewardenError, OSError) as error:
                errors.append(error)  # one file that cannot be read keeps no other back
                visit = _Visit(0, gone=False, whole=False)
            shipped += visit.arrived
            behind = behind or not visit.whole
            if not visit.gone:
                waiting.add(boot)
        remove_unfinished(self._directory, self._clock.now())
        if errors:
            raise errors[0]
        self._caught_up = not behind
        return shipped

    def unshipped(self) -> int:
        """Return how many bytes of the directory's journals have not arrived yet."""
        sizes = sizes_of(self._directory)
        done = {name: reader.offset for name, reader in self._readers.items() if name in sizes}
        return sum(sizes.values()) - sum(done.values())

    def close(self) -> None:
        """Let every file go."""
        for name in list(self._readers):
            self._forget(name)

    async def _attempt(self, path: Path, *, held: bool) -> _Visit:
        """Ship one file as `_ship` does; after a failure it is read anew, from what has arrived by then.

        A reader is ahead of what arrived while a batch is on its way, so one whose batch failed must not go on.
        """
        try:
            reader = await self._reader(path)
            if reader is None:
                return _Visit(0, gone=True, whole=True)
            return _Visit(0, gone=False, whole=False) if held else await self._ship(reader)
        except BaseException:
            self._forget(path.name)
            raise

    async def _reader(self, path: Path) -> JournalReader | None:
        """Return the file's reader; None when the file is gone, or is no journal of this name and was put aside."""
        known = self._readers.get(path.name)
        if known is not None:
            return known
        try:
            reader = JournalReader(path, self._unwrap)
        except FileNotFoundError:
            return None
        except IntegrityError as error:
            await self._refuse(path, f"its header does not verify ({error.reason})")
            return None
        if path.name != (name := file_name(reader.header)):
            reader.close()
            await self._refuse(path, f"it does not verify under this name: its header is that of {name}")
            return None
        self._readers[path.name] = reader
        return reader

    async def _refuse(self, path: Path, reason: str) -> None:
        if path.name not in self._refused:
            await self._notes.record(self._notes.of(INTEGRITY, path.name, reason))
            self._refused.add(path.name)  # told once, however often it cannot be moved
        put_aside(path)
        self._refused.discard(path.name)

    async def _ship(self, reader: JournalReader) -> _Visit:
        """Ship one file, as far as one round goes."""
        arrived, name = 0, reader.path.name
        for _ in range(_CHUNKS_A_ROUND):
            orphaned = reader.orphaned()  # asked first: what is read after a yes is all there will be
            state = await self._inbox.shipped(reader.boot)
            if state is not None and _is_past(state, reader):
                gone = await self._clear(reader, state, orphaned=orphaned)
                return _Visit(arrived, gone, whole=gone or (name in self._readers and name not in self._doubts))
            taken, tail = await self._chunk(reader, state)
            arrived += taken
            if name not in self._readers:
                break  # another shipper was faster
            if tail is not Tail.MORE:
                gone = await self._end(reader, tail, state, orphaned=orphaned)
                return _Visit(arrived, gone, whole=gone or not (orphaned or tail is Tail.DAMAGED))
        return _Visit(arrived, gone=False, whole=False)

    async def _chunk(self, reader: JournalReader, state: Shipped | None) -> tuple[int, Tail]:
        """Ship the next frames of a file as one transaction; return how many entries, what follows."""
        frames, tail = reader.read(CHUNK_ENTRIES)
        frames = [each for each in frames if state is None or each.first >= state.counter]
        if not frames:
            return 0, tail
        after = Shipped(reader.boot, reader.counter, reader.header.segment, reader.offset)
        gap = self._gap(reader, state, frames[0].first)
        if not await self._inbox.ship(state, after, self._rows(reader, frames), gap):
            self._forget(reader.path.name)  # another shipper was faster: begin anew next time
            return 0, Tail.NOTHING
        return sum(each.entries for each in frames), tail

    def _rows(self, reader: JournalReader, frames: list[Frame]) -> list[InboxRow]:
        rows = []
        group: list[Frame] = []
        entries = length = 0
        for frame in frames:
            group.append(frame)
            entries, length = entries + frame.entries, length + len(frame.lines)
            if entries >= _ROW_ENTRIES or length >= _ROW_BYTES:
                rows.append(self._row(reader, group))
                group, entries, length = [], 0, 0
        return [*rows, self._row(reader, group)] if group else rows

    def _row(self, reader: JournalReader, frames: list[Frame]) -> InboxRow:
        first, count = frames[0].first, sum(each.entries for each in frames)
        lines = b"\n".join(each.lines for each in frames)
        sealed = self._seal.batch(reader.header.boot, first, count, lines)
        return InboxRow(0, reader.boot, first, count, sealed)

    def _gap(self, reader: JournalReader, state: Shipped | None, first: int) -> list[bytes]:
        expected = state.counter if state else 0
        if first == expected:
            return []
        reason = f"entries {expected} to {first - 1} of this journal never arrived"
        return [self._notes.of(INTEGRITY, reader.path.name, reason)]

    async def _end(self, reader: JournalReader, tail: Tail, state: Shipped | None, *, orphaned: bool) -> bool:
        """Do what the end of a file asks for; tell whether the file is gone."""
        name = reader.path.name
        wrong = _cut(reader, state)
        if tail is Tail.DAMAGED:
            wrong = wrong or f"does not verify from byte {reader.offset} of {reader.size} on, counter {reader.counter}"
        if not orphaned and not (wrong and self._doubted(name)):
            return False
        if wrong:
            return await self._finish(reader, ASIDE, self._notes.of(INTEGRITY, name, wrong))
        if tail is Tail.CLOSED:
            return await self._finish(reader, FINISHED)
        if tail is Tail.TORN:
            lost, offset = reader.size - reader.offset, reader.offset
            reason = f"its last frame is torn: {lost} bytes from byte {offset} on are lost"
            return await self._finish(reader, FINISHED, self._notes.of(TORN, name, reason))
        reason = f"its process ended without closing it, at counter {reader.counter}"
        return await self._finish(reader, FINISHED, self._notes.of(UNCLOSED, name, reason))

    async def _finish(self, reader: JournalReader, how: int, *notes: bytes) -> bool:
        """Note in the database that nothing more comes from this file, then clear it away."""
        before = await self._inbox.shipped(reader.boot)
        counter = max(reader.counter, before.counter if before else 0)
        after = Shipped(reader.boot, counter, reader.header.segment, how)
        if not await self._inbox.ship(before, after, [], notes):
            self._forget(reader.path.name)
            return False
        return await self._clear(reader, after, orphaned=True)

    async def _clear(self, reader: JournalReader, state: Shipped, *, orphaned: bool) -> bool:
        """Remove a file that has arrived; put aside one that did not verify, is from before or holds more."""
        if not reader.in_place():
            pass  # another shipper was faster, or somebody has moved it away
        elif state.segment > reader.header.segment:
            await self._refuse(reader.path, f"segment {state.segment} of its journal arrived before it")
        elif state.offset == ASIDE:
            put_aside(reader.path)
        elif reason := self._beyond(reader, state, orphaned=orphaned):
            await self._refuse(reader.path, reason)
        elif orphaned:
            reader.path.unlink(missing_ok=True)
        else:
            return False
        self._forget(reader.path.name)
        return not stands(reader.path)

    def _beyond(self, reader: JournalReader, state: Shipped, *, orphaned: bool) -> str:
        """Return what stands in a file that is said to have arrived and has not; nothing when that is so."""
        tail = Tail.MORE
        while tail is Tail.MORE:
            frames, tail = reader.read(CHUNK_ENTRIES)
            if frames and reader.counter > state.counter:
                return f"entries from {state.counter} on never arrived, although it is said to have arrived whole"
        if tail is Tail.DAMAGED and (orphaned or self._doubted(reader.path.name)):
            return f"does not verify from byte {reader.offset} of {reader.size} on, counter {reader.counter}"
        return ""

    def _doubted(self, name: str) -> bool:
        """A living process may be writing just here: believe in damage when it is seen again."""
        self._doubts[name] = self._doubts.get(name, 0) + 1
        return self._doubts[name] >= _PATIENCE

    def _forget(self, name: str) -> None:
        self._doubts.pop(name, None)
        reader = self._readers.pop(name, None)
        if reader is not None:
            reader.close()

    async def _note_vanished(self, present: set[str]) -> None:
        for name in [each for each in self._readers if each not in present]:
            reader = self._readers[name]
            state = await self._inbox.shipped(reader.boot)
            done = state is not None and (_is_past(state, reader) or state.offset == MISSED)
            if done or await self._missing.miss(reader.boot, reader.header.segment, state, name):
                self._forget(name)


def _is_past(state: Shipped, reader: JournalReader) -> bool:
    """Tell whether nothing of this file is to be shipped any more."""
    segment = reader.header.segment
    return state.segment > segment or (state.segment == segment and state.offset in (FINISHED, ASIDE))


def _cut(reader: JournalReader, state: Shipped | None) -> str:
    """Say of a file that is shorter than what had arrived from it that it was cut; else nothing."""
    size = reader.size
    if state is None or state.segment != reader.header.segment or size >= state.offset:
        return ""
    return f"was cut: it has {size} bytes and had {state.offset}; what followed counter {state.counter} is gone"

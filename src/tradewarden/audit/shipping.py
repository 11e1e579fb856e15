"""Shipping: what stands in the journals of a directory goes into the database's inbox.

Always true here: how far a journal has come is kept in the database and moves in the transaction that
takes the batch in, so a batch arrives once however often a shipper dies or fails. A file is removed only when
all of it has arrived and its process is gone. What does not verify is put aside as `*.damaged`, never
removed, and stands in the log as a finding.
The writer of a live file that was put aside sees that and begins a new one.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tradewarden.audit.finding import INTEGRITY, TORN, UNCLOSED, finding
from tradewarden.audit.journal import SUFFIX, UNFINISHED_SUFFIX
from tradewarden.audit.reading import Frame, JournalReader, Tail
from tradewarden.audit.store import Inbox, InboxRow, Shipped
from tradewarden.errors import IntegrityError, TradewardenError

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.audit.seal import InboxSeal
    from tradewarden.clock import Clock
    from tradewarden.crypto.keyset import Cipher

DAMAGED_SUFFIX = ".damaged"
CHUNK_ENTRIES = 4096
_CHUNKS_A_ROUND = 64
_ROW_ENTRIES = 1024
_ROW_BYTES = 256 << 10
_PATIENCE = 3
_UNFINISHED_SECONDS = 60
_FINISHED, _ASIDE = -2, -1
_OWN = "shipper"


class Shipper:
    """Ships one directory; any number of them may work on it at once."""

    def __init__(self, directory: Path, inbox: Inbox, unwrap: Cipher, seal: InboxSeal, clock: Clock) -> None:
        self._directory = directory
        self._inbox = inbox
        self._unwrap = unwrap
        self._seal = seal
        self._clock = clock
        self._readers: dict[str, JournalReader] = {}
        self._doubts: dict[str, int] = {}

    async def run_once(self) -> int:
        """Ship what is there and return how many entries were.

        Raises what the store or the disk raised first, after every file was tried.
        """
        paths = sorted(self._directory.glob(f"*{SUFFIX}")) if self._directory.is_dir() else []
        await self._note_vanished({path.name for path in paths})
        shipped, waiting = 0, ""
        errors: list[Exception] = []
        for path in paths:
            boot = path.name.partition("-")[0]
            if boot == waiting:
                continue  # its next segment comes when this one has arrived
            try:
                arrived, finished = await self._attempt(path)
            except (TradewardenError, OSError) as error:
                errors.append(error)  # one file that cannot be read keeps no other back
                arrived, finished = 0, False
            shipped += arrived
            waiting = waiting if finished else boot
        self._remove_unfinished()
        if errors:
            raise errors[0]
        return shipped

    def unshipped(self) -> int:
        """Return how many bytes of the directory's journals have not arrived yet."""
        sizes = {}
        for path in self._directory.glob(f"*{SUFFIX}"):
            with suppress(FileNotFoundError):  # another shipper has removed it meanwhile
                sizes[path.name] = path.stat().st_size
        done = {name: reader.offset for name, reader in self._readers.items() if name in sizes}
        return sum(sizes.values()) - sum(done.values())

    def close(self) -> None:
        """Let every file go."""
        for name in list(self._readers):
            self._forget(name)

    async def _attempt(self, path: Path) -> tuple[int, bool]:
        """Ship one file as `_ship` does; after a failure it is read anew, from what has arrived by then.

        A reader is ahead of what arrived while a batch is on its way, so one whose batch failed must not go on.
        """
        try:
            return await self._ship(path)
        except BaseException:
            self._forget(path.name)
            raise

    async def _ship(self, path: Path) -> tuple[int, bool]:
        """Ship one file; return how many entries arrived, and whether the file is gone."""
        try:
            reader = self._readers.get(path.name) or JournalReader(path, self._unwrap)
        except FileNotFoundError:
            return 0, True
        except IntegrityError as error:
            reason = f"its header does not verify ({error.reason})"
            await self._record(self._note(INTEGRITY, path.name, reason))
            self._put_aside(path)
            return 0, True
        self._readers[path.name] = reader
        arrived = 0
        for _ in range(_CHUNKS_A_ROUND):
            orphaned = reader.orphaned()  # asked first: what is read after a yes is all there will be
            state = await self._inbox.shipped(reader.boot)
            if state is not None and _is_past(state, reader):
                return arrived, self._clear(reader, state, orphaned=orphaned)
            taken, tail = await self._chunk(reader, state)
            arrived += taken
            if tail is not Tail.MORE:
                return arrived, await self._end(reader, tail, orphaned=orphaned)
        return arrived, False

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
        return [self._note(INTEGRITY, reader.path.name, reason)]

    async def _end(self, reader: JournalReader, tail: Tail, *, orphaned: bool) -> bool:
        """Do what the end of a file asks for; tell whether the file is gone."""
        name = reader.path.name
        if name not in self._readers or not (orphaned or tail is Tail.DAMAGED):
            return False  # the first: another shipper was faster, and this reader is closed
        size, offset = reader.size, reader.offset
        if tail is Tail.DAMAGED:
            if not orphaned and not self._doubted(name):
                return False
            reason = f"does not verify from byte {offset} of {size} on, counter {reader.counter}"
            return await self._finish(reader, _ASIDE, self._note(INTEGRITY, name, reason))
        if tail is Tail.CLOSED:
            return await self._finish(reader, _FINISHED)
        if tail is Tail.TORN:
            reason = f"its last frame is torn: {size - offset} bytes from byte {offset} on are lost"
            return await self._finish(reader, _FINISHED, self._note(TORN, name, reason))
        reason = f"its process ended without closing it, at counter {reader.counter}"
        return await self._finish(reader, _FINISHED, self._note(UNCLOSED, name, reason))

    async def _finish(self, reader: JournalReader, how: int, *notes: bytes) -> bool:
        """Note in the database that nothing more comes from this file, then clear it away."""
        before = await self._inbox.shipped(reader.boot)
        after = Shipped(reader.boot, reader.counter, reader.header.segment, how)
        if not await self._inbox.ship(before, after, [], notes):
            self._forget(reader.path.name)
            return False
        return self._clear(reader, after, orphaned=True)

    def _clear(self, reader: JournalReader, state: Shipped, *, orphaned: bool) -> bool:
        """Remove a file that has arrived; put aside one that did not verify or is from before."""
        if state.segment == reader.header.segment and state.offset == _FINISHED:
            if not orphaned:
                return False
            reader.path.unlink(missing_ok=True)
        else:
            self._put_aside(reader.path)
        self._forget(reader.path.name)
        return True

    def _put_aside(self, path: Path) -> None:
        target = path.with_suffix(DAMAGED_SUFFIX)
        number = 1
        while target.exists():
            target = path.with_suffix(f".{number}{DAMAGED_SUFFIX}")
            number += 1
        path.rename(target)

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
            if state is None or not _is_past(state, reader):
                reason = f"was taken away before all of it arrived, at counter {reader.counter}"
                await self._record(self._note(INTEGRITY, name, reason))
            self._forget(name)

    async def _record(self, note: bytes) -> None:
        """Put a note of its own into the inbox, beside no journal's progress."""
        own = await self._inbox.shipped(_OWN)
        after = replace(own or Shipped(_OWN, 0, 0, 0), offset=(own.offset if own else 0) + 1)
        await self._inbox.ship(own, after, [], [note])

    def _note(self, action: str, name: str, reason: str) -> bytes:
        event = finding(self._clock.now(), action, f"audit/journal/{name}", f"{name}: {reason}")
        return self._seal.change(event)

    def _remove_unfinished(self) -> None:
        """Remove files whose process died between making and naming them; they hold no entry."""
        for path in self._directory.glob(f"*{UNFINISHED_SUFFIX}"):
            with suppress(FileNotFoundError):  # it has its name by now, or another shipper has removed it
                if self._clock.now() - path.stat().st_mtime > _UNFINISHED_SECONDS:
                    _unlink_if_unlocked(path)


def _is_past(state: Shipped, reader: JournalReader) -> bool:
    """Tell whether nothing of this file is to be shipped any more."""
    segment = reader.header.segment
    return state.segment > segment or (state.segment == segment and state.offset < 0)


def _unlink_if_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)

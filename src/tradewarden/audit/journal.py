"""The process's own journal: what no transaction carries stands here before its answer leaves.

Always true here: `record` takes the event into the buffer before it first suspends, so a cancelled
caller cannot prevent it; all that one turn of the event loop gathered becomes one frame and one
`write`; nobody is answered before that write (and, with `sync`, its `fdatasync`) is done. A write
that fails leaves the file as it was after the last good frame, fails every call that waited for it,
and the next record tries again. The file is locked (flock) while its process lives, so that whoever
ships it can tell an orphan.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tradewarden.audit.frames import BOOT_BYTES, BootKey, FileHeader, boot_key_place, frame
from tradewarden.crypto.kdf import KEY_BYTES
from tradewarden.errors import AuditUnavailableError
from tradewarden.forked import Home

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.clock import Clock, Randomness
    from tradewarden.crypto.keyset import Cipher

SEGMENT_BYTES = 64 << 20
MAX_FRAME_LINES = 2048  # of the longest entries: still less than `frames.MAX_FRAME_BYTES`
RESERVE_BYTES = 64 << 20
RESERVE_SHARE = 20
SUFFIX = ".journal"
UNFINISHED_SUFFIX = ".new"
_LOOK_EVERY = 1.0


def file_name(header: FileHeader) -> str:
    """Return the one name that a file with this header has."""
    return f"{header.boot.hex()}-{header.segment:06d}{SUFFIX}"


class _Flush(asyncio.Future[str]):
    """What all records of one turn wait for: the reason why the write failed, or nothing.

    It refuses to be cancelled: many wait for it, and an answer must not leave before it is done. The
    cancelled task is told so when the write is.
    """

    def cancel(self, msg: object = None) -> bool:
        """Leave the write alone; the task keeps its cancellation for when it wakes."""
        del msg
        return False


class Segment:
    """One open journal file, locked, that only grows by whole frames."""

    def __init__(self, directory: Path, header: FileHeader, boot_key: BootKey) -> None:
        self.path = directory / file_name(header)
        self._chain = boot_key.chain(header)
        self._torn = False
        encoded = header.encode()
        self.size = len(encoded)
        self.descriptor = _create(directory, self.path, encoded)

    def append(self, first: int, lines: list[bytes]) -> None:
        """Write one frame; raises `OSError` with the file as it was after the last good frame."""
        data, mac = frame(self._chain, first, lines)
        if self._torn:
            self._cut()
        try:
            written = os.pwrite(self.descriptor, data, self.size)
            if written != len(data):
                os.pwrite(self.descriptor, data[written:], self.size + written)
                self._expect(self.size + len(data))
        except OSError:
            self._torn = True
            self._cut()
            raise
        self.size += len(data)
        self._chain.advance(mac)

    def _expect(self, size: int) -> None:
        if os.fstat(self.descriptor).st_size != size:
            raise OSError("the journal took only a part of a frame")

    def _cut(self) -> None:
        os.ftruncate(self.descriptor, self.size)
        self._torn = False

    def in_place(self) -> bool:
        """Tell whether the file still stands where it was made: nobody removed it or put it aside."""
        try:
            return os.path.samestat(self.path.lstat(), os.fstat(self.descriptor))
        except OSError:
            return False  # it cannot be found: no shipper would find it either

    def finish(self, counter: int) -> None:
        """Write the frame that ends the file, if the disk takes it, and let the file go."""
        try:
            self.append(counter, [])
        except OSError:
            pass  # an unfinished end is what the shipper reports; nothing was acknowledged in it
        finally:
            os.close(self.descriptor)


def _create(directory: Path, path: Path, header: bytes) -> int:
    """Make the file under a name that no shipper looks at, lock it, then give it its own."""
    unfinished = path.with_suffix(UNFINISHED_SUFFIX)
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write_whole(descriptor, header)
        os.fsync(descriptor)
        unfinished.rename(path)
        _sync_directory(directory)
    except OSError:
        unfinished.unlink(missing_ok=True)
        os.close(descriptor)
        raise
    return descriptor


def _write_whole(descriptor: int, header: bytes) -> None:
    if os.pwrite(descriptor, header, 0) != len(header):
        raise OSError("the journal took only a part of its header")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Journal:
    """A `Recorder` over one file a process in `directory`. Belongs to one event loop.

    `wrap` needs one message of budget (`await keys.reserve(Purpose.AUDIT)`). Raises
    `AuditUnavailableError` when the first file cannot be made.
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        randomness: Randomness,
        wrap: Cipher,
        sync: bool = False,  # noqa: FBT001, FBT002
        segment_bytes: int = SEGMENT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        self.directory = directory
        self.boot = randomness(BOOT_BYTES)
        self._clock = clock
        self._sync = ThreadPoolExecutor(1, "tradewarden-sync") if sync else None
        self._segment_bytes = segment_bytes
        self._reserve_bytes = reserve_bytes
        self._counter = 0
        self._lines: list[bytes] = []
        self._flush: _Flush | None = None
        self._syncing: _Flush | None = None
        self._looked = clock.monotonic()
        self._room_looked = -_LOOK_EVERY
        self._room = True
        key = randomness(KEY_BYTES)
        self._wrapped = wrap.encrypt(key, boot_key_place(self.boot))
        self._boot_key = BootKey(key)
        self._number = 0
        self._home = Home()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._segment: Segment | None = self._begin()
        except OSError as error:
            raise _unavailable(f"{directory}: {error}") from error

    @property
    def counter(self) -> int:
        """How many events stand in this journal: the counter that the next one gets."""
        return self._counter

    async def record(self, event: bytes) -> None:
        """Append one encoded event and return when it is written (with `sync`: durable).

        Raises `AuditUnavailableError` when it could not be.
        """
        self._home.require()
        flush = self._flush
        if flush is None:
            loop = asyncio.get_running_loop()
            flush = self._flush = _Flush(loop=loop)
            loop.call_soon(self._write_out)
        self._lines.append(event)
        reason = await flush
        if reason:
            raise _unavailable(reason)

    def _write_out(self) -> None:
        flush = self._flush
        if flush is None or self._syncing is not None:
            return
        lines, self._lines, self._flush = self._lines, [], None
        try:
            segment = self._ready()
            for start in range(0, len(lines), MAX_FRAME_LINES):
                frame_lines = lines[start : start + MAX_FRAME_LINES]
                segment.append(self._counter, frame_lines)
                self._counter += len(frame_lines)
        except OSError as error:
            flush.set_result(f"{self.directory}: {error}")
            return
        if self._sync is None:
            flush.set_result("")
        else:
            self._sync_then_answer(flush, segment, self._sync)

    def _sync_then_answer(self, flush: _Flush, segment: Segment, executor: ThreadPoolExecutor) -> None:
        self._syncing = flush
        loop = flush.get_loop()
        done = loop.run_in_executor(executor, os.fdatasync, segment.descriptor)

        def answer(synced: asyncio.Future[None]) -> None:
            self._syncing = None
            error = synced.exception()
            if error is not None:
                self._let_go()  # what the kernel kept of this file is unknown from here on
            flush.set_result(f"{self.directory}: {error}" if error else "")
            self._write_out()

        done.add_done_callback(answer)

    def _ready(self) -> Segment:
        """Return the segment to write to: a new one when the present one is full, gone or failed.

        One that is gone is let go first: whatever becomes of the new one, nothing is written where nobody reads it.
        """
        segment = self._segment
        if segment is not None and self._is_gone(segment):
            self._let_go()
            segment = None
        if segment is not None and segment.size < self._segment_bytes:
            return segment
        successor = self._begin()
        self._let_go()
        self._segment = successor
        return successor

    def _is_gone(self, segment: Segment) -> bool:
        now = self._clock.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return False
        self._looked = now
        return not segment.in_place()

    def _begin(self) -> Segment:
        if not self.directory.is_dir():  # then every record fails here, and none of them uses a number up
            raise NotADirectoryError("there is no such directory")
        header = FileHeader(self.boot, self._number, self._counter, self._wrapped)
        self._number += 1
        return Segment(self.directory, header, self._boot_key)

    def _let_go(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.finish(self._counter)

    def spare(self) -> bool:
        """Tell whether the disk has room beyond the reserve that is kept for proven callers.

        Without it the door records nothing for anonymous ones (decision 9). Looks once a second.
        """
        now = self._clock.monotonic()
        if now - self._room_looked < _LOOK_EVERY:
            return self._room
        self._room_looked = now
        try:
            disk = os.statvfs(self.directory)
        except OSError:
            self._room = False
            return False
        reserve = min(self._reserve_bytes, disk.f_blocks * disk.f_frsize // RESERVE_SHARE)
        self._room = disk.f_bavail * disk.f_frsize > reserve
        return self._room

    async def close(self) -> None:
        """Wait for what is being written, end the file in order and unlock it; nothing of that in a fork."""
        if not self._home.here:
            return
        while (flush := self._syncing or self._flush) is not None:
            await flush
        self._let_go()
        if self._sync is not None:
            self._sync.shutdown()


def _unavailable(reason: str) -> AuditUnavailableError:
    return AuditUnavailableError(
        "The audit entry cannot be written now, so nothing is answered; try again later",
        reason=reason,
    )

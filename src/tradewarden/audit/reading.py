"""Reading a journal file back, frame by frame, each verified before anything of it is used."""

from __future__ import annotations

import fcntl
import os
import stat
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from tradewarden.audit.frames import (
    FRAME_HEAD,
    FRAME_MAGIC,
    MAC_BYTES,
    MAX_FRAME_BYTES,
    BootKey,
    read_header,
)
from tradewarden.crypto.aead import key_version
from tradewarden.errors import IntegrityError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.audit.frames import FileHeader
    from tradewarden.crypto.keyset import Cipher

_MAX_HEADER_BYTES = 4096
_CHUNK_BYTES = 1 << 20


class Frame(NamedTuple):
    """One verified frame: the counter of its first line, how many, the lines joined by LF."""

    first: int
    entries: int
    lines: bytes


class Tail(Enum):
    """What stands after the last whole frame."""

    MORE = "more whole frames, perhaps"
    NOTHING = "nothing"
    CLOSED = "the frame that closes a file in order"
    TORN = "the beginning of a frame"
    DAMAGED = "something that does not verify"


def _unwrapped(header: FileHeader, unwrap: Cipher) -> bytes:
    if key_version(header.wrapped) > unwrap.current:
        raise UnavailableError("A journal is wrapped under a key that is not loaded yet; try again")
    return unwrap.decrypt(header.wrapped, header.associated)


def _opened(path: Path) -> int:
    """Open a regular file only, and wait for nobody: a pipe is opened once somebody writes to it."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise IntegrityError("This is no regular file")
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


class JournalReader:
    """One journal file, read once from its beginning to its end.

    Raises `IntegrityError` when it is no file or its header does not verify, `UnavailableError` when it is wrapped
    under a key version that this process does not know yet.
    """

    def __init__(self, path: Path, unwrap: Cipher) -> None:
        self.path = path
        self._descriptor = _opened(path)
        try:
            header = read_header(os.pread(self._descriptor, _MAX_HEADER_BYTES, 0))
            key = _unwrapped(header, unwrap)
        except BaseException:
            os.close(self._descriptor)
            raise
        self.header = header
        self.boot = header.boot.hex()
        self.offset = len(header.encode())
        self.counter = header.first
        self._chain = BootKey(key).chain(header)

    @property
    def size(self) -> int:
        """How long the file is now, in bytes."""
        return os.fstat(self._descriptor).st_size

    def orphaned(self) -> bool:
        """Tell whether its process has let it go; from then on it is locked by this reader."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def in_place(self) -> bool:
        """Tell whether this file still stands under its name: nobody removed, moved or replaced it."""
        try:
            return os.path.samestat(self.path.lstat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Let the file go."""
        os.close(self._descriptor)

    def read(self, most: int) -> tuple[list[Frame], Tail]:
        """Return the next verified frames, about `most` lines, and what follows them."""
        frames: list[Frame] = []
        data = os.pread(self._descriptor, _CHUNK_BYTES, self.offset)
        position = taken = 0
        while taken < most:
            found = self._frame(data, position)
            if isinstance(found, int):
                if position:
                    return frames, Tail.MORE
                data = os.pread(self._descriptor, found, self.offset)
                found = self._frame(data, 0)
            if isinstance(found, int):
                return frames, self._unfinished(data)
            if isinstance(found, Tail):
                return frames, found
            frames.append(found)
            length = FRAME_HEAD.size + len(found.lines) + MAC_BYTES
            position += length
            taken += found.entries
        return frames, Tail.MORE

    def _frame(self, data: bytes, position: int) -> Frame | Tail | int:
        """Return the frame here, what stands in its place, or how many bytes more are wanted."""
        start = position + FRAME_HEAD.size
        if len(data) < start:
            return Tail.NOTHING if len(data) == position == 0 else FRAME_HEAD.size
        head = data[position:start]
        magic: bytes
        first: int
        count: int
        length: int
        magic, first, count, length = FRAME_HEAD.unpack(head)
        if magic != FRAME_MAGIC or first != self.counter or length > MAX_FRAME_BYTES:
            return self._foreign()
        end = start + length
        if len(data) < end + MAC_BYTES:
            return FRAME_HEAD.size + length + MAC_BYTES
        body, mac = data[start:end], data[end : end + MAC_BYTES]
        if mac != self._chain.mac(head, body) or count != (body.count(b"\n") + 1 if body else 0):
            return Tail.DAMAGED
        if not count:
            return Tail.CLOSED
        self._chain.advance(mac)
        self.offset += end + MAC_BYTES - position
        self.counter += count
        return Frame(first, count, body)

    def _unfinished(self, data: bytes) -> Tail:
        """Tell a torn end from a length that somebody changed: after that, whole frames follow."""
        return Tail.DAMAGED if FRAME_MAGIC in data[len(FRAME_MAGIC) :] else Tail.TORN

    def _foreign(self) -> Tail:
        """Tell what a power cut leaves (zeros to the end) from anything else."""
        position = self.offset
        while rest := os.pread(self._descriptor, _CHUNK_BYTES, position):
            if rest.strip(b"\x00"):
                return Tail.DAMAGED
            position += len(rest)
        return Tail.TORN

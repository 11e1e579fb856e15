"""The journal's file format: one header, then frames, each MAC-chained to what stands before it.

    header  magic 8 | boot id 8 | segment u32 | first counter u64 | length u16 | wrapped boot key
    frame   magic 4 | first counter u64 | count u32 | length u32 | lines joined by LF | MAC 32

Always true here: a frame's MAC is HMAC-SHA256 (RFC 2104) over the MAC before it, its header and its
lines; the first one follows a MAC over the file's header. After every frame the key is replaced by
`HMAC(key, label)`, so who reads the memory of a process cannot forge what it wrote before. The boot
key is random, wrapped by the audit cipher with the boot id as associated data. Each segment's key
comes from the boot key by as many steps as its number says. A frame without lines ends a file that
was closed in order.
"""

from __future__ import annotations

import hmac
import struct
from typing import NamedTuple

from tradewarden.crypto.place import place
from tradewarden.errors import IntegrityError

MAGIC = b"twjrnl\x00\x01"
FRAME_MAGIC = b"\xfftw\xfe"  # never valid UTF-8, so no line can hold it
BOOT_BYTES = 8
MAC_BYTES = 32
MAX_FRAME_BYTES = 1 << 26
FRAME_HEAD = struct.Struct(">4sQII")
_HEAD = struct.Struct(f">8s{BOOT_BYTES}sIQH")
_NEXT_FRAME = b"tradewarden journal: next frame"
_NEXT_SEGMENT = b"tradewarden journal: next segment"
_FRAMES = b"tradewarden journal: frames"


def step(key: bytes, label: bytes) -> bytes:
    """Return the key that follows from `key` for the use `label` names; there is no way back."""
    return hmac.digest(key, label, "sha256")


class FileHeader(NamedTuple):
    """What a journal file says of itself first."""

    boot: bytes
    segment: int
    first: int
    wrapped: bytes

    def encode(self) -> bytes:
        """Return the header's bytes."""
        packed = _HEAD.pack(MAGIC, self.boot, self.segment, self.first, len(self.wrapped))
        return packed + self.wrapped

    @property
    def associated(self) -> bytes:
        """Where the wrapped boot key belongs: associated data of its envelope."""
        return boot_key_place(self.boot)


def boot_key_place(boot: bytes) -> bytes:
    """Return the place of a boot key, associated data of its envelope."""
    return place("audit", "journal", boot)


def read_header(data: bytes) -> FileHeader:
    """Read a file's header; raises `IntegrityError` when these bytes do not begin with one."""
    if len(data) >= _HEAD.size:
        magic, boot, segment, first, length = _HEAD.unpack_from(data)
        wrapped = data[_HEAD.size : _HEAD.size + length]
        if magic == MAGIC and len(wrapped) == length:
            return FileHeader(boot, segment, first, wrapped)
    raise IntegrityError("This file does not begin as an audit journal of Tradewarden")


class BootKey:
    """The key of one process's life; gives each segment its chain and forgets what it has passed."""

    __slots__ = ("_key", "_segment")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._segment = 0

    def chain(self, header: FileHeader) -> Chain:
        """Return the chain of the segment that `header` begins; segments only go forward."""
        while self._segment < header.segment:
            self._key = step(self._key, _NEXT_SEGMENT)
            self._segment += 1
        return Chain(step(self._key, _FRAMES), header.encode())


class Chain:
    """Where a MAC chain stands: the key of the next frame and the MAC before it."""

    __slots__ = ("_key", "_mac")

    def __init__(self, key: bytes, header: bytes) -> None:
        self._mac = step(key, header)
        self._key = step(key, _NEXT_FRAME)

    def mac(self, head: bytes, body: bytes) -> bytes:
        """Return the MAC that a frame has when it stands next in this chain."""
        return hmac.digest(self._key, self._mac + head + body, "sha256")

    def advance(self, mac: bytes) -> None:
        """Move past the frame with this MAC."""
        self._mac = mac
        self._key = step(self._key, _NEXT_FRAME)


def frame(chain: Chain, first: int, lines: list[bytes]) -> tuple[bytes, bytes]:
    """Return a frame's bytes and its MAC; the chain stays where it is until the frame is written."""
    body = b"\n".join(lines)
    head = FRAME_HEAD.pack(FRAME_MAGIC, first, len(lines), len(body))
    mac = chain.mac(head, body)
    return head + body + mac, mac

"""The revoked certificates of one CA as this process holds them: ready DER entries, by shard.

About 55 bytes an entry. What is held can be put beside a complete list as its index (when each entry's certificate
ends, how long each entry is), so that another process takes everything over without reading a single row.

Always true here: every revocation up to the number `known`, of a certificate that ends at `floor` or later, is held.
"""

from __future__ import annotations

import struct
from array import array
from itertools import accumulate
from typing import Final, NamedTuple

SHARDS: Final = 32
WHOLE: Final = -1
"""Stands for the list of all shards together."""
_HEAD: Final = struct.Struct("<HQ")
_SHARD: Final = struct.Struct("<QI")
_LAST_SECOND: Final = 2**32 - 1


def shard_of(serial: int) -> int:
    """Return the shard of a certificate: the lowest bits of its serial number, which is random."""
    return serial % SHARDS


class Entry(NamedTuple):
    """One revoked certificate: its serial number, the number of its revocation, its end, its entry in the list."""

    serial: int
    revocation: int
    ends: int
    der: bytes


class _Shard:
    """Entries one after the other; beside them when each one's certificate ends, and its length."""

    __slots__ = ("ders", "ends", "last", "sizes", "soonest")

    def __init__(self) -> None:
        self.ders = bytearray()
        self.ends = array("I")
        self.sizes = bytearray()
        self.soonest = _LAST_SECOND
        self.last = 0

    def add(self, entry: Entry) -> None:
        ends = min(entry.ends, _LAST_SECOND)
        self.ders += entry.der
        self.ends.append(ends)
        self.sizes.append(len(entry.der))
        self.soonest = min(self.soonest, ends)
        self.last = max(self.last, entry.revocation)

    def since(self, seconds: int) -> tuple[bytes, array[int], bytes]:
        """Return the entries of certificates that end at `seconds` or later, their ends and lengths."""
        if self.soonest >= seconds:
            return bytes(self.ders), self.ends, bytes(self.sizes)
        kept = [index for index, ends in enumerate(self.ends) if ends >= seconds]
        starts = list(accumulate(self.sizes, initial=0))
        ders = b"".join([self.ders[starts[index] : starts[index + 1]] for index in kept])
        return ders, array("I", [self.ends[index] for index in kept]), bytes(self.sizes[index] for index in kept)

    def forget(self, seconds: int) -> None:
        """Forget certificates that ended before `seconds`."""
        if self.soonest < seconds:
            ders, self.ends, sizes = self.since(seconds)
            self.ders, self.sizes = bytearray(ders), bytearray(sizes)
            self.soonest = min(self.ends, default=_LAST_SECOND)


class Entries:
    """All entries of one CA. Not for two threads at once."""

    __slots__ = ("_shards", "floor", "known")

    def __init__(self, known: int = 0, floor: int = 0) -> None:
        self._shards = [_Shard() for _ in range(SHARDS)]
        self.known = known
        self.floor = floor

    def __len__(self) -> int:
        return sum(len(shard.ends) for shard in self._shards)

    def add(self, entry: Entry) -> None:
        """Take in one revocation; each comes after the one before."""
        self._shards[shard_of(entry.serial)].add(entry)
        self.known = entry.revocation

    def last(self, shard: int) -> int:
        """Return the number of the last revocation that a list is about."""
        return max(each.last for each in self._of(shard))

    def since(self, shard: int, seconds: int) -> list[bytes]:
        """Return the entries of a list, in parts, without certificates that ended before `seconds`."""
        return [each.since(seconds)[0] for each in self._of(shard)]

    def forget(self, seconds: int) -> None:
        """Forget certificates that ended before `seconds`."""
        for shard in self._shards:
            shard.forget(seconds)
        self.floor = max(self.floor, seconds)

    def _of(self, shard: int) -> list[_Shard]:
        return self._shards if shard == WHOLE else [self._shards[shard]]

    # -- beside a complete list ----------------------------------------------------------------

    def index(self) -> bytes:
        """Return what turns a complete list of all that is held into these entries again."""
        parts = [_HEAD.pack(SHARDS, self.floor)]
        for shard in self._shards:
            ends = struct.pack(f"<{len(shard.ends)}I", *shard.ends)
            parts += (_SHARD.pack(shard.last, len(shard.ends)), ends, bytes(shard.sizes))
        return b"".join(parts)

    @classmethod
    def restored(cls, index: bytes, ders: bytes, known: int) -> Entries | None:
        """Return the entries of a complete list and its index, or None when it was made for other shards."""
        shards, floor = _HEAD.unpack_from(index)
        if shards != SHARDS:
            return None
        made, at, start = cls(known, floor), _HEAD.size, 0
        for shard in made._shards:
            shard.last, count = _SHARD.unpack_from(index, at)
            at += _SHARD.size
            shard.ends = array("I", struct.unpack_from(f"<{count}I", index, at))
            at += 4 * count
            shard.sizes = bytearray(index[at : at + count])
            at += count
            end = start + sum(shard.sizes)
            shard.ders = bytearray(ders[start:end])
            start = end
            shard.soonest = min(shard.ends, default=_LAST_SECOND)
        return made

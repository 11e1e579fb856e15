"""What search skips tiles by: the marks of what the entries of a level 0 tile can be found by. Pure.

Always true here: a tile's marks hold those of every entry in it. So a value without its mark there is in no entry of
the tile; one with it may be in some. Marks are no evidence, only a hint where to read, and a tile without any is read.
A mark is the CRC-32 (zlib) of a value after its column's name: a collision costs the reading of 256 entries, and so
does one made on purpose, which a cryptographic hash of 32 bits would not keep anybody from either.
"""

from __future__ import annotations

import struct
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING
from zlib import crc32

from tradewarden.audit.tiles import HEIGHT, WIDTH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from tradewarden.audit.query import Filter
    from tradewarden.audit.store import Columns, StoredEntry
    from tradewarden.audit.tree import Range

Marks = dict[int, bytes]
"""By the number of their tile: distinct marks, sorted, 4 bytes each, big-endian."""

_MARK_BYTES = 4
_NAMES = ("event_type", "user", "resource", "action", "result", "request_id")
_VALUES = [(name, attrgetter(name), crc32(name.encode() + b"\x00")) for name in _NAMES]
_DIRECTORY = crc32(b"directory\x00")
_DEPTH = 4
"""How many of a resource's directories (`a/`, `a/b/`) have a mark: what one entry can add must have an end."""
_GAP = 2 * WIDTH
"""So many entries are read in less time than it takes to ask the database once more."""


def extend(size: int, begun: bytes | None, entries: Iterable[StoredEntry]) -> Marks:
    """Return the marks of every tile that `entries` are put into, when `size` were there before them.

    `begun` are the marks of the tile that was not full. Without them (None) it gets none now either: they
    would not hold those of the entries before.
    """
    changed: Marks = {}
    for tile, part in groupby(entries, lambda each: each.sequence >> HEIGHT):
        before = begun if tile == size >> HEIGHT and size % WIDTH else b""
        if before is not None:
            changed[tile] = _packed({*_unpacked(before), *_marks(list(part))})
    return changed


def missed(marks: bytes, entries: Sequence[StoredEntry]) -> list[StoredEntry]:
    """Return those of a tile's entries that a search by these marks does not find, as it should."""
    known = set(_unpacked(marks))
    if _marks(entries) <= known:
        return []
    return [each for each in entries if not _marks([each]) <= known]


def asked(wanted: Filter) -> list[bytes]:
    """Return the marks that every wanted entry has; none when it may be any entry's."""
    values = [(getattr(wanted, name), name, seed) for name, _, seed in _VALUES]
    prefix = wanted.resource.endswith("*")
    found = {_mark(value, seed) for value, name, seed in values if value and not (prefix and name == "resource")}
    if prefix:
        found.update([_mark(each, _DIRECTORY) for each in _directories(wanted.resource[:-1])][-1:])
    return [struct.pack(">I", each) for each in found]


def promising(low: int, high: int, found: Marks, wanted: Collection[bytes]) -> list[Range]:
    """Return the ranges of sequences between the two that wanted entries are in, if at all, from the first on."""
    ranges: list[Range] = []
    for tile in range(low >> HEIGHT, (high - 1 >> HEIGHT) + 1):
        marks = found.get(tile)
        # Bytes of two neighbours may look like a mark, too: one more tile is read, seldom. No entry is without marks:
        # where they are empty, what stands there are none.
        if marks and not all(each in marks for each in wanted):
            continue
        begin, end = max(low, tile << HEIGHT), min(high, tile + 1 << HEIGHT)
        if ranges and begin - ranges[-1][1] <= _GAP:
            begin, _ = ranges.pop()
        ranges.append((begin, end))
    return ranges


def _marks(entries: Sequence[Columns]) -> set[int]:
    found = set()
    for _, value_of, seed in _VALUES:
        found.update([_mark(value, seed) for value in set(map(value_of, entries))])
    parents = {each.resource[: each.resource.rfind("/") + 1] for each in entries}
    found.update([_mark(each, _DIRECTORY) for parent in parents for each in _directories(parent)])
    return found


def _mark(value: str, seed: int) -> int:
    return crc32(value.encode("utf-8", "surrogatepass"), seed)


def _directories(resource: str) -> Iterator[str]:
    end = 0
    for _ in range(_DEPTH):
        end = resource.find("/", end) + 1
        if not end:
            break
        yield resource[:end]


def _packed(marks: set[int]) -> bytes:
    return struct.pack(f">{len(marks)}I", *sorted(marks))


def _unpacked(marks: bytes) -> tuple[int, ...]:
    count = len(marks) // _MARK_BYTES
    return struct.unpack_from(f">{count}I", marks)

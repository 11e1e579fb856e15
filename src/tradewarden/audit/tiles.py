"""The tree as stored: tiles of up to 256 hashes (C2SP tlog-tiles, height 8).

Tile `(level, number)` holds the roots of complete subtrees of `256 ** level` leaves, from number
`256 * index` on. So adding an entry touches the last tile of each level, and a proof reads a few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tradewarden.audit.tree import HASH_BYTES, Node, Range, complete, fold, nodes
from tradewarden.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HEIGHT = 8
WIDTH = 1 << HEIGHT
TILE_BYTES = WIDTH * HASH_BYTES


class Place(NamedTuple):
    """Where a tile stands."""

    level: int
    number: int


Tiles = dict[Place, bytes]


def edge(size: int) -> list[Place]:
    """Return the places of the last, unfinished tile of each level in a tree of `size` leaves."""
    count, level = size, 0
    places = []
    while count:
        if count % WIDTH:
            places.append(Place(level, count >> HEIGHT))
        count >>= HEIGHT
        level += 1
    return places


def extend(size: int, last: Mapping[Place, bytes], leaves: Sequence[bytes]) -> Tiles:
    """Return every tile that is new or longer after `leaves` (hashes) were added to a tree of `size`.

    `last` are the tiles of `edge(size)`. Raises `IntegrityError` when one is not as long as it must be.
    """
    changed: Tiles = {}
    count, level, added = size, 0, list(leaves)
    while added:
        begun = Place(level, count >> HEIGHT)
        stored = _hashes(last.get(begun, b""), count % WIDTH, begun)
        row, added = stored + added, []
        for start in range(0, len(row), WIDTH):
            hashes = row[start : start + WIDTH]
            changed[Place(level, begun.number + start // WIDTH)] = b"".join(hashes)
            if len(hashes) == WIDTH:
                added.append(complete(hashes))
        count >>= HEIGHT
        level += 1
    return changed


def _hashes(tile: bytes, expected: int, place: Place) -> list[bytes]:
    if len(tile) != expected * HASH_BYTES:
        raise changed_tile(place, f"it holds {len(tile)} bytes instead of {expected * HASH_BYTES}")
    return split(tile)


def changed_tile(place: Place, why: str) -> IntegrityError:
    """Return the error for a tile that is not as it was written."""
    return IntegrityError(
        f"Tile {place.number} of level {place.level} of the audit tree was changed outside"
        " Tradewarden; run 'tradewarden audit verify'",
        reason=f"tile {place}: {why}",
    )


def split(tile: bytes) -> list[bytes]:
    """Return the hashes of a tile."""
    return [tile[i : i + HASH_BYTES] for i in range(0, len(tile), HASH_BYTES)]


def place_of(node: Node) -> Place:
    """Return the tile that holds what a node is made of."""
    level, rest = divmod(node.level, HEIGHT)
    return Place(level, node.number << rest >> HEIGHT)


def places_of(ranges: Iterable[Range]) -> list[Place]:
    """Return the tiles that the hashes of these ranges of leaves are computed from."""
    return list({place_of(node) for begin, end in ranges for node in nodes(begin, end)})


def range_hash(tiles: Mapping[Place, bytes], leaves: Range) -> bytes:
    """Return the hash of a range of leaves; raises `IntegrityError` when a tile is not there whole."""
    return fold([_node(tiles, node) for node in nodes(*leaves)])


def _node(tiles: Mapping[Place, bytes], node: Node) -> bytes:
    place = place_of(node)
    rest = node.level % HEIGHT
    start = (node.number << rest) % WIDTH
    hashes = split(tiles.get(place, b""))[start : start + (1 << rest)]
    if len(hashes) != 1 << rest:
        raise IntegrityError(
            "The audit tree is not whole; run 'tradewarden audit verify'",
            reason=f"tile {place} is missing or cut short",
        )
    return complete(hashes)

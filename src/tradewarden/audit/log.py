"""The log as its readers see it: search, checkpoints, proofs, export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from tradewarden.audit.query import Query, checked, decode_cursor, encode_cursor
from tradewarden.audit.store import Misfit, changed_entry, columns_of
from tradewarden.audit.tiles import changed_tile, places_of, range_hash, split
from tradewarden.audit.tree import Range, consistency, inclusion
from tradewarden.errors import IntegrityError, InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tradewarden.audit.checkpoint import CheckpointSigner
    from tradewarden.audit.store import LogReader, StoredCheckpoint, StoredEntry
    from tradewarden.clock import Clock

ACTION = "audit:read"
ENTRIES, CHECKPOINT, CHECKPOINTS = "entries.jsonl", "checkpoint", "checkpoints.jsonl"
LEAVES, PUBLIC_KEY = "leaves", "public_key.pem"
_PAGE = 1024
_WINDOW = 1 << 16
_SEARCH_SECONDS = 0.5
RESOURCE = "log"
"""The log is read as a whole: a narrower `audit:read` opens nothing."""


class Grant(Protocol):
    """Proof that the caller may (`tradewarden.access.grant.Grant`)."""

    def require(self, action: str, resource: str) -> None:
        """Raise `PermissionDeniedError` unless this grant is for that."""
        ...


class Page(msgspec.Struct, frozen=True):
    """Entries as the JSON lines that they are; `cursor` goes on behind them, empty at the end.

    Only lines that say themselves what was asked for are in it, whatever their columns say. A page may be short,
    even empty, and still have a cursor: a search stops after half a second. To follow the log, oldest
    first, go on later with `encode_cursor` of the last sequence seen.
    """

    entries: Sequence[bytes]
    cursor: str


class InclusionProof(msgspec.Struct, frozen=True):
    """That the entry with this leaf hash stands at `sequence` in the log of `tree_size` (RFC 6962)."""

    sequence: int
    tree_size: int
    leaf: bytes
    proof: Sequence[bytes]


class ConsistencyProof(msgspec.Struct, frozen=True):
    """That the log of `second` entries only adds to that of `first` (RFC 6962)."""

    first: int
    second: int
    proof: Sequence[bytes]


class StoredNote(msgspec.Struct, frozen=True):
    """One line of an export's checkpoint history."""

    size: int
    note: str


class AuditLog:
    """Reads the numbered log for those who may (`audit:read`)."""

    def __init__(self, store: LogReader, signer: CheckpointSigner, clock: Clock) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock

    @property
    def public_key_pem(self) -> bytes:
        """The key that verifies checkpoints: a PEM public key for whoever keeps them elsewhere."""
        return self._signer.public_pem

    async def search(self, grant: Grant, query: Query) -> Page:
        """Return the next page of what is wanted; raises `InvalidInputError` naming a bad parameter."""
        grant.require(ACTION, RESOURCE)
        query = checked(query)
        wanted = query.filter
        low, high = await self._store.bounds(wanted.since, wanted.until)
        if query.cursor:
            sequence = decode_cursor(query.cursor)
            low, high = (max(low, sequence + 1), high) if wanted.oldest_first else (low, min(high, sequence))
        return await self._page(query, low, high)

    async def _page(self, query: Query, low: int, high: int) -> Page:
        wanted = query.filter
        found: list[StoredEntry] = []
        until = self._clock.monotonic() + _SEARCH_SECONDS
        while low < high and len(found) < query.limit:
            begin, end = (low, min(high, low + _WINDOW)) if wanted.oldest_first else (max(low, high - _WINDOW), high)
            found += await self._store.find(wanted, begin, end, query.limit - len(found))
            low, high = (end, high) if wanted.oldest_first else (low, begin)
            if self._clock.monotonic() > until:
                break
        lines = [each.line for each in found if wanted.matches(columns_of(each))]
        if len(found) == query.limit:
            return Page(lines, encode_cursor(found[-1].sequence))
        if low < high:
            return Page(lines, encode_cursor(low - 1 if wanted.oldest_first else high))
        return Page(lines, "")

    async def checkpoint(self, grant: Grant, size: int | None = None) -> bytes:
        """Return the newest signed checkpoint, or that of one size; raises `NotFoundError`."""
        grant.require(ACTION, RESOURCE)
        return (await self._checkpoint(size)).note

    async def _checkpoint(self, size: int | None) -> StoredCheckpoint:
        stored = await self._store.checkpoint(size)
        if stored is None:
            raise NotFoundError("There is no such checkpoint; the first is signed within a second")
        return _whole(stored)

    async def inclusion(self, grant: Grant, sequence: int, tree_size: int | None = None) -> InclusionProof:
        """Return the audit path of one entry in the log of `tree_size` entries (None: the newest checkpoint's).

        RFC 6962 2.1.1.
        """
        grant.require(ACTION, RESOURCE)
        tree_size = await self._size(tree_size)
        if not 0 <= sequence < tree_size:
            raise InvalidInputError("sequence must be smaller than tree_size")
        leaf, *proof = await self._hashes([(sequence, sequence + 1), *inclusion(sequence, tree_size)])
        return InclusionProof(sequence, tree_size, leaf, proof)

    async def consistency(self, grant: Grant, first: int, second: int | None = None) -> ConsistencyProof:
        """Return the consistency proof between two sizes of the log (None: the newest checkpoint's; RFC 6962 2.1.2)."""
        grant.require(ACTION, RESOURCE)
        second = await self._size(second)
        if not 1 <= first <= second:
            raise InvalidInputError("first must be from 1 to second")
        return ConsistencyProof(first, second, await self._hashes(consistency(first, second)))

    async def _size(self, size: int | None) -> int:
        if size is None:
            return (await self._checkpoint(None)).size
        if not 0 <= size <= await self._store.size():
            raise InvalidInputError("The log has fewer entries than that")
        return size

    async def _hashes(self, ranges: list[Range]) -> list[bytes]:
        tiles = await self._store.tiles(places_of(ranges))
        return [range_hash(tiles, each) for each in ranges]

    async def export(self, grant: Grant, write: Callable[[str, bytes], None]) -> None:
        """Give the whole log, up to the newest checkpoint, to `write(file name, next bytes)`.

        The files are what `tradewarden.audit.verify.verify_export` reads: entries, leaf hashes as
        stored beside them, every kept checkpoint, the newest one, the public key.
        """
        grant.require(ACTION, RESOURCE)
        newest = await self._checkpoint(None)
        write(PUBLIC_KEY, self._signer.public_pem)
        write(CHECKPOINT, newest.note)
        await self._export_checkpoints(newest.size, write)
        await self._export_entries(newest.size, write)

    async def _export_checkpoints(self, size: int, write: Callable[[str, bytes], None]) -> None:
        after = 0
        while page := await self._store.checkpoints(after, _PAGE):
            for each in page:
                if each.size <= size:
                    note = StoredNote(each.size, _whole(each).note.decode("utf-8", "replace"))
                    write(CHECKPOINTS, msgspec.json.encode(note) + b"\n")
            after = page[-1].size

    async def _export_entries(self, size: int, write: Callable[[str, bytes], None]) -> None:
        first = 0
        while first < size:
            page = await self._store.entries(first, _PAGE)
            lines = [each.line for each in page if each.sequence < size]
            for each in page:
                if isinstance(each.line, Misfit):
                    raise changed_entry(each)
            if not lines:
                break
            write(ENTRIES, b"\n".join(lines) + b"\n")
            first = page[-1].sequence + 1
        for first in range(0, size, 256):
            leaves = [(each, each + 1) for each in range(first, min(first + 256, size))]
            tiles = await self._store.tiles(places_of(leaves[:1]))
            for place, tile in tiles.items():
                if isinstance(tile, Misfit):
                    raise changed_tile(place, f"it is stored as {tile.kind}")
            hashes = split(next(iter(tiles.values()), b""))[: len(leaves)]
            write(LEAVES, b"".join(hashes).ljust(32 * len(leaves), b"\x00"))


def _whole(stored: StoredCheckpoint) -> StoredCheckpoint:
    if isinstance(stored.note, Misfit):
        raise IntegrityError(
            f"The audit checkpoint of size {stored.size} was changed outside Tradewarden;"
            " run 'tradewarden audit verify'",
            reason=f"checkpoint {stored.size} is stored as {stored.note.kind}",
        )
    return stored

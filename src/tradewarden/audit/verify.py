"""Verifying a log, from an export without any of our keys, or the live one through its store.

Both read the log once from its beginning, in pages. `verifier` is the public key, from outside of what
is verified. `kept` is a signed checkpoint that was kept elsewhere: only that shows when the end was
cut off together with the checkpoints over it, or when the whole was replaced.
"""

from __future__ import annotations

from itertools import groupby, islice
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from tradewarden.audit import examine
from tradewarden.audit.checkpoint import MAX_NOTE_BYTES, Checkpoint, CheckpointVerifier, read_checkpoint, require_form
from tradewarden.audit.examine import COLUMNS, CUT_OFF, STATE, TREE, Examiner, Problem, Report, stored_as
from tradewarden.audit.log import CHECKPOINT, CHECKPOINTS, ENTRIES, LEAVES, StoredNote
from tradewarden.audit.marks import missed
from tradewarden.audit.store import columns_of
from tradewarden.audit.tiles import HEIGHT, WIDTH, Place, Tiles, split
from tradewarden.audit.tree import HASH_BYTES, complete
from tradewarden.errors import IntegrityError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tradewarden.audit.store import AuditStore, LogReader, StoredEntry

_PAGE = 1024
_MAX_LINE_BYTES = 1 << 20


class _Signed:
    """Reads checkpoints; one whose signature does not hold becomes a problem."""

    def __init__(self, examiner: Examiner, verifier: CheckpointVerifier, kept: bytes | None) -> None:
        self._examiner = examiner
        self._verifier = verifier
        self._origin = ""
        if kept is not None:
            require_form(kept)
        self.kept = None if kept is None else self.read(kept, "the checkpoint that was kept elsewhere")

    def read(self, note: bytes, which: str) -> Checkpoint | None:
        """Return a checkpoint of this log, or None and a problem."""
        try:
            checkpoint = read_checkpoint(note, self._verifier)
        except IntegrityError as error:
            self._examiner.note(Problem(examine.CHECKPOINT, 0, 0, f"{which}: {error.detail}{stored_as(note)}"))
            return None
        self._origin = self._origin or checkpoint.origin
        if checkpoint.origin == self._origin:
            return checkpoint
        detail = f"{which} is of another log, {checkpoint.origin!r}"
        self._examiner.note(Problem(examine.CHECKPOINT, checkpoint.size, checkpoint.size, detail))
        return None

    def expect(self, found: Iterable[Checkpoint], first: int, last: int) -> None:
        """Hand the examiner what covers `first < size <= last`, the kept one among them."""
        kept = [self.kept] if self.kept else []
        fitting = [each for each in (*found, *kept) if first < each.size <= last]
        self._examiner.expect(sorted(fitting, key=lambda each: each.size))

    def length(self, newest: Checkpoint | None) -> int:
        """Return how many entries there must be."""
        return max((each.size for each in (newest, self.kept) if each), default=0)


def verify_export(directory: Path, verifier: CheckpointVerifier, kept: bytes | None = None) -> Report:
    """Verify an export; raises `InvalidInputError` when the directory holds none, or `kept` is no checkpoint."""
    examiner = Examiner()
    signed = _Signed(examiner, verifier, kept)
    newest = signed.read(_small_file(directory / CHECKPOINT), "the checkpoint")
    history = _history(directory / CHECKPOINTS, signed)
    coming = next(history, None)
    with (directory / ENTRIES).open("rb") as lines, _open(directory / LEAVES) as leaves:
        while page := list(islice(_lines(lines), _PAGE)):
            last = examiner.size + len(page)
            covering = [newest] if newest else []
            while coming is not None and coming.size <= last:
                covering.append(coming)
                coming = next(history, None)
            signed.expect(covering, examiner.size, last)
            for line in page:
                stored = leaves.read(HASH_BYTES) if leaves else b""
                examiner.take(line, stored if len(stored) == HASH_BYTES else None)
    report = examiner.report(newest, signed.length(newest))
    return _with_added(report) if newest else report


def _with_added(report: Report) -> Report:
    if not report.unproven:
        return report
    first, last = report.size, report.entries - 1
    detail = f"entries {first} to {last} stand behind the checkpoint and are proven by nothing"
    added = Problem("added", first, last, detail)
    return msgspec.structs.replace(report, problems=(*report.problems, added))


def _small_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_NOTE_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read; is this an audit export?") from error


class _Absent:
    """An optional file that is not there."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _open(path: Path) -> BinaryIO | _Absent:
    return path.open("rb") if path.is_file() else _Absent()


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(_MAX_LINE_BYTES):
        yield line.removesuffix(b"\n")


def _history(path: Path, signed: _Signed) -> Iterator[Checkpoint]:
    """Yield the export's checkpoints as far as their signatures hold and their sizes rise."""
    size = 0
    with _open(path) as file:
        for line in _lines(file) if file else ():
            try:
                note = msgspec.json.decode(line, type=StoredNote).note.encode()
            except (msgspec.MsgspecError, UnicodeError):
                note = b""
            checkpoint = signed.read(note, f"a kept checkpoint after size {size}")
            if checkpoint is not None and checkpoint.size > size:
                size = checkpoint.size
                yield checkpoint


async def verify_log(store: LogReader, verifier: CheckpointVerifier, kept: bytes | None = None) -> Report:
    """Verify the live log: entries, search columns, marks and spans, every tile, every kept checkpoint.

    Raises `IntegrityError` when not even its length can be read, `InvalidInputError` when `kept` is no checkpoint.
    """
    examiner = Examiner()
    signed = _Signed(examiner, verifier, kept)
    stored = await store.checkpoint()
    newest = signed.read(stored.note, "the newest checkpoint") if stored else None
    arrivals = await store.arrivals()
    size = await store.size()  # asked last: a living log grows, and never below its newest checkpoint
    if stored is None and size:
        examiner.note(Problem(examine.CHECKPOINT, 0, 0, "no checkpoint is kept"))
    for detail in await store.misfits():
        examiner.note(Problem(STATE, 0, 0, detail))
    tiles = _TileCheck(store, examiner, size)
    row = 0
    while page := await store.entries(row, _PAGE):
        page = [each for each in page if each.sequence < size]
        if not page:
            break
        await _expect_page(store, signed, examiner.size, examiner.size + len(page))
        hashes = await tiles.leaves(examiner.size, len(page))
        agreeing: list[StoredEntry] = []
        for entry, stored_hash in zip(page, hashes, strict=True):
            examined = examiner.take(entry.line, stored_hash)
            if examined is not None and _columns_differ(entry, examined.sequence):
                detail = f"the search columns of entry {entry.sequence} were changed"
                examiner.note(Problem(COLUMNS, entry.sequence, entry.sequence, detail))
            elif examined is not None:
                agreeing.append(entry)
        await _check_marks(store, examiner, agreeing)
        await _check_spans(store, examiner, agreeing)
        row = page[-1].sequence + 1
    examiner.account(arrivals)
    await tiles.check_above(min(size, row))  # no farther than entries are, whatever the length is said to be
    return examiner.report(newest, max(signed.length(newest), size))


async def verify_installation(store: AuditStore, verifier: CheckpointVerifier, kept: bytes | None = None) -> Report:
    """As `verify_log`, for a database that holds keys: their making was recorded with them, so some entry there is."""
    report = await verify_log(store, verifier, kept)
    if report.entries or report.problems or (await store.backlog()).entries or await store.size():
        return report
    detail = "the log is empty: every entry was removed, for the first one records the making of the installation"
    return msgspec.structs.replace(report, problems=(Problem(CUT_OFF, 0, 0, detail),))


async def _expect_page(store: LogReader, signed: _Signed, first: int, last: int) -> None:
    notes = await store.checkpoints(first, last - first)
    read = [signed.read(each.note, f"the checkpoint of size {each.size}") for each in notes
            if each.size <= last]  # fmt: skip
    signed.expect([each for each in read if each], first, last)


def _columns_differ(entry: StoredEntry, sequence: int) -> bool:
    try:
        told = msgspec.structs.astuple(columns_of(entry))
    except IntegrityError:
        return True
    return msgspec.structs.astuple(entry)[: len(told)] != told or entry.sequence != sequence


async def _check_marks(store: LogReader, examiner: Examiner, page: list[StoredEntry]) -> None:
    """Note what a search would miss because the marks of its tile are not those of its entries."""
    tiles = _by_tile(page)
    if not tiles:
        return
    for tile, marks in (await store.marks(min(tiles), max(tiles))).items():
        if missing := missed(marks, tiles.get(tile, [])):
            detail = f"the search marks of tile {tile} were changed: {len(missing)} of its entries would not be found"
            examiner.note(Problem(COLUMNS, missing[0].sequence, missing[-1].sequence, detail))


async def _check_spans(store: LogReader, examiner: Examiner, page: list[StoredEntry]) -> None:
    """Note what a search by time would miss because the span of its tile does not reach over its entries."""
    tiles = _by_tile(page)
    if not tiles:
        return
    spans = {each.tile: each for each in await store.spans(min(tiles), max(tiles))}
    for tile, entries in tiles.items():
        span = spans.get(tile)
        missing = [each for each in entries if span is None or not span.earliest <= each.timestamp <= span.latest]
        if missing:
            detail = f"the times of tile {tile} were changed: {len(missing)} of its entries would not be found by time"
            if span is None:
                detail = f"the times of tile {tile} were removed: every search by time reads the whole log"
            examiner.note(Problem(COLUMNS, missing[0].sequence, missing[-1].sequence, detail))


def _by_tile(page: list[StoredEntry]) -> dict[int, list[StoredEntry]]:
    return {tile: list(part) for tile, part in groupby(page, lambda each: each.sequence >> HEIGHT)}


class _TileCheck:
    """Whether the stored tiles follow from each other; and the leaf hashes out of them."""

    def __init__(self, store: LogReader, examiner: Examiner, size: int) -> None:
        self._store = store
        self._examiner = examiner
        self._size = size

    async def leaves(self, first: int, count: int) -> list[bytes | None]:
        """Return the stored leaf hashes of a page; None where there is none."""
        low, high = first >> HEIGHT, (first + count - 1) >> HEIGHT
        tiles = await self._store.tiles([Place(0, index) for index in range(low, high + 1)])
        found: list[bytes | None] = []
        for index in range(low, high + 1):
            tile = tiles.get(Place(0, index), b"")
            hashes: list[bytes | None] = [*split(tile)]
            found += [*hashes, *[None] * (WIDTH - len(hashes))]
            due = min(WIDTH, self._size - (index << HEIGHT))
            if len(tile) < due * HASH_BYTES:
                at = (index << HEIGHT) + len(tile) // HASH_BYTES
                detail = f"tile {index} of level 0 was changed: it has {len(tile) // HASH_BYTES} of {due} hashes"
                self._examiner.note(Problem(TREE, at, at, detail + stored_as(tile)))
        start = first - (low << HEIGHT)
        return found[start : start + count]

    async def check_above(self, size: int) -> None:
        """Recompute every tile of level 1 and above from the level below."""
        level, count = 0, size
        while count >= WIDTH:
            count = await self._check_level(level, count)
            level += 1

    async def _check_level(self, level: int, count: int) -> int:
        full = count >> HEIGHT
        for start in range(0, full, WIDTH):
            below = range(start, min(start + WIDTH, full))
            tiles = await self._store.tiles([Place(level, index) for index in below])
            above = Place(level + 1, start >> HEIGHT)
            stored = (await self._store.tiles([above])).get(above, b"")
            wrong = _first_difference(stored, _above(tiles, below))
            if wrong is not None:
                first = (start + wrong) << HEIGHT * (level + 1)
                detail = f"tile {above.number} of level {above.level} was changed"
                self._examiner.note(Problem(TREE, first, first, detail))
        return full


def _above(tiles: Tiles, below: Iterable[int]) -> list[bytes]:
    """Return the hashes that follow from whole tiles of the level below; none from one that is not whole."""
    found = {place.number: split(tile) for place, tile in tiles.items()}
    rows = [found.get(number, []) for number in below]
    return [complete(row) if len(row) == WIDTH else b"" for row in rows]


def _first_difference(stored: bytes, made: list[bytes]) -> int | None:
    hashes = split(stored)
    for index, each in enumerate(made):
        if index >= len(hashes) or hashes[index] != each:
            return index
    return None

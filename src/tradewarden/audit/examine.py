"""The examination of a log, entry by entry: what is wrong with it first, and how far that is proven.

Evidence, strongest first: a signed checkpoint (the root over everything before it), the leaf hash that
was stored beside an entry once a checkpoint covers it, the sequence within an entry's own line. When
only a root tells that something changed, the report names the range between the last checkpoint that
holds and the first that does not. Memory does not grow with the log.
"""

from __future__ import annotations

from collections import deque
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from tradewarden.audit.finding import INTEGRITY, TORN, UNCLOSED
from tradewarden.audit.store import Misfit
from tradewarden.audit.tree import Frontier

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tradewarden.audit.checkpoint import Checkpoint
    from tradewarden.audit.store import Arrival

MAX_LISTED = 100
COLUMNS, TREE, CHECKPOINT, STATE = "columns", "tree", "checkpoint", "state"
CUT_OFF = "cut_off"
_AROUND = (COLUMNS, TREE, CHECKPOINT, STATE)
_MAX_JOURNALS = 100_000


class Problem(msgspec.Struct, frozen=True):
    """Entries `first` to `last` (by sequence) are not as they were: `kind` says what was done.

    changed · removed · reordered · added · cut_off; and, about what surrounds them: columns (search
    would miss it), tree (stored hashes), checkpoint (signature; `first` is its size), state (lead, journals, inbox).
    """

    kind: str
    first: int
    last: int
    detail: str

    @property
    def around(self) -> bool:
        """Whether it is about what surrounds the entries, and no entry is wrong."""
        return self.kind in _AROUND


class Finding(msgspec.Struct, frozen=True):
    """What the log itself tells: an `audit.*` entry, or entries of a journal that are not there."""

    sequence: int
    detail: str


class Report(msgspec.Struct, frozen=True):
    """The outcome. `entries` were read; `size` of them are proven by the newest checkpoint, of `time`.

    `fault` is the newest entry by which the log tells that something never arrived or did not verify; -1 for none.
    """

    entries: int
    size: int
    root: str
    time: str
    problems: tuple[Problem, ...] = ()
    findings: tuple[Finding, ...] = ()
    unproven: int = 0
    fault: int = -1

    @property
    def ok(self) -> bool:
        """Tell whether every entry is as it was recorded."""
        return not self.problems

    @property
    def first_wrong(self) -> Problem | None:
        """The problem of the first entry that is not as it was recorded; None when all of them are."""
        entries = (problem for problem in self.problems if not problem.around)
        return min(entries, key=lambda problem: problem.first, default=None)


class Numbered(msgspec.Struct, frozen=True):
    """What the examination reads of an entry's line."""

    sequence: int
    action: str
    boot: str = ""
    counter: int = 0
    reason: str = ""


def stored_as(content: bytes) -> str:
    """Return, for content whose type is never written in its place, words that say so; else nothing."""
    return f"; it is stored as {content.kind}" if isinstance(content, Misfit) else ""


_read = msgspec.json.Decoder(Numbered).decode
_TELLING = frozenset({INTEGRITY, TORN, UNCLOSED})


class _Order:
    """Whether each line's own sequence is its place; remembers the first that is not."""

    def __init__(self) -> None:
        self.place = -1
        self._found = 0
        self._why = ""
        self._again_in_place = self._elsewhere = False
        self.last = -1

    def look(self, place: int, sequence: int, why: str = "") -> None:
        """Take the next line's sequence; -1, and why, when the line cannot be read."""
        self.last = max(self.last, sequence)
        if self.place < 0:
            if sequence != place:
                self.place, self._found, self._why = place, sequence, why
            return
        self._again_in_place = self._again_in_place or sequence == place
        self._elsewhere = self._elsewhere or sequence == self.place

    def problem(self) -> Problem | None:
        """Return what the sequences tell."""
        place, found = self.place, self._found
        if place < 0:
            return None
        if found < 0:
            return Problem("changed", place, place, f"entry {place} cannot be read{self._why}")
        if found > place and self._elsewhere:
            detail = f"entry {found} stands in the place of entry {place}, which stands elsewhere"
            return Problem("reordered", place, place, detail)
        if self._again_in_place:
            return Problem("changed", place, place, f"entry {place} calls itself {found}")
        if found < place:
            detail = f"an entry that calls itself {found} was put in at {place}"
            return Problem("added", place, place, detail)
        missing = f"entries {place} to {found - 1} are" if found - place > 1 else f"entry {place} is"
        return Problem("removed", place, found - 1, f"{missing} missing")


class _Journals:
    """Whether each journal's entries are all there, once, in order."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self._forgot = False

    def lacks(self, arrival: Arrival) -> str:
        """Return what of a journal is said to be here, and is neither in the log nor on its way into it, or nothing."""
        reached = max(self._next.get(arrival.boot, 0), arrival.waiting)
        if self._forgot or arrival.counter <= reached:
            return ""
        missing = f"entries {reached} to {arrival.counter - 1}"
        return f"{missing} of journal {arrival.boot!a} are said to have come, and are not here"

    def look(self, entry: Numbered) -> str:
        """Return what is wrong with this entry's counter, or nothing."""
        boot, counter = entry.boot, entry.counter
        expected = self._next.pop(boot, 0 if len(self._next) < _MAX_JOURNALS else counter)
        if len(self._next) >= _MAX_JOURNALS:
            del self._next[next(iter(self._next))]
        self._next[boot] = counter + 1
        self._forgot = self._forgot or len(self._next) >= _MAX_JOURNALS
        if counter == expected:
            return ""
        if counter < expected:
            return f"entry {counter} of journal {boot} is there a second time"
        return f"entries {expected} to {counter - 1} of journal {boot} never arrived"


class Examiner:
    """Takes a log from its first entry on. First `expect` the checkpoints of what comes, then `take` it."""

    def __init__(self) -> None:
        self.size = 0
        self.problems: list[Problem] = []
        self.findings: list[Finding] = []
        self._fault = -1
        self._tree = Frontier()
        self._stored: Frontier | None = None
        self._difference = -1
        self._checkpoints: deque[Checkpoint] = deque()
        self._proven = 0
        self._content: Problem | None = None
        self._order = _Order()
        self._journals = _Journals()

    def account(self, arrivals: Sequence[Arrival]) -> None:
        """Note what journals were said to have brought before the last entry was taken, and did not."""
        for detail in filter(None, map(self._journals.lacks, arrivals)):
            self.note(Problem(STATE, self.size, self.size, detail))

    def note(self, problem: Problem) -> None:
        """Add a problem that somebody else found; the list has an end."""
        if len(self.problems) < MAX_LISTED:
            self.problems.append(problem)

    def expect(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Add verified checkpoints, in the order of their sizes, larger than what was taken."""
        self._checkpoints.extend(checkpoints)

    def take(self, line: bytes, stored: bytes | None = None) -> Numbered | None:
        """Examine the next line, and the leaf hash stored beside it; return what could be read of it."""
        place = self.size
        leaf = sha256(b"\x00" + line).digest()
        entry = self._line(place, line)
        if stored is not None and stored != leaf and self._stored is None and not self._content:
            self._difference, self._stored = place, self._tree.copy()
        if self._stored is not None:
            self._stored.append(leaf if stored is None else stored)
        self._tree.append(leaf)
        self.size += 1
        while self._checkpoints and self._checkpoints[0].size <= self.size:
            self._compare(self._checkpoints.popleft())
        return entry

    def _line(self, place: int, line: bytes) -> Numbered | None:
        try:
            entry = _read(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._order.look(place, -1, stored_as(line))
            return None
        self._order.look(place, entry.sequence)
        told = entry.reason if entry.action in _TELLING else ""
        gap = self._journals.look(entry) if entry.boot else ""
        if gap or entry.action == INTEGRITY:
            self._fault = place
        told = gap or told
        if told and len(self.findings) < MAX_LISTED:
            self.findings.append(Finding(place, told))
        return entry

    def _compare(self, checkpoint: Checkpoint) -> None:
        if self._content is not None or checkpoint.size != self.size:
            return
        if self._tree.root() == checkpoint.root:
            self._proven = self.size
            self._drop_stored()
        elif self._stored is not None and self._stored.root() == checkpoint.root:
            at = self._difference
            self._content = Problem("changed", at, at, f"entry {at} is not what was signed")
        else:
            self._content = self._between(checkpoint)

    def _drop_stored(self) -> None:
        """The entries hold, so a hash that differs is what was changed."""
        if self._stored is not None:
            at = self._difference
            self.note(Problem(TREE, at, at, f"the stored hash of entry {at} was changed"))
            self._stored, self._difference = None, -1

    def _between(self, checkpoint: Checkpoint) -> Problem:
        first, last = self._proven, checkpoint.size - 1
        detail = f"one or more of entries {first} to {last} are not what was signed"
        if first == last:
            detail = f"entry {first} is not what was signed"
        if self._difference >= 0:
            detail += f"; entry {self._difference} is the first that differs from its stored hash"
        return Problem("changed", first, last, detail)

    def report(self, newest: Checkpoint | None, length: int) -> Report:
        """Return the outcome; a log that holds has `length` entries at least."""
        found = self._entries_changed()
        end = max(self.size, self._order.last + 1)
        if end < length:
            detail = f"entries from {end} to {length - 1} were cut off"
            found.append(Problem(CUT_OFF, end, length - 1, detail))
        end = min((each.first for each in found), default=self.size)
        found += [each for each in self.problems if each.kind != COLUMNS or each.first < end]
        found.sort(key=lambda each: (each.first, each.around))
        size = newest.size if newest else 0
        return Report(
            self.size,
            size,
            newest.root.hex() if newest else "",
            newest.time if newest else "",
            tuple(found),
            tuple(self.findings),
            max(0, self.size - size),
            self._fault,
        )

    def _entries_changed(self) -> list[Problem]:
        order, content, at = self._order.problem(), self._content, self._difference
        if content is None and at >= 0:
            detail = f"entry {at} differs from its stored hash"
            content = Problem("changed", at, at, detail)
        if order is None or content is None:
            return [each for each in (order, content) if each]
        covered = content.first <= order.first <= content.last
        if covered and (at < 0 or at >= order.first):
            return [order]  # the same thing, and the order says more precisely what was done
        return [content, order]

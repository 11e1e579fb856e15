"""What a migration would do: which secrets it writes, which files it changes, what it leaves to a person. Pure.

Always true here: a plan writes nothing and shows no value; the same tree and the same providers give the same plan.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property, partial
from hashlib import sha256
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.errors import TradewardenError
from tradewarden.migrate.accounts import assigned
from tradewarden.migrate.edit import edited
from tradewarden.migrate.elsewhere import RULE, copies
from tradewarden.migrate.extra import require_extra
from tradewarden.migrate.finding import Language
from tradewarden.migrate.requirement import required
from tradewarden.migrate.rewriters import LOADED_BY_PROGRAMS, rewrite
from tradewarden.migrate.rewriting import ByHand, Move, Reading, Rewritten
from tradewarden.migrate.slots import variable_of
from tradewarden.secrets.providers.content import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tradewarden.migrate.accounts import Holds
    from tradewarden.migrate.finding import Finding

MASK: Final = "********"
_WORKFLOWS: Final = ".github/"
_CODE: Final = (".js", ".ts", ".go", ".java", ".kt", ".scala", ".rb", ".rs", ".cs", ".php", ".cpp", ".sh", ".ipynb")


class Change(msgspec.Struct, frozen=True):
    """A file before and after, and where in the text before values stand."""

    file: str
    before: str
    after: str
    values: tuple[tuple[int, int], ...]

    def __repr__(self) -> str:
        return f"Change({self.file!r})"


class Tree(msgspec.Struct, frozen=True):
    """What a plan is made of: the texts of a tree by file, and what was found in them.

    `stamps` are the times of the files, so that a plan of a tree that was changed has another `id`; `unread` are files
    that could not be looked into, `told` is said before the plan's own notes. `kept` are findings that stay where they
    are, as somebody accepted them or they open a provider.
    """

    texts: Mapping[str, str]
    findings: Sequence[Finding]
    stamps: Mapping[str, int] = {}
    unread: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    kept: Sequence[Finding] = ()

    def __repr__(self) -> str:
        return f"Tree({len(self.texts)} files, {len(self.findings)} findings)"


class Plan(msgspec.Struct, frozen=True, dict=True):
    """Everything a migration would do. `id` names exactly this; it tells nothing about a value."""

    moves: tuple[Move, ...]
    changes: tuple[Change, ...]
    by_hand: tuple[ByHand, ...]
    notes: tuple[str, ...]
    duties: tuple[str, ...]
    stamps: Mapping[str, int]
    unread: tuple[str, ...] = ()
    kept: tuple[Finding, ...] = ()

    @cached_property
    def id(self) -> str:
        """Sixteen hexadecimal digits over the files as masked and as they will be, their times, and the slots."""
        parts = [
            (change.file, masked(change), change.after, self.stamps.get(change.file, 0)) for change in self.changes
        ]
        slots = [(move.finding.file, move.finding.start, variable_of(move.destination)) for move in self.moves]
        return sha256(msgspec.msgpack.encode((parts, slots))).hexdigest()[:16]

    @property
    def values(self) -> frozenset[str]:
        """Every value that was found, whatever becomes of it. Do not print it."""
        findings = [*(move.finding for move in self.moves), *(each.finding for each in self.by_hand), *self.kept]
        return frozenset(finding.value.reveal() for finding in findings)


def masked(change: Change) -> str:
    """Return the text before, with every value as stars, line ends inside a value kept."""
    pieces: list[str] = []
    at = 0
    for start, end in sorted(change.values):
        hidden = "\n".join(MASK if line.strip() else line for line in change.before[start:end].split("\n"))
        pieces += (change.before[at:start], hidden)
        at = max(at, end)
    return "".join((*pieces, change.before[at:]))


def make_plan(tree: Tree, reading: Reading, holds: Holds, *, refused: Callable[[str], str] = lambda _: "") -> Plan:
    """Plan the migration of what was found in `tree`.

    `refused` says why the place to write to cannot hold a value, or nothing.
    """
    texts, findings = tree.texts, tree.findings
    left = [ByHand(each, why) for each in findings if (why := _unheld(each) or refused(each.value.reveal()))]
    stays = {id(each.finding) for each in left}
    moves, notes = assigned([each for each in findings if id(each) not in stays], holds, texts)
    along, unsure = copies(texts, moves, [*findings, *tree.kept])
    moves += along
    left += unsure
    results = _rewritten(texts, _by_file(moves), reading)
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for finding in [*findings, *tree.kept, *(move.finding for move in along), *(each.finding for each in unsure)]:
        spans[finding.file].append((finding.start, finding.end))
    changes = [
        Change(file, texts[file], edited(texts[file], result.edits), tuple(sorted(spans[file])))
        for file, result in sorted(results.items())
        if result.edits
    ]
    return Plan(
        moves=tuple(moves),
        changes=tuple(changes),
        by_hand=(*left, *(each for _, result in sorted(results.items()) for each in result.by_hand)),
        notes=(*tree.told, *notes),
        duties=(
            *(f"{file}: {duty}" for file, result in sorted(results.items()) for duty in dict.fromkeys(result.duties)),
            *required(texts, changes),
        ),
        stamps=tree.stamps,
        unread=tree.unread,
        kept=tuple(tree.kept),
    )


def _by_file(moves: Iterable[Move]) -> dict[str, list[Move]]:
    by_file: dict[str, list[Move]] = defaultdict(list)
    for move in moves:
        by_file[move.finding.file].append(move)
    return by_file


def _unheld(finding: Finding) -> str:
    value = finding.value.reveal()
    try:
        held = settled(value)
    except TradewardenError as error:
        return error.detail
    return "" if held == value else "it is a JSON object, which providers hold as fields"


def _rewritten(texts: Mapping[str, str], by_file: Mapping[str, list[Move]], reading: Reading) -> dict[str, Rewritten]:
    require_extra()
    results = {
        file: _careful(moves, partial(_rewritten_text, texts[file]))
        for file, moves in by_file.items()
        if moves[0].finding.language is not Language.PYTHON
    }
    read_by_programs = [
        file
        for file, result in results.items()
        if result.edits and by_file[file][0].finding.language in LOADED_BY_PROGRAMS and _WORKFLOWS not in file
    ]
    loading, others = _python(texts, by_file, reading, read_by_programs, results)
    for file in read_by_programs:
        name = PurePosixPath(file).name
        places = [*others.get(name, []), *_programs(texts, name)]
        if name not in loading:
            results[file].duties.append(
                "who reads it must put in what the references name: a program with "
                "tradewarden.secrets.references.resolved, a shell with envsubst"
            )
        if places:
            results[file].duties.append(
                f"look at {', '.join(dict.fromkeys(places))}: it names the file and was not seen to put in what the "
                "references name; where it loads the file, it must"
            )
    return results


def _programs(texts: Mapping[str, str], name: str) -> list[str]:
    """Return the programs in other languages than Python that name a file."""
    return [file for file, text in sorted(texts.items()) if file.endswith(_CODE) and name in text]


def _rewritten_text(text: str, moves: list[Move]) -> Rewritten:
    return rewrite(text, moves[0].finding.language, moves)


def _careful(moves: list[Move], rewritten: Callable[[list[Move]], Rewritten]) -> Rewritten:
    """Rewrite with the copies of values, and without them when that would leave what was found itself."""
    result = rewritten(moves)
    found = [move for move in moves if move.finding.rule != RULE]
    if not found or len(found) == len(moves) or result.edits or not result.by_hand:
        return result
    result = rewritten(found)
    for move in moves:
        if move.finding.rule == RULE:
            result.leave(move, "it is a copy of a moved value, and cannot be rewritten together with the rest")
    return result


def _python(
    texts: Mapping[str, str],
    by_file: Mapping[str, list[Move]],
    reading: Reading,
    data_files: Iterable[str],
    results: dict[str, Rewritten],
) -> tuple[set[str], dict[str, list[str]]]:
    """Rewrite the Python files into `results`.

    Returns the names of data files that one of them resolves, and by name the places that may load one otherwise.
    """
    names = frozenset(PurePosixPath(file).name for file in data_files)
    python = {file for file, moves in by_file.items() if moves[0].finding.language is Language.PYTHON}
    python |= {file for file, text in texts.items() if file.endswith(".py") and any(name in text for name in names)}
    if not python:
        return set(), {}
    from tradewarden.migrate.rewrite_python import PythonRewriter

    rewriter = PythonRewriter(reading, names)
    for file in sorted(python):

        def rewritten(some: list[Move], file: str = file) -> Rewritten:
            result = Rewritten()
            rewriter(texts[file], some, result, file)
            return result

        results[file] = _careful(by_file.get(file, []), rewritten)
    return rewriter.resolving, rewriter.open

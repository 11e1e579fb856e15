"""Python: a literal becomes a call that reads the value. Everything else keeps its characters.

Always true here: the new file compiles and means what the old one meant, with the values read instead of written
(`python_proof` compares the two); where that cannot be said, the place is left to a person. What is rewritten once is
not found again, so a second run changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst
import libcst.matchers as m

from tradewarden.errors import InvalidInputError
from tradewarden.migrate.edit import Edit, edited
from tradewarden.migrate.python_imports import Import, imported
from tradewarden.migrate.python_literals import Place, formatted, located
from tradewarden.migrate.python_loads import (
    ini_parsers,
    interpolation,
    is_plain,
    loads,
    named_files,
    partly_named,
    unseen,
)
from tradewarden.migrate.python_proof import same_meaning
from tradewarden.migrate.python_refusals import has_doctest, is_statement, refusal
from tradewarden.migrate.python_source import PythonSource
from tradewarden.migrate.rewriting import Move, Reading, Rewritten
from tradewarden.migrate.slots import variable_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

READ_FROM: Final = {
    Reading.ENVIRON: Import("os"),
    Reading.PROVIDER: Import("tradewarden.secrets.shared", "platform_secret"),
}
RESOLVED: Final = Import("tradewarden.secrets.references", "resolved")
INTERPOLATION: Final = Import("tradewarden.secrets.references", "References")
_STUB: Final = ".pyi"
_ENVIRON: Final = m.Attribute(value=m.Name("os"), attr=m.Name("environ"))
_DEFAULTED: Final = m.Call(
    func=m.Attribute(value=_ENVIRON, attr=m.Name("get")) | m.Attribute(value=m.Name("os"), attr=m.Name("getenv")),
    args=[m.Arg(value=m.SimpleString(), keyword=None), m.Arg(keyword=None)],
)


class PythonRewriter:
    """Rewrites Python files for one way of reading. `data_files` are configuration files that got references.

    Their names in a module make it resolve what it loads (`python_loads`).
    """

    def __init__(self, reading: Reading, data_files: Iterable[str] = ()) -> None:
        self._reading = reading
        self._data_files = frozenset(data_files)
        self.resolving: set[str] = set()
        """The data files that the rewritten modules resolve."""
        self.open: dict[str, list[str]] = {}
        """The modules, with a line where there is one, that name a data file and may load it in another way."""

    def __call__(self, text: str, moves: Sequence[Move], rewritten: Rewritten, file: str = "") -> None:
        """Rewrite one file (see `Rewriter`)."""
        if moves and moves[0].finding.file.endswith(_STUB):
            for move in moves:
                rewritten.leave(move, "a stub is read and never run")
            return
        try:
            source = PythonSource(text)
        except ValueError as error:
            for move in moves:
                rewritten.leave(move, f"the file {error}")
            for each in self._data_files:
                if each in text:
                    self.open.setdefault(each, []).append(file)
            return
        named = named_files(source, self._data_files)
        edits = [*self._edits(source, moves, rewritten), *self._loads(source, named)]
        why = _unsound(text, edits, moves)
        self._note(source, named, file, sound=not why)
        if why:
            rewritten.by_hand.clear()
            for move in moves:
                rewritten.leave(move, why)
            return
        rewritten.edits += edits

    def _edits(self, source: PythonSource, moves: Sequence[Move], rewritten: Rewritten) -> list[Edit]:
        edits: list[Edit] = []
        reads: list[tuple[Place, Move]] = []
        for move in moves:
            try:
                text_edit, place = _looked_at(source, move)
            except ValueError as error:
                rewritten.leave(move, str(error))
                continue
            if place is None:
                edits.append(text_edit)
            else:
                reads.append((place, move))
        return edits + self._reads(source, reads)

    def _reads(self, source: PythonSource, reads: Sequence[tuple[Place, Move]]) -> list[Edit]:
        if not reads:
            return []
        name, edits = imported(source, READ_FROM[self._reading], min(place.start for place, _ in reads))
        for place, move in reads:
            edits.append(_read(source, place, _expression(self._reading, name, move, place.quote), move))
        ranges: dict[cst.SimpleString, list[tuple[int, int]]] = {}
        for place, _ in reads:
            if place.formats is not None:
                ranges.setdefault(place.formats, []).append((place.start, place.end))
        for string, inside in ranges.items():
            edits += formatted(source, string, inside)
        return edits

    def _note(self, source: PythonSource, named: Iterable[str], file: str, *, sound: bool) -> None:
        """Keep which data files the module resolves, and which of its loads somebody must look at."""
        for each in sorted(partly_named(source, self._data_files) - set(named)):
            self.open.setdefault(each, []).append(file)
        for each in sorted(named):
            others = unseen(source, [each]) if sound else [0]
            places = [f"{file}:{source.text.count(chr(10), 0, at) + 1}" if at else file for at in others]
            if places:
                self.open.setdefault(each, []).extend(places)
            if sound and (loads(source, [each]) or ini_parsers(source, [each])):
                self.resolving.add(each)

    def _loads(self, source: PythonSource, named: Iterable[str]) -> list[Edit]:
        calls, parsers = loads(source, named), ini_parsers(source, named)
        edits: list[Edit] = []
        if calls:
            name, edits = imported(source, RESOLVED, min(start for start, _ in calls))
            for start, end in calls:
                edits += (Edit(start, start, f"{name}("), Edit(end, end, ")"))
        if parsers:
            name, added = imported(source, INTERPOLATION, min(source.span(call)[0] for call in parsers))
            edits = _merged(edits, added)
            edits += [_interpolated(source, call, name) for call in parsers]
        return edits


def _unsound(text: str, edits: Sequence[Edit], moves: Sequence[Move]) -> str:
    """Return why the edits must not be made, or nothing."""
    try:
        after = edited(text, edits)
    except InvalidInputError as error:
        return error.detail
    values = {variable_of(move.destination): _value(move) for move in moves}
    return "" if same_meaning(text, after, values) else "the rewritten file would not mean the same"


def _value(move: Move) -> str:
    return move.finding.value.reveal()


def _looked_at(source: PythonSource, move: Move) -> tuple[Edit, Place | None]:
    """Return the edit of a comment or docstring, or the place of a value that the program uses; `ValueError` else."""
    finding = move.finding
    plain = Edit(finding.start, finding.end, move.reference)
    if source.enclosing(cst.Comment, finding.start, finding.end) is not None:
        return plain, None
    place = located(source, finding.start, finding.end)
    if place.value != _value(move):
        raise ValueError("the text there is not the value that was found")
    if is_statement(source, place):
        if has_doctest(source, place):
            raise ValueError("it stands in a doctest, which is compared letter by letter")
        return plain, None
    why = refusal(source, place)
    if why:
        raise ValueError(why)
    return plain, place


def _expression(reading: Reading, name: str, move: Move, quote: str) -> str:
    destination = move.destination
    if reading is Reading.ENVIRON:
        return f"{name}.environ[{quote}{variable_of(destination)}{quote}]"
    parts = [destination.name, destination.field] if destination.field else [destination.name]
    return f"{name}({', '.join(f'{quote}{part}{quote}' for part in parts)})"


def _read(source: PythonSource, place: Place, expression: str, move: Move) -> Edit:
    call = _defaulted(source, place)
    if call is not None:
        return _only_without(source, call, expression, move)
    text = f"{place.before}{expression}{place.after}"
    start, end = place.start, place.end
    if place.whole and start and (source.text[start - 1].isalnum() or source.text[start - 1] == "_"):
        text = f" {text}"
    if place.whole and end < len(source.text) and source.text[end].isalnum():
        text = f"{text} "
    return Edit(start, end, text)


def _defaulted(source: PythonSource, place: Place) -> cst.Call | None:
    """Return `os.environ.get("X", "the value")` when the place is such a default."""
    argument = source.parent(place.node)
    call = source.parent(argument) if argument is not None else None
    if not place.whole or place.after or not isinstance(call, cst.Call) or not m.matches(call, _DEFAULTED):
        return None
    return call if call.args[1] is argument and not source.text[slice(*source.span(call))].count("\n") else None


def _only_without(source: PythonSource, call: cst.Call, expression: str, move: Move) -> Edit:
    """Return the edit that reads the value only when the variable is not there, as the default was used only then."""
    start, end = source.span(call)
    name = call.args[0].value
    assert isinstance(name, cst.SimpleString)  # noqa: S101 - `_DEFAULTED` matched
    if name.evaluated_value == variable_of(move.destination):
        return Edit(start, end, expression)
    text = f"os.environ[{name.value}] if {name.value} in os.environ else {expression}"
    above = source.parent(call)
    free = isinstance(above, cst.Assign | cst.AnnAssign | cst.Return) or call.lpar
    return Edit(start, end, text if free else f"({text})")


def _merged(edits: list[Edit], added: list[Edit]) -> list[Edit]:
    """Return both, with two new imports of one module at one place as one line."""
    for edit in added:
        head, _, names = edit.text.rstrip().rpartition(" import ")
        twin = next((each for each in edits if (each.start, each.end) == (edit.start, edit.end)), None)
        if twin is None or not twin.text.strip().startswith(f"{head.strip()} import "):
            edits = [*edits, edit]
            continue
        together = twin.text.replace(" import ", f" import {names}, ", 1)
        edits = [Edit(each.start, each.end, together) if each is twin else each for each in edits]
    return edits


def _interpolated(source: PythonSource, call: cst.Call, name: str) -> Edit:
    """Return the edit that gives a parser of INI files the interpolation that resolves references."""
    new = f"{name}(plain=True)" if is_plain(call) else f"{name}()"
    given = interpolation(call)
    if given is not None:
        return Edit(*source.span(given.value), new)
    end = source.span(call)[1] - 1
    before = source.text[:end].rstrip()
    comma = ", " if call.args and not before.endswith(",") else ""
    return Edit(len(before) if comma else end, end, f"{comma}interpolation={new}")

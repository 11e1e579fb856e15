"""String literals that hold a value, whole or in part, and what stands in their place. Pure.

Always true here: the new text evaluates to exactly what the literal evaluated to, when its expression gives the value.
What cannot be said so is refused with a reason, never guessed.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

import libcst as cst
import msgspec

from tradewarden.migrate.edit import Edit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.migrate.python_source import PythonSource

_QUOTES: Final = ('"', "'")
_NAMED: Final = "\\N{"


class Place(msgspec.Struct, frozen=True):
    """Characters `start` to `end` give `value` to the program; `before` and `after` go around what takes their place.

    `node` is what decides whether a place can be changed; `quote` may be used in the new expression; `formats` is the
    plain string that must become an f-string for it (`formatted`).
    """

    start: int
    end: int
    value: str
    node: cst.CSTNode
    quote: str
    before: str = ""
    after: str = ""
    whole: bool = True
    formats: cst.SimpleString | None = None

    def __repr__(self) -> str:
        return f"Place({self.start}, {self.end})"


def located(source: PythonSource, start: int, end: int) -> Place:
    """Return the literal that holds a range of the text; raises `ValueError` saying why there is none to change."""
    piece = source.enclosing(cst.FormattedStringText, start, end)
    if piece is not None:
        return _in_formatted(source, piece, start, end)
    string = source.enclosing(cst.SimpleString, start, end)
    if string is not None:
        return _in_string(source, string, start, end)
    joined = _joined(source, start, end)
    if joined is not None:
        return joined
    raise ValueError("it does not stand in one string")


def _in_string(source: PythonSource, string: cst.SimpleString, start: int, end: int) -> Place:
    low, high = source.span(string)
    head, tail = _around(source, string, start, end)
    value = _evaluated(string, source.text[start:end])
    joined = isinstance(source.parent(string), cst.ConcatenatedString)
    if not head and not tail and not joined:
        return Place(low, high, _text(value), string, _free(source, string), after=_encode(value))
    if isinstance(value, bytes):
        if joined:
            raise ValueError("it is a part of joined bytes literals")
        return Place(
            low, high, _text(value), string, _free(source, string), *_around_bytes(string, head, tail), whole=False
        )
    if _NAMED in head + tail and "r" not in string.prefix.lower():
        raise ValueError("its string names characters by \\N{…}")
    return Place(start, end, value, string, _free(source, string, string.quote), "{", "}", whole=False, formats=string)


def _in_formatted(source: PythonSource, piece: cst.FormattedStringText, start: int, end: int) -> Place:
    string = source.parent(piece)
    if not isinstance(string, cst.FormattedString):
        raise ValueError("it is a part of a format specification")  # noqa: TRY004 - of what was found, no argument
    raw = source.text[start:end].replace("{{", "{").replace("}}", "}")
    value = ast.literal_eval(f"{_plain_prefix(string.prefix)}{string.quote}{raw}{string.quote}")
    whole = source.span(piece) == (start, end) and len(string.parts) == 1
    if whole and not isinstance(source.parent(string), cst.ConcatenatedString):
        return Place(*source.span(string), value, string, _free(source, string))
    return Place(start, end, value, string, _free(source, string, string.quote), "{", "}", whole=False)


def _joined(source: PythonSource, start: int, end: int) -> Place | None:
    """Return the place of a value that several literals make up: `"ab" "cd"` or `"ab" + "cd"`."""
    around = source.enclosing(cst.ConcatenatedString, start, end) or source.enclosing(cst.BinaryOperation, start, end)
    if around is None:
        return None
    parts = _parts(around)
    covered = [part for part in parts if source.span(part)[1] > start and source.span(part)[0] < end]
    texts = [part for part in covered if isinstance(part, cst.SimpleString)]
    if texts != covered:
        raise ValueError("it is made up of parts that are not all plain strings")
    head = _around(source, texts[0], start, source.span(texts[0])[1] - len(texts[0].quote))[0]
    tail = _around(source, texts[-1], source.span(texts[-1])[0] + len(texts[-1].prefix + texts[-1].quote), end)[1]
    values = [ast.literal_eval(text.value) for text in texts]
    if head or tail or not all(isinstance(value, str) for value in values):
        raise ValueError("it begins or ends inside one of several joined strings")
    low, high = source.span(texts[0])[0], source.span(texts[-1])[1]
    value = "".join(values)
    if len(covered) == len(parts):
        return Place(low, high, value, around, _free(source, around))
    if isinstance(around, cst.BinaryOperation):
        return Place(low, high, value, around, _free(source, around))
    return Place(low, high, value, around, _free(source, around, '"'), 'f"{', '}"', whole=False)


def _parts(node: cst.BaseExpression) -> list[cst.BaseExpression]:
    if isinstance(node, cst.ConcatenatedString):
        return [*_parts(node.left), *_parts(node.right)]
    if isinstance(node, cst.BinaryOperation):
        if not isinstance(node.operator, cst.Add):
            raise ValueError("it is a part of a calculation")  # noqa: TRY004 - as above
        return [*_parts(node.left), *_parts(node.right)]
    return [node]


def _around(source: PythonSource, string: cst.SimpleString, start: int, end: int) -> tuple[str, str]:
    """Return what stands in the literal before and after the range, as written."""
    low, high = source.span(string)
    inner, outer = low + len(string.prefix) + len(string.quote), high - len(string.quote)
    if start < inner or end > outer:
        raise ValueError("it reaches beyond its string")
    return source.text[inner:start], source.text[end:outer]


def _evaluated(string: cst.SimpleString, raw: str) -> str | bytes:
    try:
        value = ast.literal_eval(f"{string.prefix}{string.quote}{raw}{string.quote}")
    except (SyntaxError, ValueError) as error:
        raise ValueError("it begins or ends inside an escape sequence") from error
    assert isinstance(value, str | bytes)  # noqa: S101 - literals are
    return value


def _text(value: str | bytes) -> str:
    try:
        return value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError as error:
        raise ValueError("its bytes are no text, and providers hold texts") from error


def _encode(value: str | bytes) -> str:
    return ".encode()" if isinstance(value, bytes) else ""


def _around_bytes(string: cst.SimpleString, head: str, tail: str) -> tuple[str, str]:
    def piece(raw: str) -> str:
        return f"{string.prefix}{string.quote}{raw}{string.quote}"

    before = f"({piece(head)} + " if head else "("
    return before, f".encode() + {piece(tail)})" if tail else ".encode())"


def formatted(source: PythonSource, string: cst.SimpleString, ranges: Sequence[tuple[int, int]]) -> list[Edit]:
    """Return the edits that make an f-string of a plain one: its prefix, and braces doubled outside of `ranges`."""
    low, high = source.span(string)
    prefix = "rf" if "r" in string.prefix.lower() else "f"
    inside = {number for start, end in ranges for number in range(start, end)}
    braces = (number for number in range(low, high) if source.text[number] in "{}" and number not in inside)
    return [
        Edit(low, low + len(string.prefix), prefix),
        *(Edit(number, number + 1, source.text[number] * 2) for number in braces),
    ]


def _plain_prefix(prefix: str) -> str:
    return "r" if "r" in prefix.lower() else ""


def _free(source: PythonSource, node: cst.CSTNode, own: str = "") -> str:
    """Return a quotation mark that no f-string around uses; before Python 3.12 it would end there."""
    taken = {own, *(above.quote for above, _ in source.ancestors(node) if isinstance(above, cst.FormattedString))}
    for quote in _QUOTES:
        if quote not in taken:
            return quote
    raise ValueError("f-strings around it use both quotation marks")

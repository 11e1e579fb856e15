"""Where Python's string literals stand in a text, in characters: `ast` counts UTF-8 bytes within lines.

Always true here: what is returned was compared with the text. Positions inside f-strings are wrong in some versions of
Python; such a literal is left out instead of pointing at something else.
"""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<prefix>[A-Za-z]{0,3})
    (?: (?P<long>\"{3}|'{3})(?:[^\\]|\\.)*?(?P=long)
      | (?P<short>["'])(?:(?!(?P=short))[^\\]|\\.)*(?P=short)
    )
    | \#[^\r\n]*""",
    re.VERBOSE | re.DOTALL,
)


class Literal(NamedTuple):
    """A literal's inside: offsets between the first opening and the last closing quote, and what it means."""

    start: int
    end: int
    value: str


class Places:
    """Turns positions of `ast` nodes into offsets of the text that was parsed."""

    def __init__(self, text: str, line_starts: list[int]) -> None:
        self._text = text
        self._starts = line_starts
        self._ascii = text.isascii()

    def literal(self, node: ast.expr, value: str | bytes) -> Literal | None:
        """Return the inside of a string literal or of several joined ones; None where positions cannot be trusted."""
        span = self.span(node)
        meaning = value if isinstance(value, str) else _decoded(value)
        if span is None or meaning is None:
            return None
        segment = self._text[span[0] : span[1]]
        opening, closing = _quotes(segment)
        if not closing:
            return None
        inner = segment[opening : len(segment) - closing]
        if inner != meaning and not _means(segment, value):
            return None
        return Literal(span[0] + opening, span[1] - closing, meaning)

    def span(self, node: ast.expr) -> tuple[int, int] | None:
        """Return where a node begins and ends."""
        if node.end_lineno is None or node.end_col_offset is None:
            return None
        start = self._offset(node.lineno, node.col_offset)
        end = self._offset(node.end_lineno, node.end_col_offset)
        return (start, end) if start is not None and end is not None and start < end else None

    def _offset(self, line: int, column: int) -> int | None:
        if not 0 < line <= len(self._starts):
            return None
        start = self._starts[line - 1]
        if self._ascii:
            return start + column
        end = self._starts[line] if line < len(self._starts) else len(self._text)
        before = self._text[start:end].encode(errors="surrogatepass")[:column]
        return start + len(before.decode(errors="ignore"))


def _quotes(segment: str) -> tuple[int, int]:
    """Return the lengths of what opens the first literal and what closes the last one; zeros when there is none."""
    opening = closing = 0
    for token in _TOKEN.finditer(segment):
        quote = token["long"] or token["short"]
        if quote:
            opening = opening or token.start() + len(token["prefix"]) + len(quote)
            closing = len(quote) if token.end() == len(segment) else 0
    return opening, closing


def _means(segment: str, value: str | bytes) -> bool:
    try:
        return bool(ast.literal_eval(f"({segment}\n)") == value)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None

"""A Python file as LibCST reads it, with every node's place in the text. The text is never written from the tree.

Always true here: places count characters of the whole text, a byte order mark included, as `Finding.start` does.
"""

from __future__ import annotations

import ast
from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar, cast

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper, ParentNodeProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

N = TypeVar("N", bound=cst.CSTNode)
_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


class PythonSource:
    """A parsed module; raises `ValueError` for a text that is no Python 3."""

    def __init__(self, text: str) -> None:
        self.text = text
        body = text.removeprefix(_MARK)
        try:
            ast.parse(body)  # first: LibCST's own parser ends the process over what this calls too deep
            wrapper = MetadataWrapper(cst.parse_module(body), unsafe_skip_copy=True)
        except cst.ParserSyntaxError as error:
            raise ValueError(f"is not Python 3 (line {error.raw_line})") from error
        except SyntaxError as error:
            raise ValueError(f"is not Python 3 (line {error.lineno})") from error
        except (RecursionError, MemoryError) as error:
            raise ValueError("is nested too deeply") from error
        self.module = wrapper.module
        wrapper.resolve_many([ByteSpanPositionProvider, ParentNodeProvider])  # both in one go through the tree
        self._spans = wrapper.resolve(ByteSpanPositionProvider)
        self._parents = wrapper.resolve(ParentNodeProvider)
        self._kinds: dict[type[cst.CSTNode], list[cst.CSTNode]] = {}
        self._shift = len(text) - len(body)
        self._characters = None if body.isascii() else _characters(body)

    @property
    def newline(self) -> str:
        """The line end that the file uses."""
        return "\r\n" if "\r\n" in self.text else "\n"

    def span(self, node: cst.CSTNode) -> tuple[int, int]:
        """Return where a node stands, without parentheses around it."""
        found = self._spans[node]
        return self._character(found.start), self._character(found.start + found.length)

    def nodes(self, kind: type[N]) -> list[N]:
        """Return every node of a kind."""
        if kind not in self._kinds:
            self._kinds[kind] = [node for node in self._spans if isinstance(node, kind)]
        return cast("list[N]", self._kinds[kind])

    def enclosing(self, kind: type[N], start: int, end: int) -> N | None:
        """Return the smallest node of a kind around a range."""
        spans = ((self.span(node), node) for node in self.nodes(kind))
        around = [(high - low, node) for (low, high), node in spans if low <= start and end <= high]
        return min(around, key=lambda each: each[0])[1] if around else None

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """Return the node that a node is a part of."""
        return self._parents.get(node)

    def ancestors(self, node: cst.CSTNode) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
        """Give every node above, from the inside out, each with its part that leads to `node`."""
        part, above = node, self.parent(node)
        while above is not None:
            yield above, part
            part, above = above, self.parent(above)

    def _character(self, offset: int) -> int:
        return self._shift + (offset if self._characters is None else self._characters[offset])


def _characters(body: str) -> dict[int, int]:
    """Return the character that begins at each byte of the encoded text."""
    sizes = (len(character.encode()) for character in body)
    return {offset: number for number, offset in enumerate(accumulate(sizes, initial=0))}

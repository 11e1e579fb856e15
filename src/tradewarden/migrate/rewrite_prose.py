"""Texts for people (Markdown and the like): a value becomes the name of the variable that holds it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from tradewarden.migrate.edit import Edit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.migrate.rewriting import Move, Rewritten

_PROSE: Final = frozenset({".md", ".markdown", ".rst", ".txt", ".adoc"})


def rewrite_prose(text: str, moves: Sequence[Move], rewritten: Rewritten) -> None:
    """Rewrite one text (see `Rewriter`); a file of any other kind is left to a person."""
    del text
    for move in moves:
        if PurePosixPath(move.finding.file).suffix.lower() in _PROSE:
            rewritten.edits.append(Edit(move.finding.start, move.finding.end, move.reference))
        else:
            rewritten.leave(move, "this kind of file is not rewritten")

"""TOML and JSON: a text value becomes `${ALPHAPULSE_…}` between its quotes.

Neither language fills in variables, so who reads the file does (`tradewarden.secrets.references`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tradewarden.migrate.edit import Edit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.migrate.rewriting import Move, Rewritten

_NOTEBOOK: Final = ".ipynb"


def rewrite_quoted(text: str, moves: Sequence[Move], rewritten: Rewritten) -> None:
    """Rewrite one file (see `Rewriter`)."""
    for move in moves:
        start, end = move.finding.start, move.finding.end
        if move.finding.file.endswith(_NOTEBOOK):
            rewritten.leave(move, "notebooks are not rewritten: they hold code and what it printed")
        elif text[start:end].strip().isdecimal() and text[start - 1 : start] not in ('"', "'"):
            rewritten.edits.append(Edit(start, end, f'"{move.reference}"'))
        else:
            rewritten.edits.append(Edit(start, end, move.reference))

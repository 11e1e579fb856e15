"""INI files: a value becomes `${ALPHAPULSE_…}`; who reads the file resolves it (`tradewarden.secrets.references`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.migrate.edit import Edit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.migrate.rewriting import Move, Rewritten


def rewrite_ini(text: str, moves: Sequence[Move], rewritten: Rewritten) -> None:
    """Rewrite one file (see `Rewriter`)."""
    del text
    for move in moves:
        if "%" in move.finding.value.reveal():
            rewritten.leave(move, "it has a % in it, which some readers of INI files take for a sign of their own")
        else:
            rewritten.edits.append(Edit(move.finding.start, move.finding.end, move.reference))

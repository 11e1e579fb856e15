"""`.env` files: a value becomes `${ALPHAPULSE_…}`, which python-dotenv and Compose fill in from the environment.

A line that sets the very variable that now holds the value elsewhere is taken out: a comment stands in its place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tradewarden.migrate.edit import Edit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.migrate.rewriting import Move, Rewritten

_SETS: Final = re.compile(r"[ \t\ufeff]*(?:export[ \t]+)?(?P<name>[A-Za-z_][\w.-]*)[ \t]*=[ \t]*(?P<quote>['\"]?)")


def rewrite_env(text: str, moves: Sequence[Move], rewritten: Rewritten) -> None:
    """Rewrite one file (see `Rewriter`)."""
    for move in moves:
        if "$" in text[move.finding.start : move.finding.end]:
            rewritten.leave(move, "it has a $ in it, of which some readers of the file make something else")
            continue
        rewritten.edits.append(_edit(text, move))
    variables = ", ".join(dict.fromkeys(move.reference[2:-1] for move in moves))
    rewritten.duties.append(f"who reads it must have {variables} in the environment")


def _edit(text: str, move: Move) -> Edit:
    start, end = move.finding.start, move.finding.end
    line = text.rfind("\n", 0, start) + 1
    found = _SETS.match(text, line)
    if found is None or found.end() > start:
        return Edit(start, end, move.reference)
    whole = found.end() == start
    quote = found["quote"]
    if whole and quote and text[end : end + 1] == quote:
        end += 1
        start -= 1
    if whole and f"${{{found['name']}}}" == move.reference:
        name_at = found.start("name")
        return Edit(line + _mark(text, line), end, f"# {text[name_at : found.end('name')]} is set outside of this file")
    if quote == "'" and whole:
        return Edit(start, end, f'"{move.reference}"')
    return Edit(start, end, f"{quote}{move.reference}{quote}" if whole else move.reference)


def _mark(text: str, line: int) -> int:
    """Return how many characters of the line are a byte order mark, which stays."""
    return 1 if text[line : line + 1] == "\ufeff" else 0

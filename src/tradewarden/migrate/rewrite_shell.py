"""Shell scripts: a value becomes `"${ALPHAPULSE_…:?}"`, which stops the script when nobody gave it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tradewarden.migrate.edit import Edit
from tradewarden.migrate.quoting import Quoting, quoting_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.migrate.rewriting import Move, Rewritten

_EXPANDED: Final = frozenset("$`\\")


def required(move: Move) -> str:
    """Return the reference that fails when the variable is missing or empty."""
    return f"{move.reference[:-1]}:?}}"


def rewrite_shell(text: str, moves: Sequence[Move], rewritten: Rewritten) -> None:
    """Rewrite one script (see `Rewriter`)."""
    for move in moves:
        edit = _edit(text, move)
        if edit is None:
            rewritten.leave(move, "it stands where the shell puts no variable in (a quoted here-document)")
        elif _is_expanded(text, move):
            rewritten.leave(move, "the shell makes something else of what is written there")
        else:
            rewritten.edits.append(edit)
    if rewritten.edits:
        variables = ", ".join(dict.fromkeys(move.reference[2:-1] for move in moves))
        rewritten.duties.append(f"who runs it must have set {variables}")


def _is_expanded(text: str, move: Move) -> bool:
    """Tell whether the value as written is not the value as the script has it."""
    start, end = move.finding.start, move.finding.end
    quoting, _ = quoting_at(text, start)
    return quoting not in (Quoting.SINGLE, Quoting.COMMENT) and not _EXPANDED.isdisjoint(text[start:end])


def _edit(text: str, move: Move) -> Edit | None:
    start, end = move.finding.start, move.finding.end
    quoting, since = quoting_at(text, start)
    reference = required(move)
    match quoting:
        case Quoting.QUOTED_HEREDOC:
            return None
        case Quoting.COMMENT:
            return Edit(start, end, move.reference)
        case Quoting.DOUBLE | Quoting.HEREDOC:
            return Edit(start, end, reference)
        case Quoting.BARE:
            return Edit(start, end, f'"{reference}"')
    if since + 1 == start and text[end : end + 1] == "'":
        return Edit(since, end + 1, f'"{reference}"')
    return Edit(start, end, f"""'"{reference}"'""")

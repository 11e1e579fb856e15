"""The changes of a plan as a unified diff that shows no value."""

from __future__ import annotations

from difflib import unified_diff
from typing import TYPE_CHECKING, Final

from tradewarden.migrate.plan import MASK, masked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tradewarden.migrate.plan import Change, Plan

_SHORTEST: Final = 4
"""A value that is shorter is masked where it was found only: everywhere else it is likely a part of a word."""
_NO_NEWLINE: Final = "\\ No newline at end of file"


def diff(plan: Plan) -> str:
    """Return the whole diff; empty when no file changes."""
    hidden = sorted((value for value in plan.values if len(value) >= _SHORTEST), key=len, reverse=True)
    return "".join(line for change in plan.changes for line in _lines(change, hidden))


def _lines(change: Change, hidden: list[str]) -> Iterator[str]:
    before, after = masked(change), change.after
    for value in hidden:
        before, after = before.replace(value, MASK), after.replace(value, MASK)
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    for line in unified_diff(old, new, f"a/{change.file}", f"b/{change.file}"):
        ended = line.endswith("\n")
        yield line.replace("\r\n", "\n") if ended else f"{line}\n{_NO_NEWLINE}\n"

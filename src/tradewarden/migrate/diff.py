"""The changes of a plan as a unified diff that shows no value.

Always true here: every value that was found anywhere in the tree is stars, wherever it stands in a shown line, and so
is every text that looks like one made by a generator. Lines around a change are shown only when they are asked for: a
credential that nothing found could stand in one.
"""

from __future__ import annotations

import re
from difflib import unified_diff
from typing import TYPE_CHECKING, Final

from tradewarden.migrate.plan import MASK, masked
from tradewarden.migrate.rules.values import random

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tradewarden.migrate.plan import Change, Plan

_SHORTEST: Final = 4
"""A value that is shorter is masked where it was found only: everywhere else it is likely a part of a word."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9+=_\-.~!@#$%^&*]{16,}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/=_\-]{16,}")
_NO_NEWLINE: Final = "\\ No newline at end of file"


def diff(plan: Plan, context: int = 0) -> str:
    """Return the whole diff, with `context` lines around each change; empty when no file changes."""
    pieces = {piece for value in plan.values for piece in (value, *value.split("\n"))}
    hidden = sorted((piece for piece in pieces if len(piece.strip()) >= _SHORTEST), key=len, reverse=True)
    return "".join(line for change in plan.changes for line in _lines(change, hidden, context))


def _lines(change: Change, hidden: list[str], context: int) -> Iterator[str]:
    old, new = (_split(_without(text, hidden)) for text in (masked(change), change.after))
    for line in unified_diff(old, new, f"a/{change.file}", f"b/{change.file}", n=context):
        ended = line.endswith("\n")
        yield line.replace("\r\n", "\n") if ended else f"{line}\n{_NO_NEWLINE}\n"


def _without(text: str, hidden: list[str]) -> str:
    for value in hidden:
        text = text.replace(value, MASK)
    for tokens in (_TOKEN, _BASE64):
        text = tokens.sub(lambda found: MASK if random(found[0], 16) else found[0], text)
    return text


def _split(text: str) -> list[str]:
    """Return the lines with their ends; only a line feed ends one, as in a patch."""
    lines = text.split("\n")
    return [*(f"{line}\n" for line in lines[:-1]), *lines[-1:]] if lines[-1] else [f"{line}\n" for line in lines[:-1]]

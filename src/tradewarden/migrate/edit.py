"""A change of a text: these characters become those. Pure.

Always true here: what no edit covers stays as it is, to the last line end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Edit(msgspec.Struct, frozen=True, order=True):
    """Characters `start` to `end` become `text`; an empty range inserts."""

    start: int
    end: int
    text: str


def edited(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with all edits made; raises `InvalidInputError` when two of them overlap."""
    pieces: list[str] = []
    at = 0
    for edit in sorted(edits):
        if edit.start < at:
            raise InvalidInputError("two changes of one file overlap; nothing was written")
        pieces += (text[at : edit.start], edit.text)
        at = edit.end
    return "".join((*pieces, text[at:]))

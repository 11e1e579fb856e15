"""What a root that has ended means, in words: one text for warnings and refusals, and the command that works then."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradewarden.pki.cas.authorities import Authorities


def way_on(known: Authorities) -> str:
    """Say what an operator does when the active root has ended."""
    if known.next_root is not None:
        return "end the overlap of two roots: tradewarden ca rotate root --finish"
    return "put a new root in its place, which every client has to be given: tradewarden ca rotate root"


def minute(seconds: float) -> str:
    """Write a time for people, to the minute and in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%MZ}"

"""The revisions as of this turn of the loop: one look for all requests that arrived before it.

Always true here: a look is never older than the request it serves. What arrives later becomes a task behind the
forgetting that was queued before the look; a look that had to wait is used by its own request alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tradewarden.storage.database import Revisions


class Look:
    """Shares looks among the requests of one listener; each of them must run in a task of its own."""

    __slots__ = ("_revisions", "_seen", "_turn")

    def __init__(self, revisions: Callable[[], Awaitable[Revisions]]) -> None:
        self._revisions = revisions
        self._seen: Revisions | None = None
        self._turn = 0

    async def revisions(self) -> Revisions:
        """Return the revisions as they stood after the calling request had arrived."""
        if self._seen is not None:
            return self._seen
        turn = self._turn
        asyncio.get_running_loop().call_soon(self._forget)
        found = await self._revisions()
        if turn == self._turn:
            self._seen = found
        return found

    def _forget(self) -> None:
        self._seen = None
        self._turn += 1

"""Journals that were taken away before all of it arrived: each is told of once, by a finding in the log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tradewarden.audit.finding import INTEGRITY
from tradewarden.audit.frames import BOOT_BYTES
from tradewarden.audit.journal import SUFFIX
from tradewarden.audit.journals import has_journal
from tradewarden.audit.store import MISSED, Shipped

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.audit.notes import Notes
    from tradewarden.audit.store import AuditStore

_BOOT = re.compile(f"[0-9a-f]{{{2 * BOOT_BYTES}}}")


class Missing:
    """Knows of journals by how far they have come in the database."""

    __slots__ = ("_directory", "_inbox", "_looked_back", "_notes")

    def __init__(self, directory: Path, inbox: AuditStore, notes: Notes) -> None:
        self._directory = directory
        self._inbox = inbox
        self._notes = notes
        self._looked_back = False

    async def look_back(self) -> None:
        """Record, the first time, which journals were taken away while nobody looked.

        Asked in this order: a boot that lives has a file of the segment that its state names, or has moved that state.
        """
        if self._looked_back:
            return
        for boot in [each.boot for each in await self._inbox.arrivals() if _BOOT.fullmatch(each.boot)]:
            state = await self._inbox.shipped(boot)
            if state is None or state.offset < 0 or has_journal(self._directory, boot):
                continue
            await self.miss(boot, state.segment, state, f"{boot}-{state.segment:06d}{SUFFIX}")
        self._looked_back = True

    async def miss(self, boot: str, segment: int, state: Shipped | None, name: str) -> bool:
        """Record, once, that a journal was taken away; False when somebody else has moved its state meanwhile."""
        counter = state.counter if state else 0
        reason = f"was taken away before all of it arrived, at counter {counter}"
        after = Shipped(boot, counter, segment, MISSED)
        return await self._inbox.ship(state, after, [], [self._notes.of(INTEGRITY, name, reason)])

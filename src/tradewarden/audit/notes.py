"""Notes: what a shipper finds out about journals, as entries in the log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tradewarden.audit.finding import finding
from tradewarden.audit.store import Shipped
from tradewarden.errors import AuditUnavailableError

if TYPE_CHECKING:
    from tradewarden.audit.seal import InboxSeal
    from tradewarden.audit.store import AuditStore
    from tradewarden.clock import Clock

_TRIES = 20
_OWN = "shipper"


class Notes:
    """Makes notes, and records those that go with no journal's progress."""

    __slots__ = ("_clock", "_inbox", "_seal")

    def __init__(self, inbox: AuditStore, seal: InboxSeal, clock: Clock) -> None:
        self._inbox = inbox
        self._seal = seal
        self._clock = clock

    def of(self, action: str, name: str, reason: str) -> bytes:
        """Return the sealed entry that tells something about the file `name`."""
        return self._seal.change(finding(self._clock.now(), action, f"audit/journal/{name}", f"{name}: {reason}"))

    async def record(self, note: bytes) -> None:
        """Put a note of its own into the inbox. It is there when this returns; raises `AuditUnavailableError`."""
        for _ in range(_TRIES):
            own = await self._inbox.shipped(_OWN)
            after = replace(own or Shipped(_OWN, 0, 0, 0), offset=(own.offset if own else 0) + 1)
            if await self._inbox.ship(own, after, [], [note]):
                return
            await asyncio.sleep(0)  # another shipper records something too
        raise AuditUnavailableError("A finding about a journal could not be recorded; it will be tried again")

"""Audit entries in the log of an installation that is open in this process (`tradewarden.Warden`)."""

from __future__ import annotations

import asyncio
from concurrent.futures import TimeoutError as TookTooLong
from typing import TYPE_CHECKING, Final, Protocol

from tradewarden.audit.entry import EventType
from tradewarden.errors import AuditUnavailableError, TradewardenError

if TYPE_CHECKING:
    from tradewarden.audit.entry import Entry
    from tradewarden.secrets.chain.access import Access

SECONDS: Final = 10.0
"""How long an entry may take; more, and the answer is not given."""


class Entries(Protocol):
    """What opens an audit entry: a `Warden`, or its `Rooms`."""

    def entry(self, event: EventType, action: str, resource: str = "") -> Entry:
        """Return the audit entry of something that this process does by itself."""
        ...


class AuditRoom:
    """Records every access that ended a call in the tamper-evident log.

    `loop` is the event loop in which the installation was opened. It must be running, and must not itself wait for
    the chain's sync face: there, `await chain.aio.get(...)`.
    """

    def __init__(self, entries: Entries, loop: asyncio.AbstractEventLoop) -> None:
        self._entries = entries
        self._loop = loop

    def ready(self) -> None:
        """Raise `AuditUnavailableError` when the event loop has ended, or is the one that would have to wait."""
        if not self._loop.is_running():
            raise AuditUnavailableError("The installation that keeps the audit log is closed")
        if _running() is self._loop:
            raise AuditUnavailableError("The event loop that records cannot wait for itself; use the async face")

    def record(self, access: Access) -> None:
        """Record one entry and wait until it is written; raises `AuditUnavailableError`."""
        if not access.final:
            return
        self.ready()
        recording = asyncio.run_coroutine_threadsafe(self._record(access), self._loop)
        try:
            recording.result(SECONDS)
        except TookTooLong:
            recording.cancel()
            raise AuditUnavailableError(
                f"The audit entry was not written within {SECONDS:g} s; inside the installation's own event loop use "
                "the chain's async face"
            ) from None
        except TradewardenError as error:
            raise AuditUnavailableError("The audit entry cannot be recorded", reason=error.reason) from None

    async def _record(self, access: Access) -> None:
        async with self._entries.entry(EventType.SECRET_ACCESS, access.action.value, access.name) as entry:
            event = access.event(entry.user)
            entry.result = access.result
            entry.reason = event.reason
            entry.count = access.count

    def close(self) -> None:
        """Do nothing: the installation belongs to whoever opened it."""


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

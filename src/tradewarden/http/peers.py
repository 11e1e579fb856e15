"""Clients that came with a certificate: who each is, and that it still counts.

Always true here: OpenSSL's word at the handshake is not the last one. The inventory is asked when a connection stands,
at each of its requests, and again for every open connection when anything was revoked (decision 22). What stands in
the inventory and is not as it was written counts for nothing, and keeps no other connection from being looked at.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from tradewarden.access.principal import ANONYMOUS
from tradewarden.access.throttle import Throttle, peer_key
from tradewarden.audit.entry import EventType, Origin, Result
from tradewarden.errors import AuditUnavailableError, AuthenticationError, IntegrityError, TradewardenError
from tradewarden.pki.peer import PeerCertificate, shown_by

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from tradewarden.app import Warden
    from tradewarden.storage.database import Revisions

__all__ = ["Identified", "PeerCertificate", "Peers"]
_log = structlog.get_logger("tradewarden.tls")
_REMEMBERED: Final = 65_536
_SHOWN_SUBJECT: Final = 200
_AT_ONCE: Final = 64
"""So many certificates are looked up between two turns of the loop."""


class Identified(Protocol):
    """An open connection (`GuardedProtocol`)."""

    @property
    def peer(self) -> PeerCertificate | None:
        """Who it is with."""
        ...

    @property
    def address(self) -> str:
        """The peer's address."""
        ...

    def abort(self) -> None:
        """End it at once."""
        ...


class Peers:
    """The clients of one worker's mTLS listener, and what becomes of those that are refused."""

    def __init__(self, warden: Warden) -> None:
        self._warden = warden
        self._strangers = Throttle(*warden.settings.rate_limits["anonymous"], warden.clock)
        self._open: set[Identified] = set()
        self._good: dict[str, str] = {}
        self._seen: tuple[int, int] = (-1, -1)
        self._tasks: set[asyncio.Task[None]] = set()

    # -- whether they count --------------------------------------------------------------------

    async def require(self, peer: PeerCertificate, revisions: Revisions) -> str:
        """Check that a certificate is within its time, ours and not revoked, as of `revisions`.

        Returns the registration (its incarnation) that the certificate speaks for. Raises `AuthenticationError` with
        the reason. O(1), and a dictionary's look while nothing was revoked.
        """
        if peer.not_after <= self._warden.clock.now():
            raise AuthenticationError("The client certificate has expired", reason="certificate has expired")
        seen = (revisions.certificates, revisions.authorities)
        if seen != self._seen or len(self._good) >= _REMEMBERED:
            self._good = {}
            self._seen = seen
        good = self._good
        known = good.get(peer.thumbprint)
        if known is not None:
            return known
        row = await self._warden.authority.held(peer.serial)
        if row is None or row.certificate != peer.der or row.revocation:
            raise AuthenticationError(
                "The client certificate is revoked", reason="certificate revoked, or not in the inventory"
            )
        good[peer.thumbprint] = row.incarnation
        return row.incarnation

    async def look(self, revisions: Revisions) -> None:
        """Close every open connection whose certificate does not count any more."""
        for number, connection in enumerate(list(self._open)):
            await self._vet(connection, revisions)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)

    async def _vet(self, connection: Identified, revisions: Revisions) -> str:
        """Close a connection whose certificate does not count; return why, or the empty string."""
        peer = connection.peer
        if peer is None:
            return ""
        try:
            await self.require(peer, revisions)
        except (AuthenticationError, IntegrityError) as error:
            connection.abort()
            if isinstance(error, IntegrityError):
                _log.error("a client's certificate is not as it was stored", serial=peer.serial, reason=error.reason)
            return error.reason
        return ""

    # -- connections ---------------------------------------------------------------------------

    def arrived(self, connection: Identified) -> None:
        """Take in a connection whose handshake is over; it ends at once when the inventory knows better than a CRL."""
        self._open.add(connection)
        self._begin(self._welcome(connection))

    def left(self, connection: Identified) -> None:
        """Let go of a connection."""
        self._open.discard(connection)

    async def _welcome(self, connection: Identified) -> None:
        try:
            why = await self._vet(connection, await self._warden.revisions())
        except TradewardenError:
            return  # its requests meet the same and say so
        if why and connection.peer is not None:
            await self._record(connection.address, why, connection.peer.serial, connection.peer.subject)

    def refused(self, address: str, why: str, chain: Sequence[bytes]) -> None:
        """Record a refused handshake, `chain` being what the client showed (DER)."""
        serial, subject = shown_by(chain[0]) if chain else ("", "")
        self._begin(self._record(address, why, serial, subject))

    async def close(self) -> None:
        """Finish what is being recorded."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _record(self, address: str, why: str, serial: str, subject: str) -> None:
        """Record one refused handshake; a flood of them only as a count (decision 9)."""
        warden, key = self._warden, peer_key(address)
        try:
            if self._strangers.spend(key) or not warden.journal.spare():
                if warden.flood.note(key) and warden.journal.spare():
                    await warden.flood.begin(key)
                return
            async with warden.auditor.entry(EventType.AUTHENTICATION, "handshake", Origin(address)) as entry:
                entry.user, entry.method = str(ANONYMOUS), "certificate"
                entry.resource = serial
                entry.result = Result.DENIED
                entry.reason = f"{why} ({subject[:_SHOWN_SUBJECT]})" if subject else why
        except AuditUnavailableError:
            return  # it is refused either way, and the journal has told why it cannot write

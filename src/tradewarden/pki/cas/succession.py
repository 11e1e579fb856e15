"""The CAs in this process: which issue and which are trusted now, through every rotation, whoever makes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from tradewarden.access.grant import ANY
from tradewarden.access.principal import OWN_NAME
from tradewarden.errors import InvalidInputError
from tradewarden.pki.cas.keyless import Keyless
from tradewarden.pki.cas.listing import CaShown, RotateCa, Uses, shown, warnings
from tradewarden.pki.cas.patience import Patience
from tradewarden.pki.cas.pins import Pins, SignedPins
from tradewarden.pki.cas.rotating import What
from tradewarden.pki.certificate.issuer import Issuer
from tradewarden.pki.credentials import Reason
from tradewarden.pki.store import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock
    from tradewarden.pki.cas.authorities import Authorities
    from tradewarden.pki.cas.custody import Custody
    from tradewarden.pki.cas.rotating import Rotation
    from tradewarden.pki.store import CertificateRow

READ, ROTATE = "ca:read", "ca:rotate"
_RETRY_SECONDS = 1.0
_DAY = 86_400


class Revisions(Protocol):
    """The counter that moves when CAs change (`tradewarden.storage.database.Revisions`)."""

    @property
    def authorities(self) -> int:
        """The counter."""
        ...


class Succession:
    """Holds the CAs as this process knows them: `known`."""

    def __init__(self, known: Authorities, custody: Custody, rotation: Rotation, clock: Clock) -> None:
        self.known = known
        self._custody = custody
        self._rotation = rotation
        self._clock = clock
        self.rotated: Callable[[], Awaitable[None]] = _nothing
        """Is awaited after a rotation that this process made, while a root's key that it needed is there."""
        self._lock = asyncio.Lock()
        self._pins = Pins(custody.policy)
        self._keyless = Keyless(custody)
        self._patience = Patience(clock)
        self._seen = -1
        self._tried = 0.0
        self._said: tuple[float, tuple[str, ...]] = (0.0, ())

    async def follow(self, revisions: Revisions) -> None:
        """Take over what another process changed; of no cost while the revision stands."""
        if revisions.authorities == self._seen:
            return
        async with self._lock:
            if revisions.authorities != self._seen:
                self._take(await self._rotation.look(self.known))
                self._seen = revisions.authorities

    def _take(self, found: Authorities) -> None:
        """Hold what was found, unless a later look was faster."""
        if found.version >= self.known.version:
            self.known = found.holding(self.known.keys)

    async def signer(self) -> Issuer:
        """Return what signs certificates now; raises `UnavailableError` while its key is away."""
        now = self._clock.monotonic()
        if self.known.issuing.linked is None and now - self._tried >= _RETRY_SECONDS:
            self._tried = now
            self._take(await self._rotation.look(self.known))
        return self.known.issuing.signer()

    async def recover(self) -> None:
        """Look for the keys that were away when the CAs were loaded; to be called from time to time.

        For the active CA's at each call, for those of others less and less often, down to every five minutes.
        """
        missing = frozenset(ca.fingerprint for ca in self.known.met(self._clock.now()) if ca.linked is None)
        if self._patience.due(missing) or self.known.issuing.fingerprint in missing:
            self._take(await self._rotation.look(self.known))

    def issuer_of(self, fingerprint: str) -> Issuer | None:
        """Return a CA ready to sign its CRL and OCSP answers; None when it is unknown or its key is not here.

        The key of a root, or of the next issuing CA, is read for it each time and not held: some milliseconds, or a
        look at the token.
        """
        ca = self.known.find(fingerprint)
        if ca is None or ca.linked is not None:
            return ca.linked if ca else None
        read = ca.row.role is Role.ROOT or ca is self.known.next_issuing
        return self._custody.signer(ca) if read and self._custody.is_here(ca) else None

    # -- rotations -------------------------------------------------------------------------------

    async def rotate(self, grant: Grant, command: RotateCa, entry: Entry) -> tuple[CaShown, ...]:
        """Rotate a CA, or end the overlap of two roots, and return all CAs.

        Raises `ConflictError` saying what is in the way: the root's key is away, or a rotation under way.
        """
        grant.require(ROTATE, command.what.value)
        entry.resource = command.what.value
        if command.compromised:
            entry.reason = Reason.CA_COMPROMISE.value
        if not command.finish:
            if not command.compromised:
                await self._let_prepared_be_known()
            self._take(await self._rotation.rotate(command.what, entry, compromised=command.compromised))
        elif command.what is What.ROOT and not command.compromised:
            self._take(await self._rotation.finish(entry))
        else:
            raise InvalidInputError("finish goes with what=root alone: it ends the overlap of two roots")
        await self.rotated()
        return await self._shown()

    async def _let_prepared_be_known(self) -> None:
        prepared, wanted = self.known.next_issuing, self._custody.policy.herald_seconds
        if prepared is not None:
            age = self._clock.now() - prepared.row.created_at
            await asyncio.sleep(min(max(wanted - age, 0.0), wanted))

    async def tend(self, entry: Callable[[str], Entry]) -> None:
        """Do what is due: called by the clerk from time to time."""
        done = await self._rotation.tend(self.known, entry)
        if done is not None:
            self._take(done)
            await self.rotated()

    async def list(self, grant: Grant) -> tuple[CaShown, ...]:
        """Return all CAs: roots, issuing CAs, certificates of one root by the other; each with its state."""
        grant.require(READ, ANY)
        return await self._shown()

    async def _shown(self) -> tuple[CaShown, ...]:
        known, now, count = self.known, self._clock.now(), self._custody.store.active
        active, bound = await count(now, OWN_NAME), {}
        if known.next_root is not None:  # what was issued since leads to the new root by a cross-certificate
            bound = await count(now, OWN_NAME, known.next_root.row.created_at)
        return tuple(await asyncio.to_thread(shown, known, self._custody, Uses(active, bound)))

    async def warnings(self) -> tuple[str, ...]:
        """Return what an operator should do about CAs that near their end or lack their key, in words."""
        known, now = self.known, self._clock.now()
        ending = await asyncio.to_thread(warnings, known, self._custody, now)
        return (*ending, *await self._keyless.warnings(known, now))

    async def news(self) -> tuple[str, ...]:
        """Return the warnings, and nothing when they were returned within the last day."""
        now, found = self._clock.now(), await self.warnings()
        if found == self._said[1] and now < self._said[0] + _DAY:
            return ()
        self._said = now, found
        return found

    async def pins(self) -> SignedPins:
        """Return the keys that others may pin, signed by the issuing CA."""
        return await self._pins.signed(self.known, self._clock.now())

    def expiries(self) -> tuple[float, float]:
        """Return in how many seconds the active root and the active issuing CA end."""
        now = self._clock.now()
        return self.known.root.ends - now, self.known.issuing.ends - now

    # -- what a revoked CA means -----------------------------------------------------------------

    def judged(self, row: CertificateRow) -> CertificateRow:
        """Return a certificate's row as it counts: what a revoked CA issued is revoked with it."""
        ca = self.known.revoked.get(row.issuer)
        if ca is None or row.revocation:
            return row
        return replace(row, revocation=1, revoked_at=ca.ended_at, reason=Reason.CA_COMPROMISE.value)

    async def close(self) -> None:
        """Wait for a rotation under way."""
        await self._rotation.close()


async def _nothing() -> None:
    """Have nothing to do after a rotation."""

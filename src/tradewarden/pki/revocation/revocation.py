"""What everybody may ask about certificates: lists and answers for every CA of the installation, found by name.

Always true here: lists and answers are those of the CAs as the room knows them at that moment, however often they are
rotated (`pki.revocation.desks`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from tradewarden.errors import (
    ConfigurationError,
    IntegrityError,
    NotFoundError,
    TradewardenError,
    UnavailableError,
)
from tradewarden.log import Log
from tradewarden.pki.certificate.pem import crl_pem
from tradewarden.pki.certificate.pointers import read_crl_name, read_issuer_name
from tradewarden.pki.credentials import Reason
from tradewarden.pki.revocation.crl import Crl, RevocationList
from tradewarden.pki.revocation.crl_entries import WHOLE
from tradewarden.pki.revocation.desks import Desks
from tradewarden.pki.revocation.ocsp import (
    INTERNAL_ERROR,
    MALFORMED,
    REFUSALS,
    TRY_LATER,
    UNAUTHORIZED,
    OcspAnswer,
)
from tradewarden.pki.revocation.ocsp_encoding import read_request
from tradewarden.pki.revocation.standing_list import RevokedCa, StandingList
from tradewarden.pki.store import Role, Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.crypto.keyset import Sealer
    from tradewarden.pki.cas.authorities import Authorities, Ca
    from tradewarden.pki.revocation.desks import Cas
    from tradewarden.pki.store import PkiStore


_HOUR = 3600
_log = Log("tradewarden.pki")


class Bundle(NamedTuple):
    """The complete lists of several CAs: PEM, its times (seconds since the epoch), and what names it for caches."""

    pem: bytes
    this_update: int
    next_update: int
    tag: str


class Revocation:
    """Lists and answers. `hours` is the life of a list, `base` the public URL that certificates point to, or empty."""

    def __init__(
        self,
        store: PkiStore,
        sealer: Sealer,
        cas: Cas,
        clock: Clock,
        randomness: Randomness,
        hours: int,
        base: str,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._cas = cas
        self._clock = clock
        self._hours = hours
        self._desks = Desks(store, sealer, cas, clock, randomness, hours, base)
        self._standing: dict[str, StandingList] = {}
        self._bundle: Bundle | None = None

    # -- lists ---------------------------------------------------------------------------------

    async def crl(self, name: str = "") -> Crl:
        """Return a list by its file name, or the complete one of the CA that issues now.

        Raises `NotFoundError`, `UnavailableError` when it cannot be made or is past its time, `IntegrityError`. A
        revoked CA has none: a list counts only with its issuer's certificate (RFC 5280 section 6.3.3 f), and who checks
        nothing above a certificate would go by it.
        """
        if not name:
            return await self.of(self._cas.known.issuing.fingerprint)
        beginning, shard = read_crl_name(name)
        return await self.of(self._named(beginning).fingerprint, shard)

    async def of(self, fingerprint: str, shard: int = WHOLE) -> Crl:
        """Return a list of the CA with that fingerprint; raises as `crl` does."""
        known = self._desks.follow()
        if fingerprint in known.revoked:
            raise NotFoundError("This CA is revoked, and so are its revocation lists")
        desk = self._desks.of(fingerprint)
        if desk is not None:
            return await desk.lists.current(shard)
        root = next((ca for ca in known.of(Role.ROOT) if ca.fingerprint == fingerprint), None)
        if root is not None:
            await self._bring_up(root)
        return await self._standing_list(fingerprint).current(shard)

    async def each(self, *, or_older: bool = False) -> dict[str, Crl]:
        """Return the complete lists of the roots and of each CA that may be met, now or after the next rotation.

        By fingerprint, the active one's first; a revoked one has none, and none has an issuing CA whose key is not
        here and whose list ended. Where an issuing CA's list must be made anew and cannot be, `or_older` gives the one
        that stands, or `UnavailableError` is raised. A root's that lacks a revoked CA, because the root's key is away,
        is given in any case: without that CA's own list nobody accepts what it signed, and everybody else goes on.
        """
        known = self._desks.follow()
        prepared = [] if known.next_issuing is None else [known.next_issuing]
        found: dict[str, Crl] = {}
        for ca in (*known.listed(self._clock.now()), *prepared, *known.trusted):
            try:
                found[ca.fingerprint] = await self.of(ca.fingerprint)
            except NotFoundError:
                continue
            except UnavailableError:
                if not or_older and self._desks.of(ca.fingerprint):
                    raise
                with suppress(NotFoundError, UnavailableError):
                    found[ca.fingerprint] = await self._standing_list(ca.fingerprint).current()
        return found

    async def bundle(self) -> Bundle:
        """Return all that a verifier needs, in one file; the same object while no list of it changes.

        Raises `UnavailableError` when a list must be signed and cannot be.
        """
        lists = [*(await self.each()).values()]
        if not lists:
            raise NotFoundError("There is no revocation list")
        tag = sha256("\n".join(found.tag for found in lists).encode()).hexdigest()[:32]
        if self._bundle is None or self._bundle.tag != tag:
            pem = await asyncio.to_thread(_joined, [found.der for found in lists])
            newest, first = max(found.this_update for found in lists), min(found.next_update for found in lists)
            self._bundle = Bundle(pem, newest, first, tag)
        return self._bundle

    async def renew(self) -> None:
        """Make every list anew that stands in the second half of its life; the roots' when they lack something."""
        for ca in self._desks.follow().listed(self._clock.now()):
            desk = self._desks.of(ca.fingerprint)
            if desk is not None:
                await desk.lists.renew()
        await self.announce()
        await self.renew_roots()

    async def announce(self) -> None:
        """Have a list of the next issuing CA stand before that CA issues, for verifiers who fetch lists ahead."""
        ca = self._cas.known.next_issuing
        if ca is None or await self._standing_list(ca.fingerprint).lasts(self._hours * _HOUR / 2):
            return
        issuer = await asyncio.to_thread(self._cas.issuer_of, ca.fingerprint)
        if issuer is not None:
            fore = self._cas.known.forerunner(ca)
            await RevocationList(self._store, self._sealer, issuer, self._clock, self._hours, forerunner=fore).renew()

    async def renew_roots(self) -> None:
        """Make the list of every root that lives, when it lacks something.

        Raises `UnavailableError` naming the root when its key is needed and not here.
        """
        for root in self._desks.follow().of(Role.ROOT):
            if root.row.state is not Standing.REVOKED and root.ends > self._clock.now():
                await self._bring_up(root)

    async def after_rotation(self) -> None:
        """Make the lists that a rotation asks for; what is in the way is said in the log, for it stands already."""
        try:
            await self.renew()
        except TradewardenError as error:
            _log.warning("the revocation lists do not tell of the rotation yet", reason=error.detail)

    async def _bring_up(self, root: Ca) -> None:
        if self._desks.of(root.fingerprint) is not None:  # it issues itself
            return
        standing, revoked = self._standing_list(root.fingerprint), _revoked_below(self._cas.known, root)
        if await standing.knows(revoked):
            return
        issuer = await asyncio.to_thread(self._cas.issuer_of, root.fingerprint)
        if issuer is None:
            name = root.certificate.subject.rfc4514_string()
            raise UnavailableError(f"The revocation list of {name} must be made anew; bring the root CA's key back")
        await standing.publish(issuer, revoked)

    def held(self) -> Crl | None:
        """Return the list of the CA that issues now, as this process gave it last; None before the first time."""
        desk = self._desks.of(self._cas.known.issuing.fingerprint)
        return desk.lists.held() if desk else None

    def certificate(self, name: str) -> tuple[bytes, int]:
        """Return a CA's certificate (DER) by its file name, and since when it is there; raises `NotFoundError`."""
        ca = self._named(read_issuer_name(name))
        return ca.row.certificate, int(ca.row.created_at)

    def _named(self, beginning: str) -> Ca:
        found = next((ca for ca in self._cas.known.all if ca.fingerprint.startswith(beginning)), None)
        if found is None:
            raise NotFoundError("There is no such CA here")
        return found

    # -- answers -------------------------------------------------------------------------------

    async def ocsp(self, request: bytes, begin: Callable[[], Entry]) -> OcspAnswer:
        """Answer an OCSPRequest (DER); what cannot be answered is refused as RFC 6960 section 2.3 says, never raised.

        `tryLater` while the key of an issuing CA of ours is away, `unauthorized` for issuers whose certificates we do
        not answer for: those of others, and roots. `begin` gives the audit entry of a signing certificate that is due.
        """
        try:
            asked = read_request(request)
        except ValueError:
            return REFUSALS[MALFORMED]
        self._desks.follow()
        issuer = self._desks.issuer_of(asked.certificates)
        if issuer is None:
            return REFUSALS[UNAUTHORIZED]
        desk = self._desks.of(issuer)
        if desk is None:
            return REFUSALS[TRY_LATER]
        try:
            return await desk.responder.answer(asked, await self._store.revision(), begin)
        except (ConfigurationError, UnavailableError):
            return REFUSALS[TRY_LATER]
        except IntegrityError:
            return REFUSALS[INTERNAL_ERROR]

    def _standing_list(self, fingerprint: str) -> StandingList:
        found = self._standing.get(fingerprint)
        if found is None:
            found = self._standing[fingerprint] = StandingList(self._store, self._sealer, fingerprint, self._clock)
        return found


def _joined(lists: Sequence[bytes]) -> bytes:
    return b"".join(map(crl_pem, lists))


def _revoked_below(known: Authorities, root: Ca) -> list[RevokedCa]:
    """Return the CA certificates that a root signed and that are revoked."""
    return [
        RevokedCa(ca.certificate.serial_number, int(ca.row.ended_at), Reason.CA_COMPROMISE)
        for ca in known.all
        if ca.row.issuer == root.fingerprint != ca.fingerprint and ca.row.state is Standing.REVOKED
    ]

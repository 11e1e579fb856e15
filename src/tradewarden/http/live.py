"""The TLS of a worker's listeners, kept current while they serve.

Always true here: what OpenSSL checks a client against is made anew within a second after a revocation or a rotation,
off the loop, and a CRL that is too old refuses everybody. A list of more than `MOST_CRL_BYTES` stays out of OpenSSL,
which would read all of it at each handshake; the inventory alone is asked then, as soon as the handshake is over and at
each request.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final

import structlog

from tradewarden.errors import TradewardenError
from tradewarden.http.own_certificate import OwnCertificate
from tradewarden.http.tls import LiveContext, Trust, server_context
from tradewarden.pki.peer import identifier

if TYPE_CHECKING:
    from tradewarden.app import Warden
    from tradewarden.http.peers import Peers
    from tradewarden.pki.listener_file import Shown

_log = structlog.get_logger("tradewarden.tls")
LOOK_SECONDS: Final = 0.4
MOST_CRL_BYTES: Final = 512 * 1024
"""About 14,000 entries. Measured: a handshake of 1.0 ms takes 1.3 ms with 10,000 entries, and 3.8 ms with 100,000 (the
first one after each change 35 ms)."""
_LONG_SECONDS: Final = 60.0
_END: Final = "-----END CERTIFICATE-----\n"
_ROUND_SECONDS: Final = 10.0
"""How often what only time changes is looked at: certificates that expire, the CRL that gets old."""


class LiveTls:
    """What this worker's listeners begin their connections with: `plain` for the HTTP API, `mutual` for mTLS.

    None where the listener speaks plain HTTP or is off.
    """

    def __init__(self, warden: Warden, peers: Peers) -> None:
        settings = warden.settings
        self._warden = warden
        self._peers = peers
        self._own = OwnCertificate(warden)
        self._mutual = LiveContext(identifier(settings.trust_domain)) if settings.enable_mtls else None
        given = settings.tls_cert is not None and settings.tls_key is not None
        bare = given or settings.development or settings.trusted_proxies
        self._plain = None if bare else LiveContext()
        self._seen: tuple[int, int] = (-1, -1)
        self._built: tuple[Shown, Trust] | None = None
        self._rounded = 0.0
        self._long_until = 0.0
        self._waiting = False
        self._timeless = False
        self._faults: dict[str, str] = {}

    @property
    def plain(self) -> ssl.SSLContext | None:
        """The context of the HTTP API: of a given certificate, or outside development of our own."""
        settings = self._warden.settings
        if settings.tls_cert is not None and settings.tls_key is not None:
            return server_context(settings.tls_cert, settings.tls_key)
        return None if self._plain is None else self._plain.first

    @property
    def mutual(self) -> ssl.SSLContext | None:
        """The context of the mTLS listener."""
        return None if self._mutual is None else self._mutual.first

    async def open(self) -> None:
        """Make everything ready; where that fails, handshakes are refused until `follow` succeeds."""
        await self._attempt()

    async def follow(self) -> None:
        """Keep everything current until cancelled; what fails is logged once and tried again."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._attempt()

    async def turn(self) -> None:
        """Look once: close what is revoked or expired, renew our own certificate, make new contexts when needed."""
        if self._mutual is None and self._plain is None:
            return
        warden = self._warden
        revisions = await warden.revisions()
        seen = (revisions.certificates, revisions.authorities)
        moved, now = seen != self._seen, warden.clock.monotonic()
        round_due = now - self._rounded >= _ROUND_SECONDS
        if moved or round_due:
            await self._peers.look(revisions)
            await warden.authority.cas.recover()
            self._rounded = now
        shown = await self._certificate(recheck=moved)
        fits = self._built is not None and self._built[0] is shown and self._timeless is warden.floor.holds()
        if moved or round_due or self._waiting or not fits:
            await self._build(shown)
        self._seen = seen

    async def _certificate(self, *, recheck: bool) -> Shown:
        """Return our certificate; while it cannot be renewed, the one before for as long as it is good."""
        try:
            shown = await self._own.current(recheck=recheck)
        except TradewardenError as error:
            if self._built is None or self._built[0].ends <= self._warden.clock.now():
                raise
            self._fault("renew", f"the listener's certificate cannot be renewed: {error.reason or error}")
            return self._built[0]
        self._faults.pop("renew", None)
        return shown

    async def _build(self, shown: Shown) -> None:
        self._timeless = self._warden.floor.holds()
        trust = Trust(()) if self._mutual is None else await self._trust()
        if self._built is not None and self._built[0] is shown and self._built[1] == trust:
            return
        if self._plain is not None:
            self._plain.swap(await asyncio.to_thread(server_context, shown.chain, shown.key))
        if self._mutual is not None:
            self._mutual.swap(await asyncio.to_thread(server_context, shown.chain, shown.key, trust))
        self._built = (shown, trust)

    async def _trust(self) -> Trust:
        """Return the roots that count, the CAs that a client may leave out of its chain, and the CRLs.

        The issuing CA that is prepared is among them with its list, so that a certificate is good the moment after a
        rotation; while the list of a new one is still to come, it is looked for every time.
        """
        authority = self._warden.authority
        between = [ssl.PEM_cert_to_DER_cert(pem + _END) for pem in authority.ca_chain().split(_END)[:-1]]
        prepared = authority.cas.known.next_issuing
        ahead = [] if prepared is None else [prepared.row.certificate]
        known = dict.fromkeys([*authority.trusted_roots(), *between, *ahead])
        crls = await self._crls()
        long = self._warden.clock.monotonic() < self._long_until
        self._waiting = prepared is not None and prepared.fingerprint not in crls and not long
        return Trust(tuple(known), tuple(crls.values()), self._timeless)

    async def _crls(self) -> dict[str, bytes]:
        """Return the CRLs for OpenSSL, by issuer; none while they are too long, which is not asked at every revocation.

        While a CA's key is away, the list before does: the inventory, asked after each handshake, knows the rest.
        """
        now = self._warden.clock.monotonic()
        if now < self._long_until:
            return {}
        lists = await self._warden.authority.revocation.each(or_older=True)
        crls = {issuer: found.der for issuer, found in lists.items()}
        if sum(map(len, crls.values())) <= MOST_CRL_BYTES:
            return crls
        self._long_until = now + _LONG_SECONDS
        return {}

    async def _attempt(self) -> None:
        try:
            await self.turn()
        except TradewardenError as error:
            self._fault("follow", f"the listeners' TLS cannot be kept current: {error.reason or error}")
        except Exception as error:  # noqa: BLE001 - the listeners go on with what they have
            _log.exception("following certificates failed", exc_info=error)
        else:
            self._faults.pop("follow", None)
        self._warden.mtls_fault = self._faults.get("follow", "")

    def _fault(self, what: str, text: str) -> None:
        if self._faults.get(what) != text:
            _log.warning(text)
        self._faults[what] = text

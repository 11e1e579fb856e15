"""The certificate authority: issues to services, keeps the inventory, revokes, serves the CRL."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tradewarden.access.principal import service_name
from tradewarden.crypto.keyfile import private_directory
from tradewarden.errors import ConfigurationError, InvalidInputError, NotFoundError
from tradewarden.keys.purpose import Purpose
from tradewarden.pki import inventory
from tradewarden.pki.credentials import Credentials, InventoryItem, InventoryPage, State
from tradewarden.pki.crl import RevocationList
from tradewarden.pki.files import CaFiles
from tradewarden.pki.founding import Foundation, serial_number
from tradewarden.pki.issuer import Issued, Issuer, Order
from tradewarden.pki.names import Names, names_of, trust_domain
from tradewarden.pki.pem import certificate_pem, private_key_pem
from tradewarden.pki.profiles import SERVER, SERVICE, places
from tradewarden.pki.published import Published
from tradewarden.pki.request import requested_key
from tradewarden.pki.store import CertificateRow, Tally

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.crypto.keyset import Sealer
    from tradewarden.keys.port import Keys
    from tradewarden.pki.algorithm import PublicKey
    from tradewarden.pki.credentials import IssueCredentials, RevokeCertificate
    from tradewarden.pki.founding import Pair
    from tradewarden.pki.policy import Policy
    from tradewarden.pki.profiles import Profile
    from tradewarden.pki.store import PkiStore

ISSUE, READ, REVOKE = "credentials:issue", "credentials:read", "credentials:revoke"
OWN_NAME = "tradewarden"
"""The service name of our own listener's certificate; nobody else gets it."""
_HOUR = 3600
_TALLY_SECONDS = 5.0
_CURVE = ec.SECP256R1()


class _Wanted(NamedTuple):
    """One certificate to be issued, everything in it checked."""

    service: str
    profile: Profile
    names: Names
    public_key: PublicKey
    seconds: int


class Authority:
    """The PKI room. Made by `Authority.open`; its methods take a grant, a command, and the audit entry."""

    def __init__(
        self,
        store: PkiStore,
        sealer: Sealer,
        directory: Path,
        policy: Policy,
        pair: Pair,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._policy = policy
        self._clock = clock
        self._randomness = randomness
        self._issuer = Issuer(pair.issuing, pair.issuing_key, places(policy.crl_url, policy.issuer_url))
        self._crl = RevocationList(store, sealer, self._issuer, clock, policy.crl_hours)
        self._published = Published(directory / "credentials")
        self._root_pem = certificate_pem(pair.root.public_bytes(Encoding.DER))
        self._above_pem = "" if pair.issuing == pair.root else certificate_pem(self._issuer.der)
        self._tally: tuple[float, Tally] | None = None

    @classmethod
    async def open(  # noqa: PLR0913  (the composition root's one call)
        cls,
        store: PkiStore,
        keys: Keys,
        directory: Path,
        policy: Policy,
        clock: Clock,
        randomness: Randomness,
        *,
        first_start: bool,
        entry: Entry | None = None,
    ) -> Self:
        """Make the authority on the first start, load it on every other.

        `directory` is the data directory. `entry` is the audit entry that a first start commits with its rows. Raises
        `ConfigurationError` naming a file that is missing, damaged or foreign, or a CA brought along that is refused.
        """
        try:
            trust_domain(policy.trust_domain)
        except InvalidInputError as error:
            raise ConfigurationError(f"TRADEWARDEN_TRUST_DOMAIN: {error.detail}") from error
        sealer = keys.sealer(Purpose.CA)
        files = CaFiles(directory, keys.derive(Purpose.CA, "key-file").hex().encode())
        foundation = Foundation(files, policy, clock.now(), randomness)
        pair = await foundation.lay(store, sealer, first_start=first_start, entry=entry)
        await asyncio.to_thread(private_directory, directory / "credentials")
        return cls(store, sealer, directory, policy, pair, clock, randomness)

    async def close(self) -> None:
        """Write the certificate files that still wait."""
        await self._published.close()

    # -- issuing -------------------------------------------------------------------------------

    async def issue(self, grant: Grant, command: IssueCredentials, entry: Entry) -> Credentials:
        """Issue a certificate to a service, for a new P-256 key or for that of a CSR.

        Raises `PermissionDeniedError`, `InvalidInputError` naming what is refused, `UnavailableError` when the CA
        itself is not valid now.
        """
        grant.require(ISSUE, command.service_name)
        service = service_name(command.service_name)
        if service == OWN_NAME:
            raise InvalidInputError(f"service_name {OWN_NAME!r} is the service's own and is not issued to others")
        names = names_of(self._policy.trust_domain, service, command.dns_names, command.ip_addresses)
        seconds = self._seconds(command.ttl_hours)
        if command.csr is None:
            key = ec.generate_private_key(_CURVE)
            public: PublicKey = key.public_key()
            private_key = private_key_pem(key)
        else:
            public = requested_key(command.csr, service, SERVICE, names)
            private_key = None
        wanted = _Wanted(service, SERVICE, names, public, seconds)
        credentials = self._credentials(await self._certify(grant, wanted, entry), private_key)
        self._published.offer(credentials)
        return credentials

    async def server_certificate(
        self, grant: Grant, dns_names: Sequence[str], ip_addresses: Sequence[str], entry: Entry
    ) -> Credentials:
        """Issue a certificate for our own TLS listener; `certificate_chain` and `private_key` are what it loads."""
        grant.require(ISSUE, OWN_NAME)
        names = names_of(self._policy.trust_domain, OWN_NAME, dns_names, ip_addresses)
        key = ec.generate_private_key(_CURVE)
        wanted = _Wanted(OWN_NAME, SERVER, names, key.public_key(), self._seconds(None))
        return self._credentials(await self._certify(grant, wanted, entry), private_key_pem(key))

    def _seconds(self, ttl_hours: int | None) -> int:
        longest = self._policy.validity_days * 24
        hours = longest if ttl_hours is None else ttl_hours
        if not 1 <= hours <= longest:
            raise InvalidInputError(f"ttl_hours must be from 1 to {longest} (CERT_VALIDITY_DAYS)")
        return hours * _HOUR

    async def _certify(self, grant: Grant, wanted: _Wanted, entry: Entry) -> CertificateRow:
        """Sign what is wanted and return it once its row and its audit entry stand."""
        service, profile, names, public, seconds = wanted
        now = self._clock.now()
        start, end = self._issuer.term(now, seconds)
        serial = serial_number(self._randomness)
        order = Order(profile, _subject(service), public, serial, start, end, names.general())
        issued = await self._signed(order)
        row = self._sealer.seal(
            CertificateRow(
                inventory.serial_text(serial),
                service,
                profile.name,
                names.spiffe_id,
                self._issuer.fingerprint,
                sha256(issued.der).hexdigest(),
                issued.der,
                start,
                end,
                now,
                str(grant.principal),
            )
        )
        entry.resource = f"{service}/{row.serial}"
        await self._store.add(row, entry.draft(sha256(row.seal).hexdigest()))
        entry.commit()
        if service != OWN_NAME:
            self._count(end)
        return row

    async def _signed(self, order: Order) -> Issued:
        if self._issuer.slow:
            return await asyncio.to_thread(self._issuer.issue, order)
        return self._issuer.issue(order)

    def _credentials(self, row: CertificateRow, private_key: str | None) -> Credentials:
        pem = certificate_pem(row.certificate)
        return Credentials(
            row.service_name,
            pem,
            private_key,
            self._root_pem,
            pem + self._above_pem,
            row.serial,
            row.fingerprint,
            row.spiffe_id,
            row.issued_at,
            float(row.not_after),
        )

    # -- the inventory -------------------------------------------------------------------------

    async def list(
        self,
        grant: Grant,
        *,
        service: str = "",
        state: State | None = None,
        expiring_before: float | None = None,
        after: str = "",
        limit: int = 100,
    ) -> InventoryPage:
        """Return certificates in the order in which they end, those of services that the grant may see.

        A page can hold fewer than `limit` and still have a `next`.
        """
        grant.require(READ, grant.resource)
        now = self._clock.now()
        rows = await self._store.page(inventory.query(service, state, expiring_before, after, limit, now))
        seen = [self._sealer.check(row) for row in rows if grant.sees(row.service_name)]
        following = inventory.cursor(rows[-1]) if len(rows) == limit else ""
        return InventoryPage(tuple(inventory.item(row, now) for row in seen), following)

    async def get(self, grant: Grant, serial: str) -> InventoryItem:
        """Return one certificate with its PEM; raises `NotFoundError`."""
        grant.require(READ, grant.resource)
        row = await self._store.find(inventory.serial_of(serial))
        if row is None:
            raise NotFoundError("Certificate not found")
        grant.require(READ, row.service_name)
        return inventory.item(self._sealer.check(row), self._clock.now(), pem=True)

    async def revoke(self, grant: Grant, command: RevokeCertificate, entry: Entry) -> InventoryItem:
        """Revoke a certificate for good; a second time changes nothing. Raises `NotFoundError`."""
        grant.require(REVOKE, grant.resource)
        serial = inventory.serial_of(command.serial_number)
        now = self._clock.now()
        row = await self._store.revoke(
            serial,
            lambda found, last: inventory.revocation(found, last, command.reason, now, grant, self._sealer, entry),
        )
        entry.commit()
        self._tally = None
        return inventory.item(row, now)

    async def is_revoked(self, serial: str) -> bool:
        """Tell whether a certificate counts for nothing any more, as of now, in every process; one look-up.

        A serial number that we never issued counts as revoked. Raises `IntegrityError` for a forged row.
        """
        row = await self._store.find(inventory.serial_of(serial))
        return row is None or self._sealer.check(row).revocation > 0

    async def counts(self) -> Tally:
        """Return how many certificates are valid and when the first ends; at most five seconds old."""
        now = self._clock.monotonic()
        if self._tally is None or now - self._tally[0] >= _TALLY_SECONDS:
            self._tally = (now, await self._store.tally(self._clock.now(), OWN_NAME))
        return self._tally[1]

    def _count(self, end: int) -> None:
        """Keep the held count right for a certificate that this process issued itself."""
        if self._tally is not None:
            since, held = self._tally
            soonest = min(held.soonest_expiry or end, end)
            self._tally = (since, Tally(held.active + 1, soonest))

    # -- what anyone may have ------------------------------------------------------------------

    @property
    def ca_expires_at(self) -> float:
        """When the issuing CA ends, seconds since the epoch; nothing is issued from then on."""
        return float(self._issuer.ends)

    def ca_certificate(self) -> str:
        """Return the root certificate to trust (PEM)."""
        return self._root_pem

    def ca_chain(self) -> str:
        """Return the issuing CA's certificate, then the root's (PEM)."""
        return self._above_pem + self._root_pem

    async def crl(self) -> bytes:
        """Return the issuing CA's CRL (DER), with every revocation committed before this call."""
        return await self._crl.der()


@lru_cache(maxsize=256)
def _subject(service: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service)])

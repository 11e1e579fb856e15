"""The certificate authority: issues to services, keeps the inventory, revokes, serves the CRL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from tradewarden.abreast import abreast
from tradewarden.access import listing
from tradewarden.access.principal import OWN_NAME, Kind, Principal, service_name
from tradewarden.crypto.keyfile import private_directory
from tradewarden.errors import ConfigurationError, InvalidInputError, NotFoundError
from tradewarden.keys.purpose import Purpose
from tradewarden.pki import inventory, renewal
from tradewarden.pki.allowance import Allowance, NoRegister
from tradewarden.pki.cas.custody import Custody
from tradewarden.pki.cas.files import CaFiles
from tradewarden.pki.cas.founding import Foundation
from tradewarden.pki.cas.hardware import TokenKeys
from tradewarden.pki.cas.keys import CaKeys, FileKeys
from tradewarden.pki.cas.making import CaMaker
from tradewarden.pki.cas.rotating import Rotation
from tradewarden.pki.cas.succession import Revisions, Succession
from tradewarden.pki.certificate.issuer import Issuer
from tradewarden.pki.certificate.names import Names, names_of, trust_domain
from tradewarden.pki.certificate.pem import private_key_pem
from tradewarden.pki.certificate.profiles import SERVER
from tradewarden.pki.certificate.request import requested_key
from tradewarden.pki.certifying import Certifier, Wanted
from tradewarden.pki.counting import Count
from tradewarden.pki.credentials import Credentials, InventoryItem, InventoryPage, State
from tradewarden.pki.published import Published
from tradewarden.pki.registration import RegistrationAuthority
from tradewarden.pki.revocation.revocation import Revocation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.crypto.keyset import Sealer
    from tradewarden.keys.port import Keys
    from tradewarden.pki.allowance import NameRegister
    from tradewarden.pki.certificate.algorithm import PublicKey
    from tradewarden.pki.certificate.profiles import Profile
    from tradewarden.pki.credentials import IssueCredentials, RenewCredentials, RevokeCertificate
    from tradewarden.pki.invitation import Invitation
    from tradewarden.pki.policy import Policy
    from tradewarden.pki.store import CertificateRow, PkiStore, Tally

ISSUE, READ, REVOKE = "credentials:issue", "credentials:read", "credentials:revoke"
_HOUR = 3600
_CURVE = ec.SECP256R1()


class Authority:
    """The PKI room. Made by `Authority.open`; its methods take a grant, a command, and the audit entry."""

    def __init__(  # noqa: PLR0913, PLR0917  (what `open` found; nobody else calls it)
        self,
        store: PkiStore,
        sealer: Sealer,
        directory: Path,
        policy: Policy,
        cas: Succession,
        clock: Clock,
        randomness: Randomness,
        register: NameRegister,
    ) -> None:
        self._store = store
        self._allowance = Allowance(register, policy.own_names)
        self._sealer = sealer
        self._policy = policy
        self._clock = clock
        self.cas = cas
        self.revocation = Revocation(store, sealer, cas, clock, randomness, policy.crl_hours, policy.public_url)
        cas.rotated = self.revocation.after_rotation
        self._published = Published(directory / "credentials")
        self._count = Count(store, cas, clock)
        self._certifier = Certifier(store, sealer, cas, self._count, clock, randomness)
        self.registration = RegistrationAuthority(self, self._certifier, self._allowance, policy)

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
        register: NameRegister | None = None,
        ca_keys: CaKeys | None = None,
    ) -> Self:
        """Make the authority on the first start, load it on every other.

        `directory` is the data directory, `register` tells which names belong to which service, `entry` is the audit
        entry that a first start commits with its rows. Raises
        `ConfigurationError` naming a file that is missing, damaged or foreign, or a CA brought along that is refused.
        """
        try:
            trust_domain(policy.trust_domain)
        except InvalidInputError as error:
            raise ConfigurationError(f"TRADEWARDEN_TRUST_DOMAIN: {error.detail}") from error
        sealer = keys.sealer(Purpose.CA)
        files = CaFiles(directory, keys.derive(Purpose.CA, "key-file").hex().encode())
        made_in = TokenKeys(policy.ca_keys, policy.access) if policy.ca_keys else FileKeys(files)
        custody = Custody(store, sealer, files, ca_keys or made_in, policy)
        now = clock.now()
        maker = CaMaker(custody.keys, policy.algorithm, now, randomness)
        known = await Foundation(custody, maker, now).lay(first_start=first_start, entry=entry)
        await asyncio.to_thread(private_directory, directory / "credentials")
        cas = Succession(known, custody, Rotation(custody, clock, randomness), clock)
        made = cls(store, sealer, directory, policy, cas, clock, randomness, register or NoRegister())
        if first_start:
            await made.revocation.renew_roots()
            await made.revocation.announce()
        return made

    async def close(self) -> None:
        """Write the certificate files that still wait, and end a rotation under way."""
        await self.cas.close()
        await self._published.close()

    async def follow(self, revisions: Revisions) -> None:
        """Take over what another process changed about the CAs; of no cost while their revision stands."""
        await self.cas.follow(revisions)

    # -- issuing -------------------------------------------------------------------------------

    async def issue(
        self, grant: Grant, command: IssueCredentials, entry: Entry, invited: Invitation | None = None
    ) -> Credentials:
        """Issue a certificate to a service, for a new P-256 key or for that of a CSR.

        An invitation is for the registration that it was given to, and spent last of all. Raises
        `PermissionDeniedError`, `NameRefusedError` for a name that is not the service's own, `InvalidInputError` naming
        what is refused, `UnavailableError` when the CA itself is not valid now.
        """
        grant.require(ISSUE, command.service_name)
        service = service_name(command.service_name)
        names = names_of(self._policy.trust_domain, service, command.dns_names, command.ip_addresses)
        profile = self._policy.profile(command.profile)
        seconds = self._policy.seconds(command.ttl_hours, profile)
        public, private_key = await self._key(command.csr, service, profile, names)
        vouched = grant.principal != Principal(Kind.SERVICE, service)
        by, expected = (grant, None) if invited is None else (None, invited.incarnation)
        incarnation = await self._allowance.require(service, names, vouched=vouched, by=by, expected=expected)
        if invited is not None:
            await invited.spend()
        wanted = Wanted(service, profile, names, public, seconds, incarnation=incarnation)
        credentials = self._certifier.credentials(await self._certifier.certify(grant, wanted, entry), private_key)
        self._published.offer(credentials)
        return credentials

    async def renew(self, grant: Grant, command: RenewCredentials, entry: Entry) -> Credentials:
        """Replace a certificate by one of the same names and profile (see `pki.renewal`); the old one stays valid.

        Only an operator may leave out the CSR. Raises as `issue` does, `AuthenticationError` for a proof that is not
        accepted, `NotFoundError`, `ConflictError` for a revoked one.
        """
        claim = renewal.claimed(grant, command)
        entry.resource = claim.serial
        row = await self._store.find(claim.serial)
        if row is not None:
            entry.resource = f"{self._sealer.check(row).service_name}/{row.serial}"
        now, grace = self._clock.now(), self._policy.renewal_grace_hours * _HOUR
        grant, row = renewal.permitted(grant, command, claim, row, now, grace)
        itself = grant.principal == Principal(Kind.SERVICE, row.service_name)
        if itself:
            entry.user = str(grant.principal)
            entry.method = grant.credential.method if grant.credential else entry.method
        profile = renewal.profile_of(row)
        names = renewal.names_in(row, self._policy.trust_domain)
        seconds = renewal.seconds_of(row, command.ttl_hours, self._policy.seconds(None, profile), operator=not itself)
        public, private_key = await self._key(command.csr, row.service_name, profile, names, needed=itself)
        by = None if itself else grant
        incarnation = await self._allowance.require(row.service_name, names, vouched=True, by=by)
        if itself:
            incarnation = renewal.kept(row, incarnation, proof=command.proof is not None)
        wanted = Wanted(row.service_name, profile, names, public, seconds, incarnation=incarnation)
        certified = await self._certifier.certify(grant, wanted, entry)
        if command.proof is not None:
            found = await self._store.find(row.serial)
            renewal.require_standing(
                found and self._sealer.check(found)
            )  # revoked meanwhile: nobody gets what was made
        credentials = self._certifier.credentials(certified, private_key)
        self._published.offer(credentials)
        return credentials

    async def require_names(
        self, grant: Grant, service: str, dns_names: Sequence[str], ip_addresses: Sequence[str]
    ) -> None:
        """Raise what `issue` would, asked by the same caller, for a name that the service may not have."""
        names = names_of(self._policy.trust_domain, service_name(service), dns_names, ip_addresses)
        await self._allowance.require(service, names, vouched=grant.principal != Principal(Kind.SERVICE, service))

    @staticmethod
    async def _key(
        csr: str | None, service: str, profile: Profile, names: Names, *, needed: bool = False
    ) -> tuple[PublicKey, str | None]:
        """Return the public key of a CSR, or of a new P-256 key together with its private one (PEM)."""
        await abreast()
        if csr is not None:
            public, private = requested_key(csr, service, profile, names), None
        elif needed:
            raise InvalidInputError("csr is needed: the new private key stays with the service")
        else:
            key = ec.generate_private_key(_CURVE)
            public, private = key.public_key(), private_key_pem(key)
        await abreast()
        return public, private

    async def server_certificate(
        self, grant: Grant, dns_names: Sequence[str], ip_addresses: Sequence[str], entry: Entry
    ) -> Credentials:
        """Issue a certificate for our own TLS listener; `certificate_chain` and `private_key` are what it loads."""
        grant.require(ISSUE, OWN_NAME)
        names = names_of(self._policy.trust_domain, OWN_NAME, dns_names, ip_addresses)
        key = ec.generate_private_key(_CURVE)
        wanted = Wanted(OWN_NAME, SERVER, names, key.public_key(), self._policy.seconds(None, SERVER))
        return self._certifier.credentials(await self._certifier.certify(grant, wanted, entry), private_key_pem(key))

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

        With `state` a page can hold fewer than `limit` and still have a `next`: a CA that was revoked changes what
        its certificates are.
        """
        grant.require(READ, grant.resource)
        now = self._clock.now()
        query = inventory.query(state, expiring_before, after, limit, now)
        rows, last = await listing.page(
            listing.names(grant, service),
            lambda name: self._store.page(replace(query, service_name=name)),
            inventory.order,
            limit,
        )
        items = (inventory.item(self.cas.judged(self._sealer.check(row)), now) for row in rows)
        shown = tuple(item for item in items if state in (None, item.state))
        return InventoryPage(shown, "" if last is None else inventory.cursor(last))

    async def get(self, grant: Grant, serial: str) -> InventoryItem:
        """Return one certificate with its PEM; raises `NotFoundError`."""
        grant.require(READ, grant.resource)
        row = await self._store.find(inventory.serial_of(serial))
        if row is None:
            raise NotFoundError("Certificate not found")
        grant.require(READ, row.service_name)
        return inventory.item(self.cas.judged(self._sealer.check(row)), self._clock.now(), pem=True)

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
        self._count.forget()
        return inventory.item(row, now)

    async def held(self, serial: str) -> CertificateRow | None:
        """Return the row of a certificate that we issued, revoked with its CA; None for any other number."""
        row = await self._store.find(inventory.serial_of(serial))
        return None if row is None else self.cas.judged(self._sealer.check(row))

    async def is_revoked(self, serial: str) -> bool:
        """Tell whether a certificate counts for nothing any more, as of now, in every process; one look-up.

        A serial number that we never issued counts as revoked, and so does all that a revoked CA issued. Raises
        `IntegrityError` for a forged row.
        """
        row = await self.held(serial)
        return row is None or row.revocation > 0

    async def counts(self) -> Tally:
        """Return how many certificates are valid and when the first ends; at most five seconds old."""
        return await self._count.current()

    # -- what anyone may have ------------------------------------------------------------------

    @property
    def ca_expires_at(self) -> float:
        """When the issuing CA ends, seconds since the epoch; nothing is issued from then on."""
        return float(self.cas.known.issuing.ends)

    def ca_certificate(self) -> str:
        """Return the roots to trust (PEM), the active one first; two while the root is being changed."""
        return self.cas.known.bundle

    def ca_chain(self) -> str:
        """Return what stands above a new certificate, then the roots (PEM)."""
        return self.cas.known.above + self.cas.known.bundle

    @property
    def root_fingerprint(self) -> str:
        """The SHA-256 (hex) of the active root's certificate."""
        return self.cas.known.root.fingerprint

    def trusted_roots(self) -> tuple[bytes, ...]:
        """Return the roots that a peer's chain may end in (DER), the active one first."""
        return tuple(ca.row.certificate for ca in self.cas.known.trusted)

    def issuer_of(self, fingerprint: str) -> Issuer | None:
        """Return a CA of ours ready to sign; None when it is unknown or its key is not here (see `Succession`)."""
        return self.cas.issuer_of(fingerprint)

    async def crl(self) -> bytes:
        """Return the issuing CA's CRL (DER), with every revocation committed before this call."""
        return (await self.revocation.crl()).der

"""Takes orders for certificates and hands them to the certifier: a registration authority (RFC 5280 section 3).

What it serves has proven its names by itself, as ACME does (RFC 8555), and orders a certificate in steps: a serial
number first, then a request that fits, then the certificate of that number, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tradewarden.pki.certificate.request import ordered_key
from tradewarden.pki.certifying import Wanted
from tradewarden.pki.credentials import Reason, RevokeCertificate
from tradewarden.pki.ordered import LONGEST_SECONDS, bare_names, common_name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.pki.allowance import Allowance
    from tradewarden.pki.certifying import Certifier
    from tradewarden.pki.ordered import Certified, OrderedCertificate
    from tradewarden.pki.policy import Policy
    from tradewarden.pki.store import CertificateRow

ISSUE = "credentials:issue"


class Inventory(Protocol):
    """What was issued (`tradewarden.pki.authority.Authority`)."""

    async def held(self, serial: str) -> CertificateRow | None:
        """Return the row of a certificate; None for a number that we never issued."""
        ...

    async def revoke(self, grant: Grant, command: RevokeCertificate, entry: Entry) -> object:
        """Revoke a certificate for good."""
        ...


class RegistrationAuthority:
    """What may be ordered, and what came of it."""

    def __init__(self, inventory: Inventory, certifier: Certifier, allowance: Allowance, policy: Policy) -> None:
        self._inventory = inventory
        self._certifier = certifier
        self._allowance = allowance
        self._policy = policy

    def new_serial(self) -> str:
        """Return a serial number for an order, which its certificate will have."""
        return self._certifier.new_serial()

    def require_profile(self, name: str) -> None:
        """Raise `InvalidInputError` when services are not given certificates of this kind."""
        self._policy.profile(name)

    async def require_orderable(
        self, service: str, dns_names: Sequence[str], ip_addresses: Sequence[str], *, vouched: bool
    ) -> None:
        """Raise `NameRefusedError` for a name that the service may not have, vouched for by an operator or not."""
        names = bare_names(self._policy.trust_domain, service, dns_names, ip_addresses)
        await self._allowance.require(service, names, vouched=vouched)

    def require_request(self, ordered: OrderedCertificate) -> None:
        """Raise `InvalidInputError` when an order's CSR is weak, or asks for other names than the order."""
        self._wanted(ordered)

    async def issue(
        self, grant: Grant, ordered: OrderedCertificate, entry: Entry, *, vouched: bool, incarnation: str
    ) -> None:
        """Issue exactly what was ordered, to the registration of the service that `incarnation` tells.

        `vouched` as for `require_orderable`. Raises `ConflictError` when the serial number is issued already.
        """
        grant.require(ISSUE, ordered.service_name)
        wanted = self._wanted(ordered)
        await self._allowance.require(wanted.service, wanted.names, vouched=vouched, expected=incarnation)
        await self._certifier.certify(grant, wanted._replace(incarnation=incarnation), entry)

    def _wanted(self, ordered: OrderedCertificate) -> Wanted:
        service, profile = ordered.service_name, self._policy.profile(ordered.profile)
        names = bare_names(self._policy.trust_domain, service, ordered.dns_names, ordered.ip_addresses)
        key = ordered_key(ordered.csr, profile, names)
        seconds = min(self._policy.seconds(None, profile), LONGEST_SECONDS)
        return Wanted(service, profile, names, key, seconds, int(ordered.serial, 16), common_name_of(names))

    async def held(self, serial: str) -> CertificateRow | None:
        """Return the row of a certificate that we issued, revoked with its CA; None for any other number."""
        return await self._inventory.held(serial)

    def chain(self, row: Certified) -> str:
        """Return a certificate that we issued, and what is between it and every trusted root (PEM)."""
        return self._certifier.chain(row)

    async def revoke(self, grant: Grant, serial: str, reason: str, entry: Entry) -> None:
        """Revoke a certificate for a reason by its name (RFC 5280 section 5.3.1)."""
        await self._inventory.revoke(grant, RevokeCertificate(serial, Reason(reason)), entry)

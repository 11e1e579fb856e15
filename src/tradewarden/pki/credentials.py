"""What is asked of the authority and what it answers."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tradewarden.access.principal import ServiceName
from tradewarden.pki.limits import Addresses, Csr, Hours, Names, ProfileName, SerialNumber


class Reason(StrEnum):
    """Why a certificate is revoked, by the names of RFC 5280 section 5.3.1.

    `certificateHold` and `removeFromCRL` are missing: a revocation is final here.
    """

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    CA_COMPROMISE = "cACompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    AA_COMPROMISE = "aACompromise"


class State(StrEnum):
    """What a certificate is worth now."""

    ACTIVE = "active"
    REVOKED = "revoked"
    EXPIRED = "expired"


class IssueCredentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Issue a certificate to a service, for a key made here or for that of a CSR (PEM)."""

    service_name: ServiceName
    csr: Csr | None = None
    dns_names: Names = ()
    ip_addresses: Addresses = ()
    ttl_hours: Hours | None = None
    profile: ProfileName = "service"


class RenewCredentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Renew the connection's certificate, that of `serial_number`, or `certificate` (PEM) with a `proof` of its key.

    `proof` is a compact JWS by the old key over `{"csr_sha256", "iat", "aud": "/credentials/renew"}`. Without
    `ttl_hours` the new certificate is valid for as long as the old one was.
    """

    csr: Csr | None = None
    ttl_hours: Hours | None = None
    serial_number: SerialNumber | None = None
    certificate: str | None = None
    proof: str | None = None


class RevokeCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Revoke a certificate for good; the serial number in hex, colons allowed."""

    serial_number: SerialNumber
    reason: Reason = Reason.UNSPECIFIED


class Credentials(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """A new certificate (PEM) and, unless a CSR was sent, its private key (PKCS#8 PEM), which is kept nowhere.

    `certificate_chain` is what a TLS server or client loads: the certificate, then the issuing CA's. `ca_certificate`
    is the root to trust; two while the root is being changed, and then `cross_certificates` are those of each by the
    other: who trusts one knows the other by them. Times are seconds since the epoch, UTC.
    """

    service_name: str
    certificate: str
    private_key: str | None
    ca_certificate: str
    certificate_chain: str
    serial_number: str
    fingerprint_sha256: str
    spiffe_id: str
    issued_at: float
    expires_at: float
    cross_certificates: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.service_name!r}, {self.serial_number})"


class InventoryItem(msgspec.Struct, frozen=True):
    """One certificate of the inventory; never with a private key. `certificate` is PEM, empty in listings.

    `issuer_sha256` is the fingerprint of the issuing CA's certificate.
    """

    serial_number: str
    service_name: str
    profile: str
    state: State
    spiffe_id: str
    fingerprint_sha256: str
    issued_at: float
    expires_at: float
    issued_by: str
    issuer_sha256: str
    revoked_at: float | None
    reason: Reason | None
    certificate: str = ""


class InventoryPage(msgspec.Struct, frozen=True):
    """A piece of a listing, in the order in which the certificates end; `next` is empty at its end."""

    items: tuple[InventoryItem, ...]
    next: str

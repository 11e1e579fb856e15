"""Who may have which certificate renewed, and what the new one is like. Pure.

Three may: the service itself over a connection on which it shows the certificate; whoever holds its private key, by a
proof over any connection (`pki.possession`), for as long as the certificate is good and a grace beyond; and an operator
who may issue to the service. The new certificate has the names and the profile of the old one. A service cannot get
itself a longer term than the operator gave it. The old certificate stays valid until it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tradewarden.access.grant import Credential as Proven
from tradewarden.access.grant import authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import OWN_NAME, Kind, Principal
from tradewarden.errors import (
    AuthenticationError,
    ConflictError,
    InvalidInputError,
    NameRefusedError,
    NotFoundError,
    PermissionDeniedError,
)
from tradewarden.pki import inventory
from tradewarden.pki.certificate.names import Names
from tradewarden.pki.certificate.profiles import ISSUED
from tradewarden.pki.possession import REFUSED, check_possession

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.pki.certificate.profiles import Profile
    from tradewarden.pki.credentials import RenewCredentials
    from tradewarden.pki.store import CertificateRow

RENEW: Final = "credentials:renew"
_ISSUE: Final = "credentials:issue"
_MAX_CERTIFICATE: Final = 16 * 1024
_HOUR: Final = 3600


class Claim(NamedTuple):
    """Which certificate a call is about; `certificate` is the one that came with a proof."""

    serial: str
    certificate: x509.Certificate | None = None


def claimed(grant: Grant, command: RenewCredentials) -> Claim:
    """Return which certificate is meant; raises `InvalidInputError`, or `AuthenticationError` for a stranger."""
    if command.proof is not None or command.certificate is not None:
        if command.proof is None or command.certificate is None or command.serial_number is not None:
            raise InvalidInputError("Give certificate and proof together, and no serial_number with them")
        certificate = _certificate(command.certificate)
        return Claim(inventory.serial_text(certificate.serial_number), certificate)
    if grant.principal.kind is Kind.ANONYMOUS:
        raise AuthenticationError(
            "This call needs a client certificate, an operator's token, or certificate and proof in its body",
            reason="no credentials",
        )
    if command.serial_number is not None:
        return Claim(inventory.serial_of(command.serial_number))
    if grant.credential is None or not grant.credential.serial:
        raise PermissionDeniedError("a renewal without serial_number needs the certificate on the connection")
    return Claim(grant.credential.serial)


def permitted(
    grant: Grant, command: RenewCredentials, claim: Claim, row: CertificateRow | None, now: float, grace: int
) -> tuple[Grant, CertificateRow]:
    """Return the grant under which the certificate of `row` is renewed, and the row; raises what speaks against it.

    `row` is what the inventory has under the serial number; `grace` seconds are how long a proof counts after the end.
    """
    if claim.certificate is not None:
        return _by_proof(grant, command, claim.certificate, row, now, grace)
    if row is None or row.service_name == OWN_NAME:
        raise NotFoundError("Certificate not found")
    name = row.service_name
    grant.require(RENEW, name)
    if _is_itself(grant, row):
        if row.revocation:
            raise PermissionDeniedError("the certificate on the connection is revoked")
    elif not grant.permissions.allows(_ISSUE, name) or grant.principal == Principal(Kind.SERVICE, name):
        raise PermissionDeniedError(f"renewal of another certificate than the connection's needs {_ISSUE}")
    elif row.revocation:
        raise ConflictError("The certificate is revoked and is not renewed; issue a new one")
    return grant, row


def require_standing(row: CertificateRow | None) -> None:
    """Check that the certificate whose key was proven is not itself revoked; that of a compromised CA still counts."""
    if row is None or row.revocation:
        reason = f"proof of possession: {row.serial if row else 'the certificate'} is revoked"
        raise AuthenticationError(REFUSED, reason=reason)


def _is_itself(grant: Grant, row: CertificateRow) -> bool:
    """Tell whether the service that the certificate names asks, over a connection that shows this very certificate."""
    shown = grant.credential
    itself = grant.principal == Principal(Kind.SERVICE, row.service_name)
    return itself and shown is not None and shown.serial == row.serial and shown.peer == row.service_name


def _by_proof(
    grant: Grant,
    command: RenewCredentials,
    shown: x509.Certificate,
    row: CertificateRow | None,
    now: float,
    grace: int,
) -> tuple[Grant, CertificateRow]:
    # 1. It is ours, byte for byte: only then its key means anything.
    if row is None or row.certificate != shown.public_bytes(Encoding.DER) or row.service_name == OWN_NAME:
        raise AuthenticationError(REFUSED, reason="proof of possession: the certificate is not in the inventory")
    # 2. It still counts, or did until a short while ago.
    require_standing(row)
    if now >= row.not_after + grace:
        raise AuthenticationError(REFUSED, reason=f"proof of possession: {row.serial} ended too long ago")
    # 3. The key is held now, and signed for this CSR.
    check_possession(command.proof or "", shown.public_key(), command.csr or "", now)
    # 4. Nobody else asks for it.
    service = Principal(Kind.SERVICE, row.service_name)
    if grant.principal.kind is Kind.SERVICE and grant.principal != service:
        raise PermissionDeniedError("the proof is another service's than the caller's")
    own = PermissionSet((f"{RENEW}:{row.service_name}",))
    return authorize(service, own, RENEW, row.service_name, Proven("certificate_proof", row.service_name)), row


def kept(row: CertificateRow, incarnation: str, *, proof: bool) -> str:
    """Return the registration that a renewed certificate speaks for: the old one's, never another one.

    `incarnation` is that of the registration that stands, empty without any. Raises `AuthenticationError` for a proof,
    else `PermissionDeniedError`, when it is not the certificate's any more: the service was deleted, or registered
    since.
    """
    if row.incarnation == incarnation:
        return incarnation
    reason = f"{row.serial} is of an earlier registration of the name, or of the time before one"
    if proof:
        raise AuthenticationError(REFUSED, reason=f"proof of possession: {reason}")
    raise PermissionDeniedError(reason)


def profile_of(row: CertificateRow) -> Profile:
    """Return the profile of a certificate; raises `InvalidInputError` for one that is not issued to services."""
    profile = ISSUED.get(row.profile)
    if profile is None:
        raise InvalidInputError("This kind of certificate is not renewed; issue a new one")
    return profile


def seconds_of(row: CertificateRow, ttl_hours: int | None, longest: int, *, operator: bool) -> int:
    """Return the new term in seconds: what is asked for, or the old one's; `longest` is the policy's.

    Only an operator lengthens it. Raises `InvalidInputError`.
    """
    before = min(row.not_after - int(row.issued_at), longest)
    most = longest if operator else before
    if ttl_hours is None:
        return before
    hours = max(most // _HOUR, 1)
    if not 1 <= ttl_hours <= hours:
        raise InvalidInputError(f"ttl_hours must be from 1 to {hours}")
    return min(ttl_hours * _HOUR, most)


def names_in(row: CertificateRow, trust_domain: str) -> Names:
    """Return the names of a certificate of ours (DER), to be certified again.

    Raises `NameRefusedError` for one that was issued under another trust domain.
    """
    try:
        found = x509.load_der_x509_certificate(row.certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (ValueError, x509.ExtensionNotFound) as error:
        raise InvalidInputError("The old certificate bears no names; issue a new one") from error
    if row.spiffe_id != f"spiffe://{trust_domain}/{row.service_name}":
        raise NameRefusedError("The old certificate is of another trust domain; enrol again with a join token")
    dns = found.value.get_values_for_type(x509.DNSName)
    return Names(row.spiffe_id, tuple(dns), tuple(found.value.get_values_for_type(x509.IPAddress)))  # type: ignore[arg-type]


def _certificate(pem: str) -> x509.Certificate:
    """Return the first certificate of a PEM text of at most 16 KiB."""
    try:
        if len(pem) <= _MAX_CERTIFICATE:
            return x509.load_pem_x509_certificate(pem.encode())
    except (ValueError, x509.InvalidVersion) as error:
        raise InvalidInputError("certificate is no certificate in PEM") from error
    raise InvalidInputError(f"certificate is larger than {_MAX_CERTIFICATE} bytes")

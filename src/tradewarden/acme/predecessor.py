"""The certificate that an order replaces, as renewal information names it (RFC 9773 sections 4.1 and 5)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cryptography import x509

from tradewarden.acme.problem import AcmeError, Identifier, Kind
from tradewarden.crypto.base64url import base64url, unbase64url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.acme.ports import CertificateAuthority, Held

_CERT_ID: Final = re.compile(r"([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{1,64})", re.ASCII)


async def certificate_named(authority: CertificateAuthority, cert_id: str) -> Held | None:
    """Return the certificate that section 4.1 so names: its issuer's key identifier, a dot, its serial number."""
    match = _CERT_ID.fullmatch(cert_id)
    raw = unbase64url(match[2]) if match else None
    serial = f"{int.from_bytes(raw or b''):040x}"
    held = await authority.held(serial) if raw and len(serial) == 40 else None  # noqa: PLR2004
    return held if held is not None and match is not None and match[1] == _issuer_of(held) else None


async def predecessor(
    authority: CertificateAuthority, cert_id: str | None, service: str, identifiers: Sequence[Identifier]
) -> str:
    """Return the serial number of the certificate that a service's order for these names may replace (section 5).

    Empty when none is named. The service stands for the account: its accounts have its certificates in common, as when
    they revoke. Raises `AcmeError`.
    """
    if cert_id is None:
        return ""
    held = await certificate_named(authority, cert_id)
    if held is None or held.service_name != service:
        raise AcmeError(Kind.MALFORMED, "'replaces' names no certificate of this account's service")
    if _names_of(held).isdisjoint(identifiers):
        raise AcmeError(Kind.MALFORMED, "'replaces' names a certificate that shares no name with this order")
    return held.serial


def _issuer_of(held: Held) -> str:
    """Return the key identifier of a certificate's issuer, as it stands in the certificate."""
    found = x509.load_der_x509_certificate(held.certificate).extensions
    return base64url(found.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b"")


def _names_of(held: Held) -> set[Identifier]:
    found = x509.load_der_x509_certificate(held.certificate).extensions
    names = found.get_extension_for_class(x509.SubjectAlternativeName).value
    dns = {Identifier("dns", each) for each in names.get_values_for_type(x509.DNSName)}
    return dns | {Identifier("ip", str(each)) for each in names.get_values_for_type(x509.IPAddress)}

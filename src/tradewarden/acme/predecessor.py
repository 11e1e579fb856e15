"""The certificate that an order replaces, as renewal information names it (RFC 9773 sections 4.1 and 5)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cryptography import x509

from tradewarden.acme.problem import AcmeError, Identifier, Kind
from tradewarden.crypto.base64url import base64url, unbase64url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.acme.ports import Held, RegistrationAuthority

_SERIAL_BYTES: Final = 20
"""Longest serial number (RFC 5280 section 4.1.2.2)."""
_CERT_ID: Final = re.compile(r"([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{1,64})", re.ASCII)


async def certificate_named(authority: RegistrationAuthority, cert_id: str) -> Held | None:
    """Return the certificate that section 4.1 so names: its issuer's key identifier, a dot, its serial number."""
    match = _CERT_ID.fullmatch(cert_id)
    serial = _serial_of(unbase64url(match[2]) or b"") if match else ""
    held = await authority.held(serial) if serial else None
    return held if held is not None and match is not None and match[1] == _issuer_of(held) else None


def _serial_of(content: bytes) -> str:
    """Return the serial number, 40 hex digits, that the content of a DER INTEGER has; empty when it can be none.

    A number has one content (X.690 section 8.3.2: no octet more than its sign needs), so a certificate has one name.
    """
    number = int.from_bytes(content, signed=True)
    exact = number > 0 and content == number.to_bytes(number.bit_length() // 8 + 1)
    return f"{number:040x}" if exact and len(content) <= _SERIAL_BYTES else ""


async def predecessor(
    authority: RegistrationAuthority, cert_id: str | None, service: str, identifiers: Sequence[Identifier]
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

"""Revocation lists as they are read, told apart and asked.

What a list names as revoked stays so, however old the list is: to ask one here, its time need not be now. Whether lists
that are there suffice is OpenSSL's to say, in the contexts for peers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cryptography import x509

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_BLOCK: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----\n?", re.DOTALL)
Lists = dict[tuple[x509.Name, bytes], x509.CertificateRevocationList]
"""By whose they are: the issuer's name and key identifier."""


def read_lists(pem: bytes) -> Lists:
    """Return lists by their issuer, the newest of each; raises `ValueError`."""
    found: Lists = {}
    for block in _BLOCK.findall(pem):
        crl = x509.load_pem_x509_crl(block)
        whose = (crl.issuer, _key_identifier(crl))
        found[whose] = newer(crl, found.get(whose))
    return found


def newer(
    fetched: x509.CertificateRevocationList, held: x509.CertificateRevocationList | None
) -> x509.CertificateRevocationList:
    """Return the newer of two lists of one issuer."""
    return fetched if held is None or _age(fetched) > _age(held) else held


def revokes(
    lists: Iterable[x509.CertificateRevocationList], certificate: x509.Certificate, issuer: x509.Certificate
) -> bool:
    """Tell whether one of the lists names a certificate, and was signed by the CA that issued it."""
    named = [
        each
        for each in lists
        if each.issuer == certificate.issuer
        and each.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    ]
    return any(_signed(each, issuer) for each in named)


def _signed(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _key_identifier(crl: x509.CertificateRevocationList) -> bytes:
    try:
        return crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    except x509.ExtensionNotFound:
        return b""


def _age(found: x509.CertificateRevocationList) -> tuple[datetime, int]:
    """Return the time of a list, and its number for two of one second (RFC 5280 section 5.2.3)."""
    try:
        number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (ValueError, x509.ExtensionNotFound):
        number = 0
    return found.last_update_utc, number

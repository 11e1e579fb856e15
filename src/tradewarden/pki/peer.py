"""Whom a client certificate names: the service in its SPIFFE ID (X.509-SVID). Pure."""

from __future__ import annotations

from hashlib import sha256
from math import inf
from typing import TYPE_CHECKING

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from tradewarden.access.principal import OWN_NAME, service_name
from tradewarden.crypto.base64url import base64url
from tradewarden.errors import InvalidInputError
from tradewarden.pki.inventory import serial_text

if TYPE_CHECKING:
    from collections.abc import Callable

_UNREADABLE = (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion)


class PeerCertificate(msgspec.Struct, frozen=True):
    """The client certificate of a connection.

    `der` is the certificate, `serial` 40 hex digits as in the inventory, `thumbprint` its `x5t#S256` (RFC 8705),
    `service_name` what its SPIFFE ID names, `not_after` in seconds since the epoch, `subject` as RFC 4514 writes it.
    """

    der: bytes
    serial: str
    thumbprint: str
    service_name: str
    not_after: float = inf
    subject: str = ""


def identifier(trust_domain: str) -> Callable[[bytes], PeerCertificate]:
    """Return what knows the services of a trust domain by their certificates (DER).

    It raises `InvalidInputError` unless there is exactly one URI among the names, `spiffe://<trust domain>/<service>`
    (X.509-SVID sections 2 and 4.1).
    """
    prefix = f"spiffe://{trust_domain}/"

    def identify(der: bytes) -> PeerCertificate:
        try:
            certificate = x509.load_der_x509_certificate(der)
            uri = _only_uri(certificate)
            ends, subject = certificate.not_valid_after_utc.timestamp(), certificate.subject.rfc4514_string()
        except _UNREADABLE as error:
            raise InvalidInputError("the certificate cannot be read") from error
        name = uri.removeprefix(prefix)
        if name in (uri, OWN_NAME) or not _is_service(name):
            raise InvalidInputError("the SPIFFE ID names no service of our trust domain")
        return PeerCertificate(der, serial_text(certificate.serial_number), thumbprint(der), name, ends, subject)

    return identify


def thumbprint(der: bytes) -> str:
    """Return the `x5t#S256` of a certificate: base64url of its SHA-256, without padding (RFC 8705 section 3.1)."""
    return base64url(sha256(der).digest())


def shown_by(der: bytes) -> tuple[str, str]:
    """Return serial number and subject of a certificate that anybody may have made; empty when it cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        return serial_text(certificate.serial_number), certificate.subject.rfc4514_string()
    except _UNREADABLE:
        return "", ""


def _only_uri(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise InvalidInputError("no SPIFFE ID in the certificate") from None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise InvalidInputError(f"{len(uris)} URIs in the certificate where one SPIFFE ID must stand")
    return uris[0]


def _is_service(name: str) -> bool:
    try:
        service_name(name)
    except InvalidInputError:
        return False
    return True

"""OCSP as bytes (RFC 6960 section 4, RFC 9654): a request read strictly, an answer written.

The library's own types hold one certificate a request; these hold several.
"""

from __future__ import annotations

from hashlib import sha1, sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from tradewarden.pki.certificate.der import (
    BIT_STRING,
    ENUMERATED,
    INTEGER,
    OCTET_STRING,
    OID,
    SEQUENCE,
    Reader,
    generalized,
    tlv,
)
from tradewarden.pki.certificate.encoding import key_bits
from tradewarden.pki.certificate.issuer import public_der
from tradewarden.pki.revocation.crl_encoding import REASON_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from tradewarden.pki.credentials import Reason

MAX_REQUEST_BYTES: Final = 4096
MAX_CERTIFICATES: Final = 16
"""Most certificates that one request may ask about."""
_MAX_NONCE_BYTES: Final = 128
_MAX_SERIAL_BYTES: Final = 32
_BOOLEAN: Final = 0x01
_TRUE: Final = b"\xff"
_NONCE: Final = bytes.fromhex("2b0601050507300102")
"""id-pkix-ocsp-nonce, 1.3.6.1.5.5.7.48.1.2."""
_BASIC: Final = tlv(OID, bytes.fromhex("2b0601050507300101"))
"""id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1."""
_EXPLICIT: Final = (0xA0, 0xA1, 0xA2)
_GOOD: Final = b"\x80\x00"
_UNKNOWN: Final = b"\x82\x00"
_REVOKED: Final = 0xA1
_SUCCESSFUL: Final = tlv(ENUMERATED, b"\0")


class CertId(NamedTuple):
    """Which certificate is asked about: the issuer's hashes under an algorithm (OID, DER content), and its serial."""

    der: bytes
    algorithm: bytes
    name_hash: bytes
    key_hash: bytes
    serial: int


class Request(NamedTuple):
    """What is asked; `nonce` is the extension as it came, to be sent back, or empty."""

    certificates: tuple[CertId, ...]
    nonce: bytes


class Revoked(NamedTuple):
    """Since when (seconds since the epoch) and why a certificate is revoked."""

    at: int
    reason: Reason


class Single(NamedTuple):
    """The answer about one certificate: `revoked` None with `known` is good, without it unknown."""

    certificate: CertId
    known: bool
    revoked: Revoked | None = None

    @property
    def status(self) -> str:
        """The name of the status (RFC 6960 section 2.2)."""
        return "revoked" if self.revoked else "good" if self.known else "unknown"


_SHA1: Final = bytes.fromhex("2b0e03021a")
_SHA256: Final = bytes.fromhex("608648016503040201")


def issuer_hashes(issuer: x509.Certificate) -> list[tuple[bytes, bytes, bytes]]:
    """Return under what a request may name an issuer: (algorithm, hash of its name, hash of its key's bits).

    SHA-1 and SHA-256, as identifiers and nothing else.
    """
    name, bits = issuer.subject.public_bytes(), key_bits(public_der(issuer.public_key()))  # type: ignore[arg-type]
    return [
        (_SHA1, _sha1(name), _sha1(bits)),
        (_SHA256, sha256(name).digest(), sha256(bits).digest()),
    ]


def key_hash(key: CertificatePublicKeyTypes) -> bytes:
    """Return the SHA-1 of a public key's bits, by which an answer names its signer (RFC 6960 section 4.2.1)."""
    return _sha1(key_bits(public_der(key)))  # type: ignore[arg-type]


def _sha1(data: bytes) -> bytes:
    return sha1(data, usedforsecurity=False).digest()


# -- the request -----------------------------------------------------------------------------------


def read_request(der: bytes) -> Request:
    """Read an OCSPRequest; raises `ValueError` for whatever is not one, or asks for more than we take.

    A signature of the caller is not looked at: everybody may ask (RFC 6960 section 4.1.2).
    """
    if len(der) > MAX_REQUEST_BYTES:
        raise ValueError("the request is too long")
    outer = Reader(der)
    request = outer.inside(SEQUENCE)
    outer.end()
    tbs = request.inside(SEQUENCE)
    if request.tag == _EXPLICIT[0]:
        request.value(_EXPLICIT[0])
    request.end()
    if tbs.tag == _EXPLICIT[0] and tbs.inside(_EXPLICIT[0]).value(INTEGER) != b"\0":
        raise ValueError("there is one version of requests only")
    if tbs.tag == _EXPLICIT[1]:
        tbs.value(_EXPLICIT[1])
    certificates = _certificates(tbs.inside(SEQUENCE))
    nonce = _extensions(tbs.inside(_EXPLICIT[2])) if tbs.tag == _EXPLICIT[2] else b""
    tbs.end()
    return Request(certificates, nonce)


def _certificates(requests: Reader) -> tuple[CertId, ...]:
    found: list[CertId] = []
    while requests.tag >= 0:
        if len(found) == MAX_CERTIFICATES:
            raise ValueError("too many certificates are asked about")
        request = requests.inside(SEQUENCE)
        found.append(_cert_id(request.whole(SEQUENCE)))
        if request.tag == _EXPLICIT[0]:
            _extensions(request.inside(_EXPLICIT[0]))
        request.end()
    if not found:
        raise ValueError("no certificate is asked about")
    return tuple(found)


def _cert_id(der: bytes) -> CertId:
    parts = Reader(der).inside(SEQUENCE)
    algorithm = parts.inside(SEQUENCE)
    oid = algorithm.value(OID)
    if algorithm.tag >= 0 and algorithm.whole(algorithm.tag) != b"\x05\x00":
        raise ValueError("a hash takes no parameters")
    algorithm.end()
    name, key, serial = parts.value(OCTET_STRING), parts.value(OCTET_STRING), parts.value(INTEGER)
    parts.end()
    if not 1 <= len(serial) <= _MAX_SERIAL_BYTES:
        raise ValueError("a serial number has 1 to 32 octets here")
    return CertId(der, oid, name, key, int.from_bytes(serial, "big", signed=True))


def _extensions(outer: Reader) -> bytes:
    """Return the nonce's extension, or nothing; a critical one that we do not know is refused (section 4.4)."""
    extensions, nonce = outer.inside(SEQUENCE), b""
    outer.end()
    while extensions.tag >= 0:
        whole = extensions.whole(SEQUENCE)
        parts = Reader(whole).inside(SEQUENCE)
        oid = parts.value(OID)
        critical = parts.tag == _BOOLEAN and parts.value(_BOOLEAN) == _TRUE
        value = parts.value(OCTET_STRING)
        parts.end()
        if oid == _NONCE:
            if nonce:
                raise ValueError("there are two nonces")
            nonce = _nonce(value)
        elif critical:
            raise ValueError("a critical extension is not known here")
    return nonce


def _nonce(value: bytes) -> bytes:
    """Return the extension that sends a nonce back (RFC 9654 section 2.1: 1 to 128 octets)."""
    inner = Reader(value)
    octets = inner.value(OCTET_STRING)
    inner.end()
    if not 1 <= len(octets) <= _MAX_NONCE_BYTES:
        raise ValueError("a nonce has 1 to 128 octets")
    return tlv(SEQUENCE, tlv(OID, _NONCE), tlv(OCTET_STRING, value))


# -- the answer ------------------------------------------------------------------------------------


def response_data(responder: bytes, now: int, until: int, singles: Sequence[Single], nonce: bytes) -> bytes:
    """Return what is signed (ResponseData); `responder` is the SHA-1 of the signing key's bits, times are seconds."""
    extensions = tlv(_EXPLICIT[1], tlv(SEQUENCE, nonce)) if nonce else b""
    return tlv(
        SEQUENCE,
        tlv(_EXPLICIT[2], tlv(OCTET_STRING, responder)),
        generalized(now),
        tlv(SEQUENCE, *[_single(each, now, until) for each in singles]),
        extensions,
    )


def _single(single: Single, now: int, until: int) -> bytes:
    status = _GOOD if single.known else _UNKNOWN
    if single.revoked:
        number = REASON_NUMBERS[single.revoked.reason]
        reason = tlv(_EXPLICIT[0], tlv(ENUMERATED, bytes((number,)))) if number else b""
        status = tlv(_REVOKED, generalized(single.revoked.at), reason)
    return tlv(SEQUENCE, single.certificate.der, status, generalized(now), tlv(_EXPLICIT[0], generalized(until)))


def response(data: bytes, algorithm: bytes, signature: bytes, signer: bytes) -> bytes:
    """Return a successful OCSPResponse; `signer` is the certificate of the key that signed, everything is DER."""
    certificates = tlv(_EXPLICIT[0], tlv(SEQUENCE, signer))
    basic = tlv(SEQUENCE, data, algorithm, tlv(BIT_STRING, b"\0", signature), certificates)
    return tlv(SEQUENCE, _SUCCESSFUL, tlv(_EXPLICIT[0], tlv(SEQUENCE, _BASIC, tlv(OCTET_STRING, basic))))


def refusal(status: int) -> bytes:
    """Return an OCSPResponse that answers nothing; `status` as in RFC 6960 section 4.2.1."""
    return tlv(SEQUENCE, tlv(ENUMERATED, bytes((status,))))

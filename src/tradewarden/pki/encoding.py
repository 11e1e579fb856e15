"""What a certificate's bytes must be (RFC 5280 section 4.1, in DER: ITU-T X.690), written from its order.

For nothing but the comparison after signing: these bytes are never handed out. So a mistake here refuses a certificate
and cannot make a wrong one, and a mistake of the builder cannot hide behind a parser that shares it.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tradewarden.pki.issuer import Order
    from tradewarden.pki.profiles import Extension

_INTEGER, _BITS, _OCTETS, _SEQUENCE = 0x02, 0x03, 0x04, 0x30
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_EXTENSIONS: Final = 0xA3
_VERSION_3: Final = b"\xa0\x03\x02\x01\x02"
_CRITICAL: Final = b"\x01\x01\xff"
_GENERALIZED_FROM: Final = 2050
_LONG: Final = 0x80
"""From this size on a length takes more than one byte."""


def certificate_der(tbs: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """Return a whole certificate: what was signed, the algorithm's identifier once more, the signature."""
    return _tlv(_SEQUENCE, tbs, algorithm, _tlv(_BITS, b"\x00", signature))


def tbs_der(order: Order, issuer: bytes, algorithm: bytes, extensions: bytes) -> bytes:
    """Return the part that is signed, for an order; the other arguments are DER."""
    return _tlv(
        _SEQUENCE,
        _VERSION_3,
        _tlv(_INTEGER, order.serial.to_bytes(order.serial.bit_length() // 8 + 1, "big")),
        algorithm,
        issuer,
        _tlv(_SEQUENCE, _time(order.not_before), _time(order.not_after)),
        order.subject.public_bytes(),
        order.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        _tlv(_EXTENSIONS, _tlv(_SEQUENCE, extensions)),
    )


def extensions_der(extensions: Iterable[Extension]) -> bytes:
    """Return extensions one after the other."""
    return b"".join(map(_extension, extensions))


def _extension(extension: Extension) -> bytes:
    critical = _CRITICAL if extension.critical else b""
    return _tlv(_SEQUENCE, _oid(extension.oid), critical, _tlv(_OCTETS, extension.value.public_bytes()))


@lru_cache(maxsize=32)
def _oid(oid: x509.ObjectIdentifier) -> bytes:
    """Return an OID: an extended key usage is the sequence of its OIDs, so of this one behind two bytes of header."""
    return x509.ExtendedKeyUsage([oid]).public_bytes()[2:]


@lru_cache(maxsize=256)
def _time(seconds: int) -> bytes:
    """Return a time; from 2050 on with four digits for the year (RFC 5280 section 4.1.2.5)."""
    moment = time.gmtime(seconds)
    if moment.tm_year < _GENERALIZED_FROM:
        return _tlv(_UTC_TIME, time.strftime("%y%m%d%H%M%SZ", moment).encode())
    return _tlv(_GENERALIZED_TIME, time.strftime("%Y%m%d%H%M%SZ", moment).encode())


def _tlv(tag: int, *parts: bytes) -> bytes:
    """Return tag, length and value (X.690 section 8.1)."""
    value = b"".join(parts)
    size = len(value)
    if size < _LONG:
        return bytes((tag, size)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG | len(length))) + length + value

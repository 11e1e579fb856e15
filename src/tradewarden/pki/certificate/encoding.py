"""A certificate in DER (ITU-T X.690), put together from its order (RFC 5280 section 4.1).

Every value that has a structure of its own (names, keys, what an extension holds) comes encoded from the library; here
are only the frames around them. `pki.certificate.issuer` has the library write the same bytes once for every layout,
and read back every certificate.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha1
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509

from tradewarden.pki.certificate.der import BIT_STRING, OCTET_STRING, SEQUENCE, Reader, integer, moment, tlv

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tradewarden.pki.certificate.issuer import Order
    from tradewarden.pki.certificate.profiles import Extension

_EXTENSIONS: Final = 0xA3
_VERSION_3: Final = b"\xa0\x03\x02\x01\x02"
_CRITICAL: Final = b"\x01\x01\xff"
_KEY_IDENTIFIER: Final = bytes.fromhex("301d0603551d0e04160414")
"""The extension subject key identifier (RFC 5280 section 4.2.1.2), up to its twenty bytes."""


def certificate_der(tbs: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """Return a whole certificate: what was signed, the algorithm's identifier once more, the signature."""
    return tlv(SEQUENCE, tbs, algorithm, tlv(BIT_STRING, b"\x00", signature))


class Fixed(NamedTuple):
    """What is the same in all certificates of one layout, as DER: issuer and subject names, algorithm, extensions."""

    issuer: bytes
    subject: bytes
    algorithm: bytes
    before: bytes
    """The extensions before the key's identifier."""
    after: bytes
    """Those behind it."""


def tbs_der(fixed: Fixed, order: Order, key: bytes, places: bytes = b"") -> bytes:
    """Return the part that is signed, for an order; `key` is its public key, `places` more extensions (DER)."""
    return tlv(
        SEQUENCE,
        _VERSION_3,
        integer(order.serial),
        fixed.algorithm,
        fixed.issuer,
        tlv(SEQUENCE, moment(order.not_before), moment(order.not_after)),
        fixed.subject,
        key,
        tlv(_EXTENSIONS, tlv(SEQUENCE, fixed.before, key_identifier_der(key), fixed.after, places)),
    )


def extensions_der(extensions: Iterable[Extension]) -> bytes:
    """Return extensions one after the other."""
    return b"".join(map(_extension, extensions))


def key_identifier_der(key: bytes) -> bytes:
    """Return the extension that identifies a public key (DER): SHA-1 over its bit string, as a name, not for safety."""
    return _KEY_IDENTIFIER + sha1(key_bits(key), usedforsecurity=False).digest()


def key_bits(key: bytes) -> bytes:
    """Return the bits of a public key (SubjectPublicKeyInfo, DER), without what says how many of the last count."""
    info = Reader(key).inside(SEQUENCE)
    info.value(SEQUENCE)
    return info.value(BIT_STRING)[1:]


def _extension(extension: Extension) -> bytes:
    critical = _CRITICAL if extension.critical else b""
    return tlv(SEQUENCE, _oid(extension.oid), critical, tlv(OCTET_STRING, extension.value.public_bytes()))


@lru_cache(maxsize=32)
def _oid(oid: x509.ObjectIdentifier) -> bytes:
    """Return an OID: an extended key usage is the sequence of its OIDs, so of this one behind two bytes of header."""
    return x509.ExtendedKeyUsage([oid]).public_bytes()[2:]

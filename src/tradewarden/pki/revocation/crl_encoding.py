"""A CRL as bytes (RFC 5280 section 5.1): entries, the part that is signed, the whole; and its entries read back.

An entry is encoded once, when its revocation is learned. A list of 100,000 is those bytes joined.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from tradewarden.pki.certificate.der import (
    BIT_STRING,
    ENUMERATED,
    OCTET_STRING,
    OID,
    SEQUENCE,
    Reader,
    header,
    integer,
    moment,
    tlv,
)
from tradewarden.pki.credentials import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERSION_2: Final = b"\x02\x01\x01"
_EXTENSIONS: Final = 0xA0
_REASON_CODE: Final = tlv(OID, bytes.fromhex("551d15"))
"""id-ce-cRLReasons, 2.5.29.21."""
REASON_NUMBERS: Final[dict[Reason, int]] = {
    Reason.UNSPECIFIED: 0,
    Reason.KEY_COMPROMISE: 1,
    Reason.CA_COMPROMISE: 2,
    Reason.AFFILIATION_CHANGED: 3,
    Reason.SUPERSEDED: 4,
    Reason.CESSATION_OF_OPERATION: 5,
    Reason.PRIVILEGE_WITHDRAWN: 9,
    Reason.AA_COMPROMISE: 10,
}
"""CRLReason (RFC 5280 section 5.3.1)."""


def entry_der(serial: int, revoked_at: int, reason: Reason) -> bytes:
    """Return the entry of one revoked certificate; `revoked_at` in seconds since the epoch."""
    return tlv(SEQUENCE, integer(serial), moment(revoked_at), _reason(reason))


@lru_cache(maxsize=len(Reason))
def _reason(reason: Reason) -> bytes:
    """Return the extensions of an entry; `unspecified` is left out instead (RFC 5280 section 5.3.1)."""
    if reason is Reason.UNSPECIFIED:
        return b""
    code = tlv(ENUMERATED, bytes((REASON_NUMBERS[reason],)))
    return tlv(SEQUENCE, tlv(SEQUENCE, _REASON_CODE, tlv(OCTET_STRING, code)))


def tbs_der(
    algorithm: bytes, issuer: bytes, this_update: int, next_update: int, entries: Sequence[bytes], extensions: bytes
) -> bytes:
    """Return the TBSCertList; times in seconds since the epoch, everything else DER.

    Of the entries every part is joined once; there is no sequence of none (RFC 5280 section 5.1.2.6).
    """
    size = sum(map(len, entries))
    begin = _VERSION_2 + algorithm + issuer + moment(this_update) + moment(next_update)
    if size:
        begin += header(SEQUENCE, size)
    end = tlv(_EXTENSIONS, tlv(SEQUENCE, extensions))
    return b"".join((header(SEQUENCE, len(begin) + size + len(end)), begin, *entries, end))


def list_der(tbs: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """Return a whole CRL: what was signed, the algorithm once more, the signature."""
    end = algorithm + tlv(BIT_STRING, b"\0", signature)
    return b"".join((header(SEQUENCE, len(tbs) + len(end)), tbs, end))


def entries_of(crl: bytes) -> bytes:
    """Return the entries of a CRL of ours, one after the other; raises `ValueError`."""
    tbs = Reader(crl).inside(SEQUENCE).inside(SEQUENCE)
    tbs.value(_VERSION_2[0])
    for _ in ("algorithm", "issuer"):
        tbs.value(SEQUENCE)
    for _ in ("this update", "next update"):
        tbs.value(tbs.tag)
    return tbs.value(SEQUENCE) if tbs.tag == SEQUENCE else b""

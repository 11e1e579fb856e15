"""Whether the service still takes a certificate: a certificate cannot show that it was revoked, or its root replaced.

The answer decides nothing but whether a new certificate is asked for, and everything is verified then. So it is enough
that it comes from the service's address, over plain HTTP to this very machine too.
"""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tradewarden.errors import IntegrityError, TradewardenError
from tradewarden.workload.errors import CertificateRefusedError, RootUnknownError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tradewarden.workload.door import Door
    from tradewarden.workload.pair import Pair

_LOG: Final = logging.getLogger("tradewarden.workload")
_NOT_GOOD: Final = MappingProxyType(
    {
        ocsp.OCSPCertStatus.REVOKED: "it is revoked, or its CA is",
        ocsp.OCSPCertStatus.UNKNOWN: "the service does not know it",
    }
)


def standing(doors: Iterable[Door], held: Pair) -> str | None:
    """Return why the service takes the certificate no more; empty while it does, None when nobody says.

    The first address that answers is believed. That the service is under another root, or that its listener refuses us,
    counts only while no address is silent: what answers at one of them may be somebody else.
    """
    told: str | None = None
    silent = False
    for door in doors:
        try:
            return _refusal(door, held)
        except (RootUnknownError, CertificateRefusedError) as error:
            told = error.detail
        except TradewardenError as error:
            silent = True
            _LOG.debug("whether the certificate still counts is not known: %s", error.detail)
    return None if silent else told


def _refusal(door: Door, held: Pair) -> str:
    """Ask by OCSP (RFC 6960), and look at the roots that the service gives out."""
    told = _by_ocsp(door, held)
    if told or held.with_roots(door.roots()).anchored:
        return told
    return "the root above it is none that the service trusts"


def _by_ocsp(door: Door, held: Pair) -> str:
    """Return what speaks against it; empty also when the service cannot say just now (RFC 6960 section 2.3)."""
    leaf = held.leaf
    above = next((each for each in (*held.chain[1:], *held.roots) if each.subject == leaf.issuer), leaf)
    request = ocsp.OCSPRequestBuilder().add_certificate(leaf, above, hashes.SHA256()).build()
    try:
        answer = ocsp.load_der_ocsp_response(door.ocsp(request.public_bytes(Encoding.DER)))
    except ValueError as error:
        raise IntegrityError("The service's OCSP answer cannot be read") from error
    if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL or answer.serial_number != leaf.serial_number:
        return ""
    return _NOT_GOOD.get(answer.certificate_status, "")

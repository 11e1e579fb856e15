"""Whether the service still takes a certificate: which answer, or which failure, says that it does not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.support.workload import Issuer
from tradewarden.errors import TradewardenError, UnavailableError
from tradewarden.workload.door import Door
from tradewarden.workload.errors import CertificateRefusedError, RootUnknownError
from tradewarden.workload.standing import standing

ISSUER, OTHER = Issuer(), Issuer()
HELD = ISSUER.pair()
GOOD, REVOKED, UNKNOWN = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN
AWAY, STRANGE, REFUSED = UnavailableError("away"), RootUnknownError("another root"), CertificateRefusedError("alert")


class Told(Door):
    """An address that says this about each certificate, or nothing, or fails."""

    def __init__(
        self,
        says: ocsp.OCSPCertStatus | bytes | TradewardenError,
        *,
        roots: bytes = ISSUER.root.pem,
        serial: int = HELD.leaf.serial_number,
    ) -> None:
        self._says, self._roots, self._serial = says, roots, serial

    def ocsp(self, request: bytes) -> bytes:
        """Answer, or raise."""
        asked = ocsp.load_der_ocsp_request(request)
        assert asked.serial_number == HELD.leaf.serial_number
        if isinstance(self._says, TradewardenError):
            raise self._says
        if isinstance(self._says, bytes):
            return self._says
        now, by = datetime.now(UTC), ISSUER.issuing
        gone = now if self._says is REVOKED else None
        name, key = asked.issuer_name_hash, asked.issuer_key_hash
        builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
            name, key, self._serial, asked.hash_algorithm, self._says, now, None, gone, None
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, by.certificate)
        return builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def roots(self) -> bytes:
        """Return the trust bundle."""
        return self._roots


TRY_LATER = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("door", "counts"),
    [
        (Told(GOOD), True),
        (Told(REVOKED), False),
        (Told(UNKNOWN), False),
        (Told(TRY_LATER), True),
        (Told(REVOKED, serial=1), True),
        (Told(GOOD, roots=OTHER.root.pem), False),
        (Told(GOOD, roots=OTHER.root.pem + ISSUER.root.pem), True),
    ],
)
def test_the_answer_of_one_address(door: Told, *, counts: bool) -> None:
    """Revoked, unknown, or below no root of the service: it counts no more; "try later" changes nothing."""
    told = standing([door], HELD)
    assert told is not None
    assert (told == "") is counts


@pytest.mark.parametrize(
    ("doors", "told"),
    [
        ([], None),
        ([Told(AWAY)], None),
        ([Told(b"no answer")], None),
        ([Told(AWAY), Told(GOOD)], ""),
        ([Told(STRANGE)], "another root"),
        ([Told(STRANGE), Told(AWAY)], None),
        ([Told(STRANGE), Told(REFUSED)], "alert"),
        ([Told(STRANGE), Told(GOOD)], ""),
        ([Told(REFUSED)], "alert"),
        ([Told(AWAY), Told(REFUSED)], None),
    ],
)
def test_what_failures_say(doors: list[Told], told: str | None) -> None:
    """Silence says nothing; another root, or a refusal, is an answer where nobody else may say better."""
    assert standing(doors, HELD) == told

"""The OCSP responder: what it says about whom, who signs it, what it keeps, and what it refuses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec.structs import replace

from tests.support.pki import DAY, START
from tests.support.revocation import Ca, asked, begin, ca
from tradewarden.errors import ConfigurationError, StorageUnavailableError, TradewardenError, UnavailableError
from tradewarden.pki.certificate.algorithm import Algorithm
from tradewarden.pki.certificate.der import ENUMERATED, INTEGER, OCTET_STRING, OID, SEQUENCE, integer, tlv
from tradewarden.pki.credentials import Reason
from tradewarden.pki.inventory import serial_text
from tradewarden.pki.revocation.ocsp import LIFE_SECONDS, OcspAnswer
from tradewarden.pki.revocation.ocsp_encoding import MAX_CERTIFICATES, read_request
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_pki import MemoryPkiStore

if TYPE_CHECKING:
    from tradewarden.audit.entry import Entry
    from tradewarden.pki.revocation.revocation import Revocation

MALFORMED, INTERNAL, LATER, UNAUTHORIZED = (tlv(SEQUENCE, tlv(ENUMERATED, bytes((each,)))) for each in (1, 2, 3, 6))
CRITICAL = b"\x01\x01\xff"
NONCE = tlv(OID, bytes.fromhex("2b0601050507300102"))


async def said(process: Revocation, request: bytes) -> ocsp.OCSPResponse:
    """Return a response as the library reads it."""
    return ocsp.load_der_ocsp_response((await process.ocsp(request, begin)).der)


def cert_ids(request: bytes) -> bytes:
    """Return the CertID of a request of one."""
    return read_request(request).certificates[0].der


def request_of(*ids: bytes, extensions: bytes = b"", version: bytes = b"") -> bytes:
    """Return a request about several certificates, with extensions (DER)."""
    listed = tlv(SEQUENCE, *[tlv(SEQUENCE, each) for each in ids])
    more = tlv(0xA2, tlv(SEQUENCE, extensions)) if extensions else b""
    return tlv(SEQUENCE, tlv(SEQUENCE, version, listed, more))


def check_signature(response: ocsp.OCSPResponse, made: Ca) -> x509.Certificate:
    """Verify a response as a client does, through its delegated signer; returns that one's certificate."""
    (signer,) = response.certificates
    signer.verify_directly_issued_by(made.issuer.certificate)
    key = signer.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
    own = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert response.responder_key_hash == own.digest
    return signer


# -- what it says ----------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()], ids=["sha1", "sha256"])  # noqa: S303
async def test_a_good_certificate_is_good(algorithm: hashes.HashAlgorithm) -> None:
    """The answer is signed, names the certificate as it was asked about, and has its times."""
    made = await ca()
    certificate = await made.issued()
    request = asked(certificate, made.issuer.certificate, algorithm=algorithm)
    response = await said(made.process(), request)
    assert response.certificate_status is ocsp.OCSPCertStatus.GOOD
    assert response.serial_number == certificate.serial_number
    assert isinstance(response.hash_algorithm, type(algorithm))
    assert response.this_update_utc.timestamp() == response.produced_at_utc.timestamp() == START
    assert response.next_update_utc is not None
    assert response.next_update_utc.timestamp() == START + LIFE_SECONDS
    check_signature(response, made)


@pytest.mark.parametrize("reason", list(Reason))
async def test_a_revoked_certificate_says_since_when_and_why(reason: Reason) -> None:
    """Time and reason are those of the revocation; `unspecified` is left out."""
    made = await ca()
    certificate = await made.issued()
    made.clock.time += 5
    await made.revoke(certificate, reason)
    response = await said(made.process(), asked(certificate, made.issuer.certificate))
    assert response.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert response.revocation_time_utc is not None
    assert response.revocation_time_utc.timestamp() == START + 5
    wanted = None if reason is Reason.UNSPECIFIED else x509.ReasonFlags(reason.value)
    assert response.revocation_reason is wanted


async def test_what_was_never_issued_is_unknown() -> None:
    """A certificate under the CA's key that is not in the inventory is not good, and is asked about anew each time."""
    made = await ca()
    process = made.process()
    other = await (await ca()).issued()
    request = asked(other, made.issuer.certificate)
    response = await said(process, request)
    assert response.certificate_status is ocsp.OCSPCertStatus.UNKNOWN
    assert not (await process.ocsp(request, begin)).cacheable
    await made.store.add(made.row(other, other.public_bytes(Encoding.DER)), b"")
    assert (await said(process, request)).certificate_status is ocsp.OCSPCertStatus.GOOD


async def test_a_certificate_of_another_ca_of_ours_is_unknown() -> None:
    """A CA answers for what it issued itself, and not for what a CA beside it issued."""
    made = await ca()
    old = await made.issued()
    made.rotate()
    new = read_request(asked(await made.issued(), made.issuer.certificate)).certificates[0]
    builder = ocsp.OCSPRequestBuilder()
    builder = builder.add_certificate_by_hash(new.name_hash, new.key_hash, old.serial_number, hashes.SHA1())  # noqa: S303
    response = await said(made.process(), builder.build().public_bytes(Encoding.DER))
    assert response.certificate_status is ocsp.OCSPCertStatus.UNKNOWN


async def test_several_certificates_are_answered_together() -> None:
    """One answer says of each certificate what holds for it, in the order of the request."""
    made = await ca()
    issuer = made.issuer.certificate
    good, bad, other = await made.issued(), await made.issued(), await (await ca()).issued()
    await made.revoke(bad)
    request = request_of(*[cert_ids(asked(each, issuer)) for each in (good, bad, other)])
    answer = await made.process().ocsp(request, begin)
    assert answer.statuses == ("good", "revoked", "unknown")
    response = ocsp.load_der_ocsp_response(answer.der)
    told = [(each.serial_number, each.certificate_status.name) for each in response.responses]
    serials = [each.serial_number for each in (good, bad, other)]
    assert told == list(zip(serials, ["GOOD", "REVOKED", "UNKNOWN"], strict=True))
    check_signature(response, made)


async def test_a_retired_ca_is_answered_for() -> None:
    """After a rotation certificates of both CAs have their answers, each signed in its own CA's name."""
    made = await ca()
    process = made.process()
    old = await made.issued()
    before = made.rotate()
    new = await made.issued()
    for certificate, issuer in ((old, before), (new, made.issuer)):
        response = await said(process, asked(certificate, issuer.certificate))
        assert response.certificate_status is ocsp.OCSPCertStatus.GOOD
        response.certificates[0].verify_directly_issued_by(issuer.certificate)


async def test_a_ca_of_ours_without_its_key_is_to_be_asked_later() -> None:
    """A retired CA whose key is away cannot answer now: `tryLater`, and `unauthorized` is for issuers of others."""
    made = await ca()
    old = await made.issued()
    before = made.rotate()
    made.lose(before)
    request = asked(old, before.certificate)
    process = made.process()
    assert await process.ocsp(request, begin) == OcspAnswer(LATER, ("try_later",))
    several = request_of(cert_ids(request), cert_ids(asked(await made.issued(), made.issuer.certificate)))
    assert await process.ocsp(several, begin) == OcspAnswer(UNAUTHORIZED, ("unauthorized",))
    foreign = await ca()
    other = asked(await foreign.issued(), foreign.issuer.certificate)
    assert await process.ocsp(other, begin) == OcspAnswer(UNAUTHORIZED, ("unauthorized",))
    root = asked(before.certificate, made.root.certificate)
    assert await process.ocsp(root, begin) == OcspAnswer(UNAUTHORIZED, ("unauthorized",))
    made.find(before)
    assert (await said(process, request)).certificate_status is ocsp.OCSPCertStatus.GOOD


@pytest.mark.parametrize("error", [UnavailableError, ConfigurationError])
async def test_an_answer_that_stands_is_given_while_the_key_is_away(
    monkeypatch: pytest.MonkeyPatch, error: type[TradewardenError]
) -> None:
    """Without a key to sign with, an answer in its time is given to its end, also where a nonce is asked for."""
    made = await ca()
    certificate, other = await made.issued(), await made.issued()
    process = made.process()
    request, issuer = asked(certificate, made.issuer.certificate), made.issuer.certificate
    first = await process.ocsp(request, begin)

    async def away(_: object, begin: object) -> None:
        del begin
        raise error("The token is away")

    monkeypatch.setattr("tradewarden.pki.revocation.ocsp_signer.OcspSigner.current", away)
    await made.revoke(other)  # it moves the revision, and is news of another certificate
    made.clock.time += LIFE_SECONDS - 1
    assert await process.ocsp(request, begin) == first
    assert await process.ocsp(asked(certificate, issuer, nonce=b"n" * 32), begin) == first
    assert (await process.ocsp(asked(other, issuer), begin)).der == LATER
    made.clock.time += 1
    assert (await process.ocsp(request, begin)).der == LATER


async def test_an_answer_that_is_not_true_any_more_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that was revoked since is not called good because its CA's key is away."""
    made = await ca()
    certificate = await made.issued()
    process, request = made.process(), asked(certificate, made.issuer.certificate)
    await process.ocsp(request, begin)

    async def away(_: object, begin: object) -> None:
        del begin
        raise UnavailableError("The token is away")

    monkeypatch.setattr("tradewarden.pki.revocation.ocsp_signer.OcspSigner.current", away)
    await made.revoke(certificate)
    assert (await process.ocsp(request, begin)).der == LATER


async def test_a_compromised_ca_has_no_good_certificate() -> None:
    """Everything of a revoked CA is revoked with it, what it never issued too, and what was kept before is void."""
    made = await ca()
    process = made.process()
    certificate, forged = await made.issued(), await (await ca()).issued()
    before = made.issuer.certificate
    assert (await said(process, asked(certificate, before))).certificate_status is ocsp.OCSPCertStatus.GOOD
    made.clock.time += 60
    made.rotate(compromised=True)
    for each in (certificate, forged):
        response = await said(process, asked(each, before))
        assert response.certificate_status is ocsp.OCSPCertStatus.REVOKED
        assert response.revocation_reason is x509.ReasonFlags.ca_compromise
        assert response.revocation_time_utc is not None
        assert response.revocation_time_utc.timestamp() == START + 60


@pytest.mark.parametrize("algorithm", list(Algorithm))
async def test_every_algorithm_of_a_ca_has_a_responder(algorithm: Algorithm) -> None:
    """Whatever key the CA has, its responder is certified and found by the CA's hashes."""
    made = await ca(algorithm=algorithm)
    certificate = await made.issued()
    response = await said(made.process(), asked(certificate, made.issuer.certificate))
    assert response.certificate_status is ocsp.OCSPCertStatus.GOOD
    check_signature(response, made)


# -- who signs it ----------------------------------------------------------------------------------


async def test_the_signer_is_for_ocsp_alone_and_short_lived() -> None:
    """Its certificate has one purpose, nobody needs to ask about it, and it stands in the inventory with an entry."""
    store = MemoryPkiStore(MemoryDatabase())
    made = await ca(store)
    certificate = await made.issued()
    signer = check_signature(await said(made.process(), asked(certificate, made.issuer.certificate)), made)
    purposes = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.OCSP_SIGNING]
    assert not signer.extensions.get_extension_for_class(x509.OCSPNoCheck).critical
    assert (signer.not_valid_after_utc - signer.not_valid_before_utc).days == 3
    for kind in (x509.CRLDistributionPoints, x509.AuthorityInformationAccess):
        with pytest.raises(x509.ExtensionNotFound):
            signer.extensions.get_extension_for_class(kind)
    row = await store.find(serial_text(signer.serial_number))
    assert row is not None
    assert (row.service_name, row.profile) == ("tradewarden", "ocsp")
    assert store._database.inbox[-1] != b""


async def test_the_signer_is_made_once_and_renewed_at_half_its_life() -> None:
    """A key serves until half its certificate's life is over."""
    made = await ca()
    process = made.process()
    begun: list[Entry] = []

    def counted() -> Entry:
        begun.append(begin())
        return begun[-1]

    certificate = await made.issued(hours=200)
    request = asked(certificate, made.issuer.certificate, nonce=b"n" * 16)
    for after, entries in ((0, 1), (DAY, 1), (DAY, 2), (DAY / 4, 2)):
        made.clock.time += after
        await process.ocsp(request, counted)
        assert len(begun) == entries
    assert all(each.committed for each in begun)


@pytest.mark.parametrize("error", [UnavailableError, ConfigurationError])
async def test_the_signer_goes_on_while_the_cas_key_is_away(
    monkeypatch: pytest.MonkeyPatch, error: type[TradewardenError]
) -> None:
    """A signer that should be renewed and cannot be is used to its end; after that the answer is tryLater."""
    made = await ca()
    process = made.process()
    certificate = await made.issued(hours=200)
    request = asked(certificate, made.issuer.certificate, nonce=b"n" * 16)
    await process.ocsp(request, begin)

    def sign(issuer: object, data: bytes) -> bytes:
        raise error("The token is away")

    monkeypatch.setattr(type(made.issuer), "sign", sign)
    made.clock.time += 2 * DAY
    assert (await process.ocsp(request, begin)).statuses == ("good",)
    made.clock.time += DAY
    assert (await process.ocsp(request, begin)).der == LATER


# -- nonces and what is kept -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 16, 32, 128])
async def test_a_nonce_comes_back(size: int) -> None:
    """A nonce of 1 to 128 octets is sent back, and every such answer is signed anew (RFC 9654)."""
    made = await ca()
    process = made.process()
    nonce = os.urandom(size)
    request = asked(await made.issued(), made.issuer.certificate, nonce=nonce)
    answer = await process.ocsp(request, begin)
    response = ocsp.load_der_ocsp_response(answer.der)
    assert response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce
    assert not answer.cacheable
    assert (await process.ocsp(request, begin)).der != answer.der


@pytest.mark.parametrize("size", [0, 129])
async def test_a_nonce_of_another_size_is_malformed(size: int) -> None:
    """No nonce is empty or longer than 128 octets."""
    made = await ca()
    request = asked(await made.issued(), made.issuer.certificate, nonce=b"n" * size)
    assert (await made.process().ocsp(request, begin)).der == MALFORMED


async def test_an_answer_is_kept_until_half_its_life() -> None:
    """Without a nonce the same bytes are given again for half an hour."""
    made = await ca()
    process = made.process()
    request = asked(await made.issued(), made.issuer.certificate)
    first = await process.ocsp(request, begin)
    assert first.cacheable
    made.clock.time += LIFE_SECONDS / 2 - 1
    assert await process.ocsp(request, begin) is first
    made.clock.time += 1
    assert (await process.ocsp(request, begin)).this_update == START + LIFE_SECONDS / 2


async def test_a_kept_answer_ends_with_the_next_revocation() -> None:
    """A revocation in any process is in the next answer of every other."""
    made = await ca()
    process = made.process()
    certificate = await made.issued()
    request = asked(certificate, made.issuer.certificate)
    assert (await process.ocsp(request, begin)).statuses == ("good",)
    await made.revoke(certificate)
    assert (await process.ocsp(request, begin)).statuses == ("revoked",)


async def test_no_answer_from_the_future_is_given() -> None:
    """After the clock went back what was kept is made anew."""
    made = await ca()
    made.clock.time += 600
    process = made.process()
    request = asked(await made.issued(), made.issuer.certificate)
    await process.ocsp(request, begin)
    made.clock.time -= 300
    assert (await process.ocsp(request, begin)).this_update == START + 300


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answer makes room for a new one."""
    monkeypatch.setattr("tradewarden.pki.revocation.ocsp._KEPT", 2)
    made = await ca()
    process = made.process()
    requests = [asked(await made.issued(), made.issuer.certificate) for _ in range(3)]
    answers = [await process.ocsp(each, begin) for each in requests]
    again = [await process.ocsp(each, begin) for each in requests[::-1]]
    assert [one is two for one, two in zip(answers[::-1], again, strict=True)] == [True, True, False]


# -- what it refuses -------------------------------------------------------------------------------


async def test_what_is_no_request_is_malformed() -> None:
    """Bytes that are no request, or ask for too much, are told so, and nothing is signed."""
    made = await ca()
    process = made.process()
    good = asked(await made.issued(), made.issuer.certificate)
    one = cert_ids(good)
    unknown = tlv(SEQUENCE, tlv(OID, b"\x2a\x03"), CRITICAL, tlv(OCTET_STRING, b""))
    nonce = tlv(SEQUENCE, NONCE, tlv(OCTET_STRING, tlv(OCTET_STRING, b"n" * 16)))
    bare = tlv(SEQUENCE, NONCE, tlv(OCTET_STRING, b"n" * 16))
    wrong = [
        b"",
        b"\0",
        good + b"\0",
        good[:-1],
        b"\x30\x81" + good[1:],
        request_of(),
        request_of(*[one] * (MAX_CERTIFICATES + 1)),
        request_of(one, extensions=unknown),
        request_of(one, extensions=nonce + nonce),
        request_of(one, extensions=bare),
        request_of(one, extensions=tlv(SEQUENCE, NONCE, tlv(OCTET_STRING, tlv(OCTET_STRING, b"n")), b"\x05\x00")),
        request_of(one, version=tlv(0xA0, integer(1))),
        request_of(one[:4] + b"\x31" + one[5:]),
        request_of(one[:2] + tlv(SEQUENCE, tlv(OID, b"\x2a"), tlv(INTEGER, b"\x01"))),
        b"\x30" * 5000,
    ]
    for request in wrong:
        assert (await process.ocsp(request, begin)) == OcspAnswer(MALFORMED, ("malformed",))
    for right in (request_of(*[one] * MAX_CERTIFICATES), request_of(one, version=tlv(0xA0, integer(0)))):
        assert set((await process.ocsp(right, begin)).statuses) == {"good"}


async def test_a_foreign_issuer_is_not_answered_for() -> None:
    """Certificates of other CAs, of several of ours at once, and of the root are nobody's here."""
    made, other = await ca(), await ca()
    process = made.process()
    own, foreign = await made.issued(), await other.issued()
    ids = [cert_ids(asked(own, made.issuer.certificate)), cert_ids(asked(foreign, other.issuer.certificate))]
    issuing = asked(made.issuer.certificate, made.root.certificate)
    sha384 = asked(own, made.issuer.certificate, algorithm=hashes.SHA384())
    before = made.issuer.certificate
    made.rotate()
    both = [ids[0], cert_ids(asked(await made.issued(), made.issuer.certificate))]
    for request in (request_of(ids[1]), request_of(*ids), request_of(*both), issuing, sha384):
        assert (await process.ocsp(request, begin)) == OcspAnswer(UNAUTHORIZED, ("unauthorized",))
    assert (await process.ocsp(asked(own, before), begin)).statuses == ("good",)


async def test_an_odd_serial_number_is_unknown() -> None:
    """Zero, negative and 32 octets long: never issued, and no reason to fail."""
    made = await ca()
    process = made.process()
    one = read_request(asked(await made.issued(), made.issuer.certificate)).certificates[0]
    for serial in (b"\0", b"\xff", b"\x7f" * 32):
        fields = one.der[2 : one.der.index(one.key_hash) + len(one.key_hash)]
        answer = await process.ocsp(request_of(tlv(SEQUENCE, fields, tlv(INTEGER, serial))), begin)
        assert answer.statuses == ("unknown",)


async def test_a_forged_row_is_no_answer() -> None:
    """A row that was changed outside is an internal error, neither good nor revoked."""
    store = MemoryPkiStore(MemoryDatabase())
    made = await ca(store)
    certificate = await made.issued()
    await made.revoke(certificate)
    text = serial_text(certificate.serial_number)
    store._certificates[text] = replace(store._certificates[text], revocation=0)
    assert (await made.process().ocsp(asked(certificate, made.issuer.certificate), begin)).der == INTERNAL


async def test_a_database_that_is_away_means_try_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is made up while the inventory cannot be read."""
    made = await ca()
    request = asked(await made.issued(), made.issuer.certificate)

    async def away(serial: str) -> None:
        raise StorageUnavailableError("The database cannot be read now")

    monkeypatch.setattr(made.store, "find", away)
    assert (await made.process().ocsp(request, begin)).der == LATER

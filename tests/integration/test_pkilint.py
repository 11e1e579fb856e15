"""All that we sign, in the judgement of pkilint: each kind of certificate, revocation list and OCSP answer."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.support import lints
from tests.support.paths import Held, Made, World, make
from tests.support.pki import csr, entry, grant, own_ca
from tests.support.rotation import Installation, certificates, issue, rotate
from tests.support.softhsm import SoftHsm, module, softhsm
from tradewarden.access.principal import OWN_NAME
from tradewarden.pki.cas.rotating import What
from tradewarden.pki.certificate.algorithm import Algorithm
from tradewarden.pki.certificate.pointers import crl_name
from tradewarden.pki.certificate.profiles import ISSUED
from tradewarden.pki.credentials import Reason, RevokeCertificate
from tradewarden.pki.revocation.crl_entries import SHARDS, shard_of
from tradewarden.pki.store import Role, Standing
from tradewarden.settings.pkcs11 import parse_token_uri

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tradewarden.pki.authority import Authority

__all__ = ["module", "softhsm"]

ALGORITHMS = pytest.mark.parametrize("algorithm", list(Algorithm))
Findings = dict[str, set[str]]

TOLERATED = {
    r"pkix\.invalid_uri_syntax \(Invalid URI syntax: \"spiffe://trade\.example/[a-z0-9_-]+\"\) at .*":
        "SPIFFE IDs are URIs (RFC 3986); pkilint knows the schemes of the web alone",
    r"pkix\.invalid_domain_name_syntax \(Invalid domain name syntax: \"[a-z0-9-]+\"\) at .*":
        "a name of one label is in the preferred syntax that RFC 5280 section 4.2.1.6 asks for; pkilint wants a dot",
    r"pkix\.signature_verification_failed \(None\) at certificate\.signature of RSASSA-PSS":
        "pkilint's linter of pairs verifies every RSA signature as PKCS#1 v1.5; test_pki_openssl.py verifies ours",
}  # fmt: skip
"""What pkilint finds and what stays as it is, with the reason."""

KEYS: dict[str, Callable[[], object]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA": lambda: rsa.generate_private_key(65537, 3072),
}


class Ordered(NamedTuple):
    """A certificate as ACME orders one."""

    service_name: str
    serial: str
    profile: str
    csr: bytes
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]


async def opened(folder: Path, **policy: object) -> Authority:
    """Return an authority that has just been founded."""
    home = await Installation.make(folder, public_url="http://ca.example:8002", **policy)
    return await home.start(first=True)


async def with_a_past(folder: Path, algorithm: Algorithm) -> Authority:
    """Return one in the middle of a change of roots, which lost an issuing CA and rotated once since."""
    authority = await opened(folder, algorithm=algorithm)
    await rotate(authority, What.ROOT)
    await rotate(authority, What.ISSUING, compromised=True)
    await rotate(authority, What.ISSUING)
    return authority


def der(pem: str) -> bytes:
    """Return the first certificate of a PEM text as DER."""
    return certificates(pem)[0].public_bytes(Encoding.DER)


def left(findings: Findings) -> Findings:
    """Return what is not tolerated."""
    known = "|".join(TOLERATED)
    found = {what: {each for each in lines if not re.fullmatch(known, each)} for what, lines in findings.items()}
    return {what: lines for what, lines in found.items() if lines}


# --- certificates ---------------------------------------------------------------------------------


async def leaves(authority: Authority) -> dict[str, bytes]:
    """Return one certificate (DER) of every kind that the issuing CA signs."""
    dns, ips = ("a.example",), ("10.0.0.1", "fd00::1")
    issued = {profile: await issue(authority, profile=profile, dns_names=dns, ip_addresses=ips) for profile in ISSUED}
    issued["service of the longest name"] = await issue(authority, "x" * 63)
    issued["service whose name is no label"] = await issue(authority, "trading_bot")
    for key, make_key in KEYS.items():
        issued[f"request of {key}"] = await issue(authority, csr=csr(make_key()))
    own = grant("credentials:issue", OWN_NAME)
    issued["listener"] = await authority.server_certificate(own, ["localhost", "ca.example"], ["127.0.0.1"], entry())
    found = {what: der(credentials.certificate) for what, credentials in issued.items()}
    found["order"] = await ordered(authority, "shop.example")
    found["order of a long name"] = await ordered(authority, ".".join(["y" * 60, "y" * 60, "example"]))
    found["OCSP responder"] = responder(await asked(authority, der(issued["service"].certificate)))
    return found


async def ordered(authority: Authority, name: str) -> bytes:
    """Return a certificate that was ordered for a DNS name, as ACME does."""
    request = x509.load_pem_x509_csr(csr(cn=None, sans=(x509.DNSName(name),)).encode())
    registration = authority.registration
    order = Ordered("shop", registration.new_serial(), "server", request.public_bytes(Encoding.DER), (name,), ())
    await registration.issue(grant("credentials:issue", "shop"), order, entry(), vouched=True, incarnation="")
    row = await authority.held(order.serial)
    assert row is not None
    return row.certificate


def responder(answer: bytes) -> bytes:
    """Return the certificate that came with an OCSP answer."""
    (certificate,) = ocsp.load_der_ocsp_response(answer).certificates
    return certificate.public_bytes(Encoding.DER)


def judged(found: dict[str, bytes], issuer: bytes) -> Findings:
    """Judge certificates of one issuer, each alone and together with it."""
    judgements = {}
    for what, certificate in found.items():
        pair = {f"{line}{_of_pss(certificate)}" for line in lints.of_pair(issuer, certificate)}
        judgements[what] = lints.of_certificate(certificate) | pair
    return judgements


def _of_pss(certificate: bytes) -> str:
    pss = x509.SignatureAlgorithmOID.RSASSA_PSS
    return " of RSASSA-PSS" if x509.load_der_x509_certificate(certificate).signature_algorithm_oid == pss else ""


@ALGORITHMS
async def test_every_certificate_of_a_ca(tmp_path: Path, algorithm: Algorithm) -> None:
    """Roots, certificates of one root by the other, issuing CAs of every state: nothing is found."""
    known = (await with_a_past(tmp_path, algorithm)).cas.known
    roots = {ca.fingerprint: ca.row.certificate for ca in known.of(Role.ROOT)}
    cas = {f"{ca.row.role} {ca.row.state} {ca.fingerprint}": ca.row for ca in known.all}
    assert {what.rpartition(" ")[0] for what in cas} == {
        "root active", "root next", "cross active",
        "issuing active", "issuing next", "issuing retired", "issuing revoked",
    }  # fmt: skip
    findings = {what: lints.of_certificate(row.certificate) for what, row in cas.items()}
    for what, row in cas.items():
        if row.role is not Role.ROOT:
            findings |= judged({what: row.certificate}, roots[row.issuer])
    assert left(findings) == {}


@ALGORITHMS
async def test_every_certificate_that_an_issuing_ca_signs(tmp_path: Path, algorithm: Algorithm) -> None:
    """Each profile, each kind of key and name, our listener's, ACME's, the OCSP responder's: nothing is found."""
    authority = await opened(tmp_path, algorithm=algorithm)
    assert left(judged(await leaves(authority), authority.cas.known.issuing.row.certificate)) == {}


async def test_certificates_without_pointers(tmp_path: Path) -> None:
    """Nor where there is no public URL to point to."""
    authority = await (await Installation.make(tmp_path)).start(first=True)
    cas = {ca.fingerprint: ca.row.certificate for ca in authority.cas.known.all}
    assert left({what: lints.of_certificate(each) for what, each in cas.items()}) == {}
    assert left(judged(await leaves(authority), authority.cas.known.issuing.row.certificate)) == {}


@pytest.mark.parametrize("path_length", [None, 0], ids=["above", "issuing"])
async def test_certificates_below_a_ca_that_was_brought_along(tmp_path: Path, path_length: int | None) -> None:
    """Nor below a CA of somebody else's making, whether it signs our issuing CA or everything itself."""
    brought = own_ca(tmp_path / "own", path_length=path_length)
    authority = await opened(tmp_path / "data", **brought)
    known = authority.cas.known
    found = judged(await leaves(authority), known.issuing.row.certificate)
    if path_length is None:
        found |= judged({"issuing": known.issuing.row.certificate}, known.root.row.certificate)
    assert left(found) == {}


@pytest.mark.parametrize("algorithm", [Algorithm.P256, Algorithm.P384, Algorithm.RSA3072])
async def test_certificates_of_a_ca_in_hardware(softhsm: SoftHsm, tmp_path: Path, algorithm: Algorithm) -> None:
    """Nor where the keys of the CAs lie in a token; their lists and answers too."""
    place = {"ca_keys": parse_token_uri(softhsm.uri), "access": softhsm.access}
    authority = await opened(tmp_path / "data", algorithm=algorithm, **place)
    known = authority.cas.known
    assert left({"root": lints.of_certificate(known.root.row.certificate)}) == {}
    assert left(judged({"issuing": known.issuing.row.certificate}, known.root.row.certificate)) == {}
    assert left(judged(await leaves(authority), known.issuing.row.certificate)) == {}
    certificate = await revoked(authority, Reason.KEY_COMPROMISE)
    assert left(await lists(authority, shard_of(number(certificate)))) == {}
    assert left({"answer": lints.of_ocsp(await asked(authority, certificate))}) == {}


# --- revocation lists -----------------------------------------------------------------------------


async def lists(authority: Authority, *shards: int) -> Findings:
    """Judge the complete list of every CA that ever signed and is not revoked, and these shards of the issuing CAs'."""
    known = [ca for ca in authority.cas.known.all if ca.row.state is not Standing.REVOKED]
    cas = [ca for ca in known if ca.row.role is not Role.CROSS and ca.row.active_from]
    names = [crl_name(ca.fingerprint) for ca in cas]
    names += [crl_name(ca.fingerprint, shard) for ca in cas if ca.row.role is Role.ISSUING for shard in shards]
    return {name: lints.of_crl((await authority.revocation.crl(name)).der) for name in names}


def number(certificate: bytes) -> int:
    """Return a certificate's serial number."""
    return x509.load_der_x509_certificate(certificate).serial_number


async def revoked(authority: Authority, reason: Reason) -> bytes:
    """Return a certificate (DER) that was revoked for a reason."""
    made = await issue(authority)
    await authority.revoke(grant("credentials:revoke"), RevokeCertificate(made.serial_number, reason), entry())
    return der(made.certificate)


@ALGORITHMS
async def test_every_revocation_list(tmp_path: Path, algorithm: Algorithm) -> None:
    """Complete lists and shards, empty ones and those with every reason, of issuing CAs and roots: nothing is found."""
    authority = await opened(tmp_path, algorithm=algorithm)
    assert left(await lists(authority, 0, SHARDS - 1)) == {}
    shards = {shard_of(number(await revoked(authority, reason))) for reason in Reason}
    await rotate(authority, What.ISSUING, compromised=True)
    shards.add(shard_of(number(await revoked(authority, Reason.UNSPECIFIED))))
    assert left(await lists(authority, *shards)) == {}


# --- OCSP answers ---------------------------------------------------------------------------------


async def asked(
    authority: Authority, certificate: bytes, nonce: bytes = b"", over: hashes.HashAlgorithm | None = None
) -> bytes:
    """Return what the responder says about a certificate (DER) of the CA that issues now."""
    issuer = authority.cas.known.issuing.certificate
    builder = ocsp.OCSPRequestBuilder()
    builder = builder.add_certificate(x509.load_der_x509_certificate(certificate), issuer, over or hashes.SHA256())
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return (await authority.revocation.ocsp(builder.build().public_bytes(Encoding.DER), entry)).der


def forged(authority: Authority) -> bytes:
    """Return a certificate (DER) in the name of the CA that issues now, which it never signed."""
    impostor = Held(authority.cas.known.issuing.certificate, ec.generate_private_key(ec.SECP256R1()))
    return make(Made(), impostor).certificate.public_bytes(Encoding.DER)


def status(answer: bytes) -> ocsp.OCSPCertStatus:
    """Return what an answer says."""
    return ocsp.load_der_ocsp_response(answer).certificate_status


@ALGORITHMS
async def test_every_answer(tmp_path: Path, algorithm: Algorithm) -> None:
    """Good, revoked for every reason, unknown; with a nonce and without; over SHA-1 and SHA-256: nothing is found."""
    authority = await opened(tmp_path, algorithm=algorithm)
    good = der((await issue(authority)).certificate)
    bad = {f"revoked {reason}": await revoked(authority, reason) for reason in Reason}
    about = {"good": good, "unknown": forged(authority), **bad}
    findings: Findings = {}
    for what, certificate in about.items():
        for nonce in (b"", b"n" * 32):
            for over in (hashes.SHA1(), hashes.SHA256()):  # noqa: S303 - as clients name issuers
                answer = await asked(authority, certificate, nonce, over)
                assert status(answer).name == what.split()[0].upper()
                findings[f"{what} {nonce!r} {over.name}"] = lints.of_ocsp(answer)
    assert left(findings) == {}


async def test_every_refusal(tmp_path: Path) -> None:
    """What is answered to rubbish, and to a question about somebody else's CA, is well formed too."""
    authority = await opened(tmp_path / "data")
    another = await opened(tmp_path / "other")
    certificate, issuer = certificates((await issue(another)).certificate_chain)[:2]
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA256())
    for request in (b"rubbish", builder.build().public_bytes(Encoding.DER)):
        assert lints.of_ocsp((await authority.revocation.ocsp(request, entry)).der) == set()


# --- the judge ------------------------------------------------------------------------------------


def test_the_judge_sees() -> None:
    """What is wrong is found: a test here that finds nothing has looked."""
    world = World()
    signs = make(Made(signs=True), world.issuing).certificate.public_bytes(Encoding.DER)
    assert any("ee_certificate_keycertsign" in each for each in left({"one": lints.of_certificate(signs)})["one"])
    issuer, other = (each.certificate.public_bytes(Encoding.DER) for each in (world.issuing, world.root))
    bot = world.bot.certificate.public_bytes(Encoding.DER)
    assert left({"pair": lints.of_pair(issuer, bot)}) == {}
    assert any("signature_verification_failed" in line for line in lints.of_pair(other, bot))
    now = dt.datetime.now(dt.UTC)
    bare = x509.CertificateRevocationListBuilder(world.root.certificate.subject, now, now + dt.timedelta(days=1))
    crl = bare.sign(world.root.key, hashes.SHA256()).public_bytes(Encoding.DER)
    assert any("crl_number" in line for line in lints.of_crl(crl)), lints.of_crl(crl)

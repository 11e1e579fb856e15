"""Issuing: what a certificate holds, who may ask, which names and requests are refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Never

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID
from msgspec.structs import replace

from tests.support.pki import (
    DAY,
    POLICY,
    START,
    KeptEntries,
    SetClock,
    csr,
    entry,
    grant,
    key_usage,
    opened,
)
from tradewarden.access.principal import OWN_NAME
from tradewarden.audit.entry import Auditor, EventType, Origin
from tradewarden.errors import (
    ConfigurationError,
    IntegrityError,
    InvalidInputError,
    LimitExceededError,
    NameRefusedError,
    PermissionDeniedError,
    UnavailableError,
)
from tradewarden.pki.certificate import issuer as issuing
from tradewarden.pki.certificate.algorithm import Algorithm
from tradewarden.pki.certificate.profiles import SERVICE
from tradewarden.pki.credentials import IssueCredentials
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_pki import MemoryPkiStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tradewarden.pki.authority import Authority
    from tradewarden.pki.certificate.algorithm import PrivateKey
    from tradewarden.pki.certificate.issuer import Order
    from tradewarden.pki.certificate.profiles import Extension
    from tradewarden.pki.credentials import Credentials
    from tradewarden.pki.store import CertificateRow


ISSUE = "credentials:issue"
APPROVED = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256,
    SignatureAlgorithmOID.ECDSA_WITH_SHA384,
    SignatureAlgorithmOID.ED25519,
    SignatureAlgorithmOID.RSASSA_PSS,
}


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[Authority]:
    """Give an authority."""
    made = await opened(tmp_path)
    yield made
    await made.close()


async def issue(authority: Authority, service: str = "bot", **asked: Any) -> Credentials:  # noqa: ANN401  (the fields of the command)
    """Issue to a service, as an admin."""
    return await authority.issue(grant(ISSUE, service), IssueCredentials(service, **asked), entry())


def lint(certificate: x509.Certificate, service: str) -> list[str]:
    """Return what is wrong with a service's certificate, by the rules of our own profile and RFC 5280."""
    found = {each.oid: each for each in certificate.extensions}
    value = {oid: each.value for oid, each in found.items()}
    names = value[x509.SubjectAlternativeName.oid]
    usage = value[x509.KeyUsage.oid]
    purposes = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    rules = {
        "version 3": certificate.version is x509.Version.v3,
        "serial of 65 to 159 bits": 64 < certificate.serial_number.bit_length() <= 159,
        "subject is the service": certificate.subject.rfc4514_string() == f"CN={service}",
        "no CA": value[x509.BasicConstraints.oid] == x509.BasicConstraints(ca=False, path_length=None),
        "constraints critical": found[x509.BasicConstraints.oid].critical,
        "usage critical": found[x509.KeyUsage.oid].critical,
        "signs only": usage.digital_signature and not usage.key_cert_sign and not usage.crl_sign,
        "purposes": set(value[x509.ExtendedKeyUsage.oid]) == purposes,
        "one SPIFFE ID": names.get_values_for_type(x509.UniformResourceIdentifier)
        == [f"spiffe://trade.example/{service}"],
        "no wildcard": not any("*" in name for name in names.get_values_for_type(x509.DNSName)),
        "key identifiers": {x509.SubjectKeyIdentifier.oid, x509.AuthorityKeyIdentifier.oid} <= set(found),
        "no other extension": len(found) == 6,
        "SHA-2": certificate.signature_hash_algorithm is None
        or certificate.signature_hash_algorithm.name in ("sha256", "sha384"),
        "approved signature, PSS for RSA": certificate.signature_algorithm_oid in APPROVED,
    }
    return [name for name, holds in rules.items() if not holds]


@pytest.mark.parametrize("algorithm", list(Algorithm))
async def test_every_algorithm_issues_certificates_that_pass_the_lint(tmp_path: Path, algorithm: Algorithm) -> None:
    """A certificate of each CA algorithm holds to our profile and verifies up to the root."""
    authority = await opened(tmp_path, policy=replace(POLICY, algorithm=algorithm))
    made = await issue(authority, dns_names=("bot.internal",), ip_addresses=("10.0.0.7",))
    await authority.close()

    chain = x509.load_pem_x509_certificates(made.certificate_chain.encode())
    root = x509.load_pem_x509_certificate(made.ca_certificate.encode())
    assert lint(chain[0], "bot") == []
    chain[0].verify_directly_issued_by(chain[1])
    chain[1].verify_directly_issued_by(root)
    assert chain[1].extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


async def test_the_answer_tells_what_the_certificate_says(authority: Authority) -> None:
    """Serial number, fingerprint, names, times and key of the answer are those of the certificate."""
    made = await issue(authority, dns_names=("bot.internal",), ip_addresses=("10.0.0.7", "::1"))

    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    key = load_pem_private_key((made.private_key or "").encode(), None)
    assert int(made.serial_number, 16) == certificate.serial_number
    assert len(made.serial_number) == 40
    assert made.fingerprint_sha256 == certificate.fingerprint(hashes.SHA256()).hex()
    assert names.get_values_for_type(x509.DNSName) == ["bot", "bot.internal"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("10.0.0.7"), ip_address("::1")]
    assert made.spiffe_id == "spiffe://trade.example/bot"
    assert key.public_key() == certificate.public_key()
    assert made.issued_at == START
    assert made.expires_at == certificate.not_valid_after_utc.timestamp() == START + 365 * DAY
    assert certificate.not_valid_before_utc.timestamp() == START  # the issuing CA's own start
    assert "PRIVATE" not in repr(made)


async def test_a_certificate_is_valid_from_a_minute_ago(tmp_path: Path) -> None:
    """Verifiers whose clocks are up to a minute behind accept a new certificate."""
    clock = SetClock()
    authority = await opened(tmp_path, clock=clock)
    clock.time += DAY
    made = await issue(authority)
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    assert certificate.not_valid_before_utc.timestamp() == clock.time - 60
    await authority.close()


async def test_a_service_with_an_underscore_has_no_dns_name_of_its_own(authority: Authority) -> None:
    """A service name that is no DNS label stands in the SPIFFE ID alone."""
    made = await issue(authority, "trading_bot")
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == []
    assert made.spiffe_id == "spiffe://trade.example/trading_bot"


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 3072),
    ],
    ids=["P-256", "P-384", "Ed25519", "RSA-3072"],
)
async def test_a_csr_gets_a_certificate_for_its_key(authority: Authority, key: PrivateKey) -> None:
    """The certificate carries the key of the CSR, and no private key is answered."""
    made = await issue(authority, csr=csr(key))
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    assert certificate.public_key() == key.public_key()
    assert made.private_key is None
    assert lint(certificate, "bot") == []


async def test_a_csr_may_ask_for_what_it_gets(authority: Authority) -> None:
    """Names, uses and constraints within the command and the profile are no reason to refuse."""
    asked = csr(
        sans=(
            x509.DNSName("bot"),
            x509.DNSName("bot.internal"),
            x509.IPAddress(ip_address("10.0.0.7")),
            x509.UniformResourceIdentifier("spiffe://trade.example/bot"),
        ),
        extensions=(
            x509.BasicConstraints(ca=False, path_length=None),
            key_usage(),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
        ),
    )
    made = await issue(authority, csr=asked, dns_names=("bot.internal",), ip_addresses=("10.0.0.7",))
    assert made.private_key is None


def _broken_signature() -> str:
    good = csr()
    at = good.index("-----END") - 12
    return good[:at] + ("AAAA" if good[at : at + 4] != "AAAA" else "BBBB") + good[at + 4 :]


def _over_sha1(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """Return a CSR whose signature verifies and is over SHA-1, which the library makes no more."""
    info = x509.load_pem_x509_csr(csr(key).encode()).tbs_certrequest_bytes
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(info, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - that it is refused
        algorithm = bytes.fromhex("300d06092a864886f70d0101050500")  # sha1WithRSAEncryption
    else:
        signature = key.sign(info, ec.ECDSA(hashes.SHA1()))  # noqa: S303
        algorithm = bytes.fromhex("300906072a8648ce3d0401")  # ecdsa-with-SHA1
    bits = b"\0" + signature
    body = info + algorithm + b"\x03" + _length(bits) + bits
    request = x509.load_der_x509_csr(b"\x30" + _length(body) + body)
    return request.public_bytes(Encoding.PEM).decode()


def _length(content: bytes) -> bytes:
    count = len(content)
    if count < 128:
        return bytes([count])
    octets = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes([128 + len(octets)]) + octets


_P256 = ec.generate_private_key(ec.SECP256R1())
BAD_CSRS = {
    "wrong signature": (_broken_signature(), "signature does not verify|cannot be read"),
    "other key's signature": (None, "signature does not verify"),
    "RSA 2048": (csr(rsa.generate_private_key(65537, 2048)), "RSA key has 2048 bits"),
    "RSA exponent 3": (csr(rsa.generate_private_key(3, 3072)), "exponent"),
    "P-224": (csr(ec.generate_private_key(ec.SECP224R1())), "curve secp224r1"),
    "secp256k1": (csr(ec.generate_private_key(ec.SECP256K1())), "curve secp256k1"),
    "P-521": (csr(ec.generate_private_key(ec.SECP521R1())), "curve secp521r1"),
    "RSA over SHA-1": (_over_sha1(rsa.generate_private_key(65537, 3072)), "signed over sha1"),
    "P-256 over SHA-1": (_over_sha1(_P256), "signed over sha1"),
    "DSA": (csr(dsa.generate_private_key(2048)), "kind of key"),
    "CA:TRUE": (csr(extensions=(x509.BasicConstraints(ca=True, path_length=None),)), "to be a CA"),
    "keyCertSign": (
        csr(extensions=(key_usage(signs_certificates=True),)),
        "key_cert_sign",
    ),
    "foreign SPIFFE ID": (
        csr(sans=(x509.UniformResourceIdentifier("spiffe://trade.example/other"),)),
        "spiffe://trade.example/other",
    ),
    "its own DNS name in capitals": (csr(sans=(x509.DNSName("BOT"),)), "DNSName:BOT"),
    "foreign DNS name": (csr(sans=(x509.DNSName("other"),)), "DNSName:other"),
    "wildcard": (csr(sans=(x509.DNSName("*.internal"),)), r"\*\.internal"),
    "IP as DNS": (csr(sans=(x509.DNSName("10.0.0.7"),)), "10.0.0.7"),
    "email": (csr(sans=(x509.RFC822Name("a@b.example"),)), "RFC822Name"),
    "directory name": (csr(sans=(x509.DirectoryName(x509.Name([])),)), "DirectoryName"),
    "code signing": (
        csr(extensions=(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]),)),
        "1.3.6.1.5.5.7.3.3",
    ),
    "other extension": (csr(extensions=(x509.OCSPNoCheck(),)), "extension 1.3.6.1.5.5.7.48.1.5"),
    "other CN": (csr(cn="other"), "CN is not the service_name"),
    "organization": (
        csr(subject=(x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Other"),)),
        "subject holds O",
    ),
    "two names, one foreign": (
        csr(subject=(x509.NameAttribute(NameOID.COMMON_NAME, "other"),)),
        "CN is not the service_name",
    ),
    "wrong label": (csr().replace("CERTIFICATE REQUEST", "CERTIFICATE"), "one PEM block"),
    "two blocks": (csr() + csr(), "one PEM block"),
    "text around": ("Subject: CN=bot\n" + csr(), "one PEM block"),
    "empty": ("", "one PEM block"),
    "not base64": (
        "-----BEGIN CERTIFICATE REQUEST-----\nA\n-----END CERTIFICATE REQUEST-----",
        "cannot be read",
    ),
}


def _swapped_key() -> str:
    """Return a CSR whose signature is another key's."""
    import base64

    ours, theirs = csr(_P256), csr(ec.generate_private_key(ec.SECP256R1()))
    a, b = (base64.b64decode("".join(each.splitlines()[1:-1])) for each in (ours, theirs))
    info = x509.load_der_x509_csr(a).tbs_certrequest_bytes
    foreign = x509.load_der_x509_csr(b).tbs_certrequest_bytes
    mixed = b.replace(foreign, info)
    body = base64.encodebytes(mixed).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize("name", list(BAD_CSRS))
async def test_a_csr_that_is_weak_or_asks_too_much_is_refused_by_name(authority: Authority, name: str) -> None:
    """Each bad CSR is an InvalidInputError that says what is wrong, and nothing is issued."""
    pem, says = BAD_CSRS[name]
    with pytest.raises(InvalidInputError, match=says) as caught:
        await issue(authority, csr=pem if pem is not None else _swapped_key())
    assert caught.value.detail.startswith("The CSR is refused: ")
    assert (await authority.counts()).active == 0


async def test_a_csr_of_a_megabyte_is_too_large(authority: Authority) -> None:
    """A CSR beyond 16 KiB is refused before it is parsed."""
    with pytest.raises(LimitExceededError, match="larger than 16384 bytes"):
        await issue(authority, csr=csr() + "\n" * 1_000_000)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"dns_names": ("*.internal",)}, "wildcard"),
        ({"dns_names": ("10.0.0.7",)}, "reads as an IP address"),
        ({"dns_names": ("Bot",)}, "not understood"),
        ({"dns_names": ("a_b.internal",)}, "not understood"),
        ({"dns_names": ("-a.internal",)}, "not understood"),
        ({"dns_names": ("a..b",)}, "not understood"),
        ({"dns_names": ("a.b.",)}, "not understood"),
        ({"dns_names": ("bücher.example",)}, "not understood"),
        ({"dns_names": ("a\n",)}, "not understood"),
        ({"dns_names": ("www.xn--abc.internal",)}, "'xn--abc' begins with 'xn--' and is no internationalized label"),
        ({"dns_names": ("www.ab--cd.internal",)}, "'ab--cd' has '--' in its third and fourth place"),
        ({"dns_names": (".".join(["a" * 60] * 5),)}, "not understood"),
        ({"dns_names": tuple(f"h{n}" for n in range(33))}, "At most 32"),
        ({"ip_addresses": ("10.0.0.256",)}, "not the address of one host"),
        ({"ip_addresses": ("10.0.0.0/8",)}, "not the address of one host"),
        ({"ip_addresses": ("0.0.0.0",)}, "not the address of one host"),  # noqa: S104
        ({"ip_addresses": ("fe80::1%eth0",)}, "not the address of one host"),
        ({"ip_addresses": ("224.0.0.1",)}, "not the address of one host"),
        ({"ip_addresses": tuple(f"10.0.0.{n}" for n in range(33))}, "At most 32"),
        ({"ttl_hours": 0}, "ttl_hours must be from 1 to 8760"),
        ({"ttl_hours": 8761}, "ttl_hours must be from 1 to 8760"),
    ],
)
async def test_names_and_terms_that_are_no_good_are_refused(
    authority: Authority, asked: dict[str, Any], says: str
) -> None:
    """Each bad name or term is an InvalidInputError that says what is wrong."""
    with pytest.raises(InvalidInputError, match=says):
        await issue(authority, **asked)


@pytest.mark.parametrize("service", ["Bot", "../bot", "", "a" * 64, "bot/x"])
async def test_service_names_that_are_no_good_are_refused(authority: Authority, service: str) -> None:
    """A name outside the rule gets no certificate."""
    with pytest.raises(InvalidInputError, match="service_name"):
        await authority.issue(grant(ISSUE), IssueCredentials(service), entry())


async def test_our_own_name_is_nobody_elses(authority: Authority) -> None:
    """Neither an admin's order nor an ACME one gets a certificate that says it is this service."""
    with pytest.raises(NameRefusedError, match="own"):
        await authority.issue(grant(ISSUE), IssueCredentials(OWN_NAME), entry())
    with pytest.raises(NameRefusedError, match="own"):
        await authority.registration.require_orderable(OWN_NAME, ("warden.example",), (), vouched=True)


async def test_the_right_to_issue_is_scoped_by_name(authority: Authority) -> None:
    """Who may issue for one service may not issue for another."""
    narrow = grant(ISSUE, "bot", ("credentials:issue:bot",))
    assert (await authority.issue(narrow, IssueCredentials("bot"), entry())).service_name == "bot"
    with pytest.raises(PermissionDeniedError):
        await authority.issue(narrow, IssueCredentials("other"), entry())
    with pytest.raises(PermissionDeniedError):
        await authority.issue(grant("credentials:read"), IssueCredentials("bot"), entry())


async def test_a_short_term_is_kept_and_a_long_one_is_cut_to_the_ca(tmp_path: Path) -> None:
    """A certificate ends after its hours, or with its CA when that ends sooner."""
    clock = SetClock()
    authority = await opened(tmp_path, clock=clock)
    short = await issue(authority, ttl_hours=2)
    clock.time = authority.ca_expires_at - DAY
    cut = await issue(authority)
    await authority.close()
    assert short.expires_at == START + 2 * 3600
    assert cut.expires_at == authority.ca_expires_at


async def test_nothing_is_issued_outside_the_cas_own_time(tmp_path: Path) -> None:
    """With the clock beyond the CA's end, or before its start, issuing is unavailable and says why."""
    clock = SetClock()
    authority = await opened(tmp_path, clock=clock)
    for moment in (authority.ca_expires_at, START - DAY):
        clock.time = moment
        with pytest.raises(UnavailableError, match="issuing CA is valid from"):
            await issue(authority)


async def test_what_was_not_ordered_is_thrown_away(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that differs from its order in anything is found by the validation after signing."""
    real = issuing.builder

    change: dict[str, object] = {}

    def other(order: Order, name: x509.Name, extensions: list[Extension]) -> x509.CertificateBuilder:
        return real(order._replace(**change), name, extensions)  # type: ignore[arg-type]  # wrong on purpose

    monkeypatch.setattr(issuing, "builder", other)
    for wrong in (
        {"serial": 7},
        {"not_after": int(START) + 9 * 366 * DAY},
        {"public_key": _P256.public_key()},
        {"subject": x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "other")])},
    ):
        change.clear()
        change.update(wrong)
        with pytest.raises(IntegrityError, match="not what was ordered"):
            await issue(authority)
    monkeypatch.setattr(issuing, "builder", lambda order, name, found: real(order, name, found[1:]))
    with pytest.raises(IntegrityError, match="not what was ordered"):
        await issue(authority)
    elsewhere = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Other CA")])
    monkeypatch.setattr(issuing, "builder", lambda order, _, found: real(order, elsewhere, found))
    with pytest.raises(IntegrityError, match="not what was ordered"):
        await issue(authority)
    assert (await authority.counts()).active == 0


async def test_no_certificate_outlives_its_issuer(authority: Authority) -> None:
    """An order that goes beyond the issuer's own time is found by the validation after signing."""
    issuer, key = authority.cas.known.issuing.signer(), _P256.public_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bot")])
    for start, end in ((issuer.starts - 1, issuer.ends), (issuer.starts, issuer.ends + 1)):
        with pytest.raises(IntegrityError) as caught:
            issuer.issue(issuing.Order(SERVICE, subject, key, 1 << 70, start, end))
        assert "beyond the issuer's" in caught.value.reason


async def test_row_and_entry_are_written_together(tmp_path: Path) -> None:
    """An issue leaves one audit entry that names the service, the serial number and the row's digest."""
    database, journal = MemoryDatabase(), KeptEntries()
    authority = await opened(tmp_path, MemoryPkiStore(database))
    auditor = Auditor(journal, SetClock())
    async with auditor.entry(EventType.CERTIFICATE, ISSUE, Origin()) as written:
        made = await authority.issue(grant(ISSUE, "bot"), IssueCredentials("bot"), written)
    await authority.close()
    (event,) = database.inbox
    assert journal.events == []
    assert f'"resource":"bot/{made.serial_number}"'.encode() in event
    assert re.search(rb'"rows":\["[0-9a-f]{64}"\]', event)
    assert b"PRIVATE" not in event


async def test_a_store_that_fails_fails_the_issue(tmp_path: Path) -> None:
    """Without row and entry there is no certificate."""

    class Failing(MemoryPkiStore):
        async def add(self, row: CertificateRow, entry: bytes) -> Never:
            raise UnavailableError("The database cannot be written now")

    authority = await opened(tmp_path, Failing(MemoryDatabase()))
    with pytest.raises(UnavailableError):
        await issue(authority)
    await authority.close()
    assert not list((tmp_path / "credentials").iterdir())


async def test_the_servers_own_certificate_is_for_servers_only(authority: Authority) -> None:
    """Our listener's certificate carries the asked names, serverAuth alone, and stands in the inventory."""
    made = await authority.server_certificate(grant(ISSUE), ("localhost", "warden.example"), ("127.0.0.1",), entry())
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert names.get_values_for_type(x509.DNSName) == ["tradewarden", "localhost", "warden.example"]
    kept = await authority.get(grant("credentials:read"), made.serial_number)
    assert (kept.profile, kept.service_name) == ("server", "tradewarden")


async def test_places_of_crl_and_issuer_are_named_when_configured(tmp_path: Path) -> None:
    """With URLs in the policy a certificate says where its CRL and its issuer's certificate are."""
    authority = await opened(tmp_path, policy=replace(POLICY, public_url="http://w.example"))
    issuing, root = x509.load_pem_x509_certificates(authority.ca_chain().encode())
    certificate = x509.load_pem_x509_certificate((await issue(authority)).certificate.encode())
    await authority.close()
    issuer, above = (each.fingerprint(hashes.SHA256()).hex()[:20] for each in (issuing, root))
    shard = certificate.serial_number % 32
    assert pointers(certificate) == [
        f"http://w.example/ca/crl/{issuer}-{shard:02x}.crl",
        "http://w.example/ca/ocsp",
        f"http://w.example/ca/issuers/{issuer}.cer",
    ]
    assert pointers(issuing) == [f"http://w.example/ca/crl/{above}.crl", f"http://w.example/ca/issuers/{above}.cer"]


def pointers(certificate: x509.Certificate) -> list[str]:
    """Return where a certificate points: its revocation list, then what stands in its authority information access."""
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert points[0].full_name is not None
    return [points[0].full_name[0].value, *(each.access_location.value for each in access)]


async def test_a_trust_domain_that_is_none_stops_the_start(tmp_path: Path) -> None:
    """A trust domain that cannot stand in a SPIFFE ID is named with its variable."""
    with pytest.raises(ConfigurationError, match="TRADEWARDEN_TRUST_DOMAIN"):
        await opened(tmp_path, policy=replace(POLICY, trust_domain="Not A Domain"))


async def test_serial_numbers_differ(authority: Authority) -> None:
    """Two certificates never share a serial number, and the CA's term is ten and five years."""
    made = {(await issue(authority)).serial_number for _ in range(20)}
    assert len(made) == 20
    root = x509.load_pem_x509_certificate(authority.ca_certificate().encode())
    assert root.not_valid_after_utc >= datetime(2035, 12, 30, tzinfo=UTC)

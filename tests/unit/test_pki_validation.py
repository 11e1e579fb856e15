"""Validation after signing: only the certificate that was ordered, byte for byte, comes through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.pki import START, key_usage
from tradewarden.errors import IntegrityError
from tradewarden.pki.certificate.algorithm import Algorithm, generate, signing
from tradewarden.pki.certificate.encoding import tbs_der
from tradewarden.pki.certificate.issuer import (
    Issuer,
    Order,
    builder,
    fixed_der,
    public_der,
    self_signed,
    validate,
    variable,
)
from tradewarden.pki.certificate.names import names_of
from tradewarden.pki.certificate.profiles import ROOT, SERVICE, extension

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.pki.certificate.algorithm import PrivateKey
    from tradewarden.pki.certificate.profiles import Extension

NOW, YEAR = int(START), 366 * 86_400
KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
FOREIGN = x509.DNSName("foreign.example")


def named(text: str, kind: _ASN1Type = _ASN1Type.UTF8String) -> x509.Name:
    """Return a name of one CN, in the given string type."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, kind)])


def root(key: PrivateKey, name: x509.Name | None = None, years: int = 20) -> x509.Certificate:
    """Return a root over `key`."""
    return self_signed(Order(ROOT, name or named("CA"), key.public_key(), 7, NOW, NOW + years * YEAR), key)


CA = root(KEY)
ISSUER = Issuer(CA, KEY)
ORDER = Order(
    SERVICE,
    named("bot"),
    OTHER.public_key(),
    0xF1 << 80,
    NOW + 60,
    NOW + YEAR,
    names_of("trade.example", "bot", ("bot.internal",), ("10.0.0.7", "::1")).general(),
)


def extensions(order: Order = ORDER) -> list[Extension]:
    """Return all extensions of an order, in their order."""
    return [*SERVICE.extensions, ISSUER.authority_key, *variable(order)]


def check(der: bytes) -> None:
    """Hold a certificate against the order."""
    tbs = tbs_der(fixed_der(ORDER, ISSUER._signer, ISSUER._encoded), ORDER, public_der(ORDER.public_key))
    validate(der, ORDER, tbs, ISSUER._signer)


def made(
    order: Order = ORDER,
    found: list[Extension] | None = None,
    name: x509.Name = ISSUER.name,
    key: ec.EllipticCurvePrivateKey = KEY,
    over: hashes.SHA256 | hashes.SHA384 | None = None,
) -> bytes:
    """Return a certificate signed as told."""
    unsigned = builder(order, name, extensions(order) if found is None else found)
    return unsigned.sign(key, over or hashes.SHA256()).public_bytes(Encoding.DER)


def changed(at: int, *instead: Extension) -> list[Extension]:
    """Return the ordered extensions with the one at `at` replaced."""
    found = extensions()
    return [*found[:at], *instead, *found[at + 1 :]]


def test_what_was_ordered_comes_through() -> None:
    """A certificate made from the order passes."""
    check(made())


WRONG: dict[str, Callable[[], bytes]] = {
    "serial number": lambda: made(ORDER._replace(serial=ORDER.serial + 1)),
    "start": lambda: made(ORDER._replace(not_before=ORDER.not_before - 1)),
    "end": lambda: made(ORDER._replace(not_after=ORDER.not_after + 1)),
    "subject": lambda: made(ORDER._replace(subject=named("other"))),
    "subject's string type": lambda: made(ORDER._replace(subject=named("bot", _ASN1Type.PrintableString))),
    "empty subject": lambda: made(ORDER._replace(subject=x509.Name([]))),
    "public key": lambda: made(ORDER._replace(public_key=KEY.public_key())),
    "public key alone": lambda: made(ORDER._replace(public_key=KEY.public_key()), extensions()),
    "foreign name": lambda: made(ORDER._replace(names=(*ORDER.names, FOREIGN))),
    "name too few": lambda: made(ORDER._replace(names=ORDER.names[1:])),
    "other order of names": lambda: made(ORDER._replace(names=ORDER.names[::-1])),
    "no extensions": lambda: made(found=[]),
    "no constraints": lambda: made(found=changed(0)),
    "constraints not critical": lambda: made(found=changed(0, extension(SERVICE.constraints))),
    "CA:TRUE": lambda: made(found=changed(0, *ROOT.extensions[:1])),
    "usage of a CA": lambda: made(
        found=changed(1, extension(key_usage(signs_certificates=True), critical=True)),
    ),
    "another purpose": lambda: made(
        found=changed(
            2, extension(x509.ExtendedKeyUsage([*(SERVICE.extended or ()), ExtendedKeyUsageOID.CODE_SIGNING]))
        )
    ),
    "no authority key": lambda: made(found=changed(3)),
    "extension too many": lambda: made(found=[*extensions(), extension(x509.OCSPNoCheck())]),
    "other order of extensions": lambda: made(found=extensions()[::-1]),
    "issuer's name": lambda: made(name=named("Other CA")),
    "issuer's name in another string type": lambda: made(name=named("CA", _ASN1Type.PrintableString)),
    "another key's signature": lambda: made(key=OTHER),
    "another hash": lambda: made(over=hashes.SHA384()),
    "bytes behind it": lambda: made() + b"\x00",
    "cut short": lambda: made()[:-1],
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("what", list(WRONG))
def test_whatever_differs_is_refused(what: str) -> None:
    """A certificate that differs from its order in one thing, correctly signed or not, is refused."""
    with pytest.raises(IntegrityError, match="not what was ordered"):
        check(WRONG[what]())


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_no_bit_may_differ() -> None:
    """A good certificate with one bit changed is refused, wherever that bit is."""
    good = made()
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1 << at % 8
        with pytest.raises(IntegrityError):
            check(bytes(bad))


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_wrong_signature_of_any_algorithm_is_refused(algorithm: Algorithm) -> None:
    """The signature itself is verified for every algorithm, not only its place and kind."""
    key, other = generate(algorithm), generate(algorithm)
    issuer = Issuer(root(key), key)
    issuer.issue(ORDER)
    issuer._key = other
    with pytest.raises(IntegrityError) as caught:
        issuer.issue(ORDER)
    assert "signature does not verify" in caught.value.reason


def test_a_signature_is_verified_as_its_key_signs() -> None:
    """A key of another kind than the signing's verifies nothing, whatever the signature."""
    data = b"data"
    signature = KEY.sign(data, ec.ECDSA(hashes.SHA256()))
    signing(KEY).verify(KEY.public_key(), signature, data)
    for algorithm in (Algorithm.ED25519, Algorithm.RSA3072):
        with pytest.raises(InvalidSignature):
            signing(generate(algorithm)).verify(KEY.public_key(), signature, data)
    with pytest.raises(InvalidSignature):
        signing(KEY).verify(generate(Algorithm.ED25519).public_key(), signature, data)


def test_the_chain_is_judged_by_the_library_at_an_issuers_first_certificate() -> None:
    """An issuer whose name would not chain issues nothing, however often it is asked."""
    issuer = Issuer(CA, KEY)
    issuer.certificate = root(KEY, named("CA", _ASN1Type.PrintableString))
    for _ in range(2):
        with pytest.raises(IntegrityError) as caught:
            issuer.issue(ORDER)
        assert "issuer's certificate" in caught.value.reason


@pytest.mark.parametrize("kind", [_ASN1Type.PrintableString, _ASN1Type.BMPString, _ASN1Type.UTF8String])
def test_a_ca_named_in_any_string_type_issues(kind: _ASN1Type) -> None:
    """The name of a CA that is brought along stands in what it issues as it stands in itself."""
    ca = root(KEY, named("Old CA", kind))
    issued = Issuer(ca, KEY).issue(ORDER).certificate
    issued.verify_directly_issued_by(ca)


def test_times_from_2050_on_are_read_back() -> None:
    """A certificate that ends in 2050 or later, where the encoding of times changes, comes through."""
    ca = root(KEY, years=40)
    first = int(ca.not_valid_before_utc.replace(year=2050, month=1, day=1).timestamp())
    for end in (first - 1, first, first + YEAR):
        issued = Issuer(ca, KEY).issue(ORDER._replace(not_after=end)).certificate
        assert issued.not_valid_after_utc.timestamp() == end

"""Account keys and signed calls: published examples, and what is not taken."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.support.acme import MAKERS, Pair, binding
from tradewarden.acme import jws
from tradewarden.acme.jwk import account_key, kept_key, key_of
from tradewarden.acme.problem import AcmeError, AcmeProofError, Kind
from tradewarden.crypto.base64url import base64url, unbase64url

# RFC 7638 section 3.1
RSA_EXAMPLE = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjB"
    "ZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8"
    "KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"
    "xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
# RFC 8037 appendix A.2 and A.3
ED_EXAMPLE = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
URL = "http://127.0.0.1:8002/acme/new-order"


def test_thumbprints_are_those_of_the_standards() -> None:
    """The thumbprints of RFC 7638 section 3.1 and RFC 8037 appendix A.3 come out, whatever else a JWK says."""
    assert account_key(RSA_EXAMPLE).thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert account_key(ED_EXAMPLE).thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_example_signature_of_rfc_8037_verifies() -> None:
    """The Ed25519 signature of RFC 8037 appendix A.4 verifies under its key, and not when one letter differs."""
    signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    text = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    header, payload = signed.split(".")
    call = jws.Signed(header, payload, text)
    about = jws.Header("EdDSA", URL)
    jws.verify(call, about, account_key(ED_EXAMPLE))
    with pytest.raises(AcmeProofError):
        jws.verify(jws.Signed(header, payload, "i" + text[1:]), about, account_key(ED_EXAMPLE))


@pytest.mark.parametrize("algorithm", MAKERS)
def test_every_algorithm_verifies_what_its_key_signed(algorithm: str) -> None:
    """A call signed with each of the four algorithms verifies, by the key as it was sent and as it was kept."""
    pair = Pair(algorithm)
    header = {"alg": algorithm, "nonce": "n", "url": URL, "jwk": pair.jwk}
    call = jws.read_signed(msgspec.json.encode(pair.jws(header, {"a": 1})))
    about = jws.read_header(call)
    jws.verify(call, about, account_key(about.jwk or {}))
    jws.verify(call, about, kept_key(pair.public.text))
    assert jws.payload_of(call) == b'{"a":1}'
    assert account_key(pair.jwk).thumbprint == pair.public.thumbprint
    with pytest.raises(AcmeProofError) as other:
        jws.verify(call, about, Pair(algorithm).public)
    assert other.value.kind is Kind.MALFORMED


def test_a_key_verifies_by_its_own_algorithm_only() -> None:
    """`alg` does not choose: one that does not go with the key is refused before anything is verified."""
    pair = Pair("ES256")
    call = jws.Signed(**pair.jws({"alg": "RS256", "nonce": "n", "url": URL, "jwk": pair.jwk}, {}))
    with pytest.raises(AcmeProofError) as refused:
        jws.verify(call, jws.read_header(call), pair.public)
    assert refused.value.kind is Kind.BAD_SIGNATURE_ALGORITHM


GOOD: dict[str, Any] = {"alg": "ES256", "nonce": "n", "url": URL, "kid": "k"}


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (GOOD | {"alg": "none"}, Kind.BAD_SIGNATURE_ALGORITHM),
        (GOOD | {"alg": "HS256"}, Kind.BAD_SIGNATURE_ALGORITHM),
        (GOOD | {"alg": "RS512"}, Kind.BAD_SIGNATURE_ALGORITHM),
        (GOOD | {"jwk": ED_EXAMPLE}, Kind.MALFORMED),
        ({name: GOOD[name] for name in ("alg", "nonce", "url")}, Kind.MALFORMED),
        ({name: GOOD[name] for name in ("alg", "nonce", "kid")}, Kind.MALFORMED),
        (GOOD | {"crit": ["b64"], "b64": False}, Kind.MALFORMED),
        (GOOD | {"jku": "http://evil.example/keys"}, Kind.MALFORMED),
        (GOOD | {"alg": 5}, Kind.MALFORMED),
        ([], Kind.MALFORMED),
    ],
)
def test_a_header_is_taken_whole_or_not_at_all(header: object, kind: Kind) -> None:
    """Both or neither of jwk and kid, other members, other algorithms: each is refused by its type."""
    call = jws.Signed(base64url(msgspec.json.encode(header)), "", "")
    with pytest.raises(AcmeProofError) as refused:
        jws.read_header(call)
    assert refused.value.kind is kind


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"protected":"","payload":"","signatures":[]}',
        b'{"protected":"","payload":"","signature":"","header":{}}',
        b'{"protected":1,"payload":"","signature":""}',
        b"\xff",
        b"[" * 100_000,
        b'{"protected":"' + b"a" * (64 * 1024) + b'","payload":"","signature":""}',
    ],
)
def test_a_body_is_a_flattened_jws_and_nothing_else(body: bytes) -> None:
    """Other serialisations, unprotected headers, nonsense and what is too long are malformed."""
    with pytest.raises(AcmeProofError) as refused:
        jws.read_signed(body)
    assert refused.value.kind is Kind.MALFORMED


@pytest.mark.parametrize("text", ["a", "YQ==", "YQ=", "Y Q", "YQ\n", "+/", "YR", "ä"])
def test_base64url_is_read_strictly(text: str) -> None:
    """Padding, other alphabets, white space and bits left over are no base64url."""
    assert unbase64url(text) is None


def weak_rsa() -> dict[str, Any]:
    """Return an RSA key of 1024 bits."""
    numbers = rsa.generate_private_key(65537, 1024).public_key().public_numbers()  # noqa: S505 - that is the point
    return {"kty": "RSA", "n": base64url(numbers.n.to_bytes(128)), "e": "AQAB"}


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
        {"kty": "OKP", "crv": "X25519", "x": ED_EXAMPLE["x"]},
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
        {**RSA_EXAMPLE, "e": "Aw"},
        {**RSA_EXAMPLE, "n": base64url(b"\0" + (unbase64url(RSA_EXAMPLE["n"]) or b""))},
        {**ED_EXAMPLE, "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"},
        weak_rsa(),
        {"kty": "EC", "crv": ["P-256"], "x": 1, "y": None},
    ],
)
def test_keys_that_are_not_accepted(jwk: dict[str, Any]) -> None:
    """Other kinds, points off the curve, short moduli, private parts: badPublicKey each."""
    with pytest.raises(AcmeProofError) as refused:
        account_key(jwk)
    assert refused.value.kind is Kind.BAD_PUBLIC_KEY


def test_a_certificates_key_becomes_the_same_jwk() -> None:
    """The key of a certificate has the thumbprint of its JWK; kinds that cannot sign a call have none."""
    for algorithm in MAKERS:
        pair = Pair(algorithm)
        assert key_of(pair.private.public_key()) == account_key(pair.jwk) or algorithm
        assert account_key(pair.jwk).thumbprint == pair.public.thumbprint
    assert key_of(object()) is None
    with pytest.raises(AcmeProofError):
        key_of(ec.generate_private_key(ec.SECP521R1()).public_key())


def test_an_external_account_binding_is_checked_by_its_mac() -> None:
    """A binding holds under its HMAC key and under no other; one signed otherwise is refused by its type."""
    bound = jws.Signed(**binding("k1", base64url(b"k" * 32), ED_EXAMPLE, URL))
    assert jws.binding_header(bound) == jws.BindingHeader("HS256", "k1", URL)
    assert jws.verify_binding(bound, b"k" * 32)
    assert not jws.verify_binding(bound, b"K" * 32)
    with pytest.raises(AcmeProofError) as refused:
        jws.binding_header(jws.Signed(**binding("k1", "AAAA", ED_EXAMPLE, URL, algorithm="HS512")))
    assert refused.value.kind is Kind.BAD_SIGNATURE_ALGORITHM


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b"{", b'"x"', b"\xff"])
def test_a_payload_is_one_object_with_each_member_once(payload: bytes) -> None:
    """What two readers could read differently is malformed."""
    with pytest.raises(AcmeError) as refused:
        jws.require_object(payload)
    assert refused.value.kind is Kind.MALFORMED


@pytest.mark.parametrize("payload", [b"{}", b'{"a":{"b":[1,2]},"c":"\\n"}', b' {\n"a" : 1 } '])
def test_an_ordinary_payload_is_taken(payload: bytes) -> None:
    """White space and values of every kind are fine."""
    jws.require_object(payload)

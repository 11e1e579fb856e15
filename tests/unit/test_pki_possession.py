"""The proof that the old key is still held, by every kind of key that is certified here."""

from __future__ import annotations

import time
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from tradewarden.crypto.jose import OneAlgorithm
from tradewarden.errors import AuthenticationError
from tradewarden.pki.possession import MAX_AGE_SECONDS, check_possession
from tradewarden.workload.possession import new_key, proof, signing_request

CSR = "-----BEGIN CERTIFICATE REQUEST-----\n…\n"
NOW = 1_800_000_000.0
EC256, EC384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
ED, RSA = ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 3072)
KINDS: list[tuple[Any, str]] = [(EC256, "ES256"), (EC384, "ES384"), (ED, "EdDSA"), (RSA, "PS256")]
GOOD: dict[str, object] = {"csr_sha256": sha256(CSR.encode()).hexdigest(), "iat": int(NOW), "aud": "/credentials/renew"}


def jwk(key: Any) -> Key:  # noqa: ANN401 - any private key
    """Return a private key as joserfc takes it."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if isinstance(key, rsa.RSAPrivateKey):
        return RSAKey.import_key(pem)
    return ECKey.import_key(pem) if isinstance(key, ec.EllipticCurvePrivateKey) else OKPKey.import_key(pem)


def sign(payload: object, key: Key, algorithm: str, **header: object) -> str:
    """Return a compact JWS."""
    return jws.serialize_compact(
        {"alg": algorithm, **header}, msgspec.json.encode(payload), key, registry=OneAlgorithm(algorithm)
    )


def refusal(given: str, key: Any = EC256, csr: str = CSR, now: float = NOW) -> str:  # noqa: ANN401 - any private key
    """Return why a proof is refused; the text is always the same."""
    with pytest.raises(AuthenticationError) as refused:
        check_possession(given, key.public_key(), csr, now)
    assert str(refused.value) == "The proof is not accepted; enrol again with a join token"
    return refused.value.reason


@pytest.mark.parametrize(("key", "algorithm"), KINDS)
def test_every_kind_of_key_proves_itself(key: Any, algorithm: str) -> None:  # noqa: ANN401 - any private key
    """By the one algorithm that goes with it."""
    check_possession(sign(GOOD, jwk(key), algorithm), key.public_key(), CSR, NOW)


def test_our_own_client_is_understood() -> None:
    """What `ServiceIdentity` sends is a proof."""
    key, now = new_key(), time.time()
    csr = signing_request(new_key())
    check_possession(proof(key, csr, now), key.public_key(), csr, now)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"aud": "/credentials/issue"}, "audience"),
        ({"aud": ["/credentials/renew"]}, "no ES256 JWS"),
        ({"csr_sha256": sha256(b"other").hexdigest()}, "another CSR"),
        ({"csr_sha256": "é"}, "another CSR"),
        ({"iat": int(NOW) - MAX_AGE_SECONDS - 1}, "five minutes"),
        ({"iat": int(NOW) + MAX_AGE_SECONDS + 1}, "five minutes"),
        ({"iat": str(int(NOW))}, "no ES256 JWS"),
        ({"iat": None}, "no ES256 JWS"),
        ({"more": 1}, "no ES256 JWS"),
    ],
)
def test_a_claim_that_does_not_fit_is_refused(change: dict[str, object], why: str) -> None:
    """Audience, CSR and time are each looked at."""
    assert why in refusal(sign({**GOOD, **change}, jwk(EC256), "ES256"))


@pytest.mark.parametrize("seconds", [-MAX_AGE_SECONDS, MAX_AGE_SECONDS])
def test_clocks_may_differ_by_five_minutes(seconds: int) -> None:
    """Up to the last second, to both sides."""
    check_possession(sign({**GOOD, "iat": int(NOW) + seconds}, jwk(EC256), "ES256"), EC256.public_key(), CSR, NOW)


def test_another_key_proves_nothing() -> None:
    """Nor does the right key's public half as a shared secret, nor `none`, nor a key that the proof brings along."""
    other = ec.generate_private_key(ec.SECP256R1())
    good = sign(GOOD, jwk(EC256), "ES256")
    assert "no ES256 JWS" in refusal(sign(GOOD, jwk(other), "ES256"))
    assert "no ES256 JWS" in refusal(sign(GOOD, OctKey.import_key("s" * 32), "HS256"))
    assert "no ES256 JWS" in refusal(sign(GOOD, jwk(ED), "EdDSA"))
    brought = jwk(other).as_dict(private=False)
    assert "no ES256 JWS" in refusal(sign(GOOD, jwk(other), "ES256", jwk=brought))
    header, payload, _ = good.split(".")
    none = "eyJhbGciOiJub25lIn0"
    for forged in (
        f"{none}.{payload}.",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        "",
        "...",
        "é",
        good + "A" * 5000,
    ):
        assert refusal(forged)


def test_a_weak_key_proves_nothing() -> None:
    """A key that is not certified here does not count, whatever it signs."""
    weak = dsa.generate_private_key(2048)
    assert "kind of key" in refusal(sign(GOOD, jwk(EC256), "ES256"), weak)

"""The SCRAM-SHA-256 verifier against the exchange in RFC 7677 section 3."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from tradewarden.secrets.rotation.rotators.scram import scram_keys, verifier

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
AUTH_MESSAGE = (
    b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
)
PROOF = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
SERVER_SIGNATURE = base64.b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def test_the_rfcs_proof_is_accepted() -> None:
    """StoredKey accepts the client's proof of RFC 7677, and ServerKey makes its server signature."""
    keys = scram_keys("pencil", SALT, 4096)
    signature = hmac.digest(keys.stored, AUTH_MESSAGE, "sha256")
    client_key = bytes(one ^ other for one, other in zip(PROOF, signature, strict=True))
    assert hashlib.sha256(client_key).digest() == keys.stored
    assert hmac.digest(keys.server, AUTH_MESSAGE, "sha256") == SERVER_SIGNATURE


def test_the_verifier_is_as_postgresql_writes_it() -> None:
    """Iterations, salt, StoredKey and ServerKey stand where PostgreSQL reads them."""
    keys = scram_keys("pencil", SALT)
    scheme, rest = verifier("pencil", SALT).split("$", 1)
    assert scheme == "SCRAM-SHA-256"
    head, tail = rest.split("$")
    assert head == "4096:W22ZaJ0SNY7soEsUEjb6gQ=="
    assert [base64.b64decode(part) for part in tail.split(":")] == list(keys)


@pytest.mark.parametrize("password", ["", "with space", "pässword", "nul\0", "x" * 257])
def test_a_password_that_saslprep_could_change_is_refused(password: str) -> None:
    """Only printable ASCII without spaces is taken, so that client and server prepare it alike; it is not repeated."""
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        scram_keys(password, SALT)
    assert not password.strip() or password not in str(caught.value)

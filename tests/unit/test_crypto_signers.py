"""Ed25519 signers: the same from the same seed, and only over the same data."""

from __future__ import annotations

import pytest

from tradewarden.crypto.signers import Signer, Verifier
from tradewarden.errors import IntegrityError, InvalidInputError

# RFC 8032 section 7.1, test 2
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_rfc8032() -> None:
    """A seed gives the key and the signature of RFC 8032, every time."""
    assert Signer(SEED).public_key.hex() == PUBLIC
    assert Signer(SEED).sign(b"\x72").hex() == SIGNATURE
    Verifier(bytes.fromhex(PUBLIC)).verify(bytes.fromhex(SIGNATURE), b"\x72")
    assert Verifier.from_pem(Signer(SEED).public_pem).public_key.hex() == PUBLIC


@pytest.mark.parametrize("signature", [SIGNATURE[2:], SIGNATURE + "00", "00" * 64, ""])
def test_other_signatures_are_refused(signature: str) -> None:
    """Verifying raises for another signature and for other data."""
    with pytest.raises(IntegrityError):
        Verifier(bytes.fromhex(PUBLIC)).verify(bytes.fromhex(signature), b"\x72")
    with pytest.raises(IntegrityError):
        Verifier(bytes.fromhex(PUBLIC)).verify(bytes.fromhex(SIGNATURE), b"\x73")


def test_what_is_no_key_is_refused() -> None:
    """Seeds and public keys of other sizes or kinds are refused, and a signer never shows its seed."""
    with pytest.raises(InvalidInputError):
        Signer(SEED[1:])
    with pytest.raises(InvalidInputError):
        Verifier(SEED[1:])
    p256 = (
        b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n"
        b"6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n"
    )
    for pem in (b"", b"-----BEGIN PUBLIC KEY-----", p256, Signer(SEED).public_pem + b" " * 5000):
        with pytest.raises(InvalidInputError):
            Verifier.from_pem(pem)
    assert SEED.hex() not in repr(Signer(SEED))
    assert repr(Verifier(bytes.fromhex(PUBLIC))) == f"Verifier(public_key={PUBLIC})"

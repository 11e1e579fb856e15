"""Proof that somebody still holds the private key of a certificate: a compact JWS (RFC 7515) over the CSR it is for.

The payload is `{"csr_sha256", "iat", "aud"}`: SHA-256 (hex) of the CSR's text as it is sent, seconds since the epoch,
and `/credentials/renew`. The key and with it the algorithm are the certificate's own; nothing in the proof chooses
them. Whoever sees a proof can only repeat it, and gets a certificate for a key that is not theirs.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tradewarden.crypto.jose import verified
from tradewarden.errors import AuthenticationError, IntegrityError, InvalidInputError
from tradewarden.pki.certificate.algorithm import strong

AUDIENCE: Final = "/credentials/renew"
MAX_AGE_SECONDS: Final = 300
MAX_PROOF_CHARACTERS: Final = 4096
REFUSED: Final = "The proof is not accepted; enrol again with a join token"
"""What a caller learns, whatever is wrong."""


class _Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    csr_sha256: str
    iat: int
    aud: str


_decode_claims = msgspec.json.Decoder(_Claims, strict=True).decode


def check_possession(proof: str, public_key: object, csr: str, now: float) -> None:
    """Return when the holder of `public_key` signed for this CSR within five minutes; raises `AuthenticationError`."""
    # 1. Size, before any decoding.
    if len(proof) > MAX_PROOF_CHARACTERS or not proof.isascii():
        raise _refused("it is larger than 4 KiB or not ASCII")
    # 2. Key and algorithm, from the certificate; then the signature.
    algorithm, key = _verifier(public_key)
    try:
        claims = _decode_claims(verified(proof, algorithm, key))
    except (IntegrityError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _refused(f"it is no {algorithm} JWS of the certificate's key ({type(error).__name__})") from error
    # 3. The claims.
    if claims.aud != AUDIENCE:
        raise _refused("its audience is another")
    if abs(now - claims.iat) > MAX_AGE_SECONDS:
        raise _refused("it was made more than five minutes ago, or the clocks differ")
    if not hmac.compare_digest(claims.csr_sha256.encode(), sha256(csr.encode()).hexdigest().encode()):
        raise _refused("it is for another CSR")


def _verifier(public_key: object) -> tuple[str, bytes]:
    """Return the name of a key's algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1) and the key in PEM."""
    try:
        key = strong(public_key)
    except InvalidInputError as error:
        raise _refused(error.detail) from error
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return ("ES256" if key.curve.key_size == 256 else "ES384"), pem  # noqa: PLR2004
    return ("PS256" if isinstance(key, rsa.RSAPublicKey) else "EdDSA"), pem


def _refused(why: str) -> AuthenticationError:
    return AuthenticationError(REFUSED, reason=f"proof of possession: {why}")

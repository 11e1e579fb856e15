"""A new private key, its CSR, and the proof that the old key is still held."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tradewarden.crypto.base64url import base64url

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUDIENCE: Final = "/credentials/renew"
_HALF: Final = 32


def new_key() -> EllipticCurvePrivateKey:
    """Make a private key: P-256, 128 bits of strength."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: EllipticCurvePrivateKey) -> bytes:
    """Return the key as PKCS#8 PEM, for a private file."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signing_request(key: EllipticCurvePrivateKey) -> str:
    """Return the CSR (RFC 2986, PEM). It names nobody: the service knows by its own proof whom it certifies."""
    empty = x509.CertificateSigningRequestBuilder(x509.Name([]))
    return empty.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def proof(old: EllipticCurvePrivateKey, csr: str, now: float) -> str:
    """Return a compact JWS (RFC 7515, ES256) by the old key over the CSR's digest, the time and the address."""
    claims = {"csr_sha256": sha256(csr.encode()).hexdigest(), "iat": int(now), "aud": AUDIENCE}
    signed = f"{_part({'alg': 'ES256'})}.{_part(claims)}"
    r, s = decode_dss_signature(old.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{base64url(r.to_bytes(_HALF, 'big') + s.to_bytes(_HALF, 'big'))}"


def _part(content: dict[str, object] | dict[str, str]) -> str:
    return base64url(json.dumps(content, separators=(",", ":")).encode())

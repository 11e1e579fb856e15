"""Account keys as JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037), and their thumbprints (RFC 7638).

Four kinds are taken, each with one signature algorithm. An account key only signs calls to this service, so RSA from
2048 bits is enough for one; the keys that go into certificates are held to `pki.certificate.algorithm.strong`.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tradewarden.acme.problem import AcmeProofError, Kind
from tradewarden.crypto.base64url import base64url, unbase64url

if TYPE_CHECKING:
    from collections.abc import Mapping

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 4096
ALGORITHMS: Final = ("ES256", "ES384", "EdDSA", "RS256")
_EXPONENT: Final = 65537
_CURVES: Final[Mapping[str, tuple[ec.EllipticCurve, str, int]]] = {
    "P-256": (ec.SECP256R1(), "ES256", 32),
    "P-384": (ec.SECP384R1(), "ES384", 48),
}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class AccountKey(msgspec.Struct, frozen=True):
    """One key: as it is kept (canonical JSON), what it is known by, and its one algorithm."""

    text: str
    thumbprint: str
    algorithm: str
    public: PublicKey

    def verify(self, signature: bytes, data: bytes) -> None:
        """Check a JWS signature (RFC 7515 section 5.2); raises `InvalidSignature`."""
        match self.public:
            case ec.EllipticCurvePublicKey() as key:
                size = (key.curve.key_size + 7) // 8
                if len(signature) != 2 * size:
                    raise InvalidSignature
                numbers = (int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))
                digest = hashes.SHA256() if self.algorithm == "ES256" else hashes.SHA384()
                key.verify(encode_dss_signature(*numbers), data, ec.ECDSA(digest))
            case rsa.RSAPublicKey() as key:
                key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
            case key:
                key.verify(signature, data)


def account_key(jwk: Mapping[str, object]) -> AccountKey:
    """Read a public key; raises `AcmeProofError` (`badPublicKey`) saying what is wrong with it."""
    if _PRIVATE & jwk.keys():
        raise _bad("it holds a private or symmetric key; send the public part, and make a new key")
    try:
        members, algorithm, public = _read(jwk)
    except (ValueError, OverflowError) as error:
        raise _bad("it is no point or number of its kind") from error
    text = msgspec.json.encode(dict(sorted(members.items()))).decode()
    return AccountKey(text, base64url(sha256(text.encode()).digest()), algorithm, public)


def kept_key(text: str) -> AccountKey:
    """Read a key as it was kept."""
    return account_key(msgspec.json.decode(text, type=dict[str, object]))


def key_of(public: object) -> AccountKey | None:
    """Return a certificate's key as a JWK, for a revocation that is signed by it; None for kinds that cannot sign."""
    match public:
        case rsa.RSAPublicKey():
            numbers = public.public_numbers()
            return account_key({"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)})
        case ec.EllipticCurvePublicKey():
            name = {256: "P-256", 384: "P-384"}.get(public.curve.key_size, "")
            size = (public.curve.key_size + 7) // 8
            point = public.public_numbers()
            x, y = base64url(point.x.to_bytes(size)), base64url(point.y.to_bytes(size))
            return account_key({"kty": "EC", "crv": name, "x": x, "y": y})
        case ed25519.Ed25519PublicKey():
            return account_key({"kty": "OKP", "crv": "Ed25519", "x": base64url(public.public_bytes_raw())})
    return None


def _read(jwk: Mapping[str, object]) -> tuple[dict[str, str], str, PublicKey]:
    """Return the members that a thumbprint covers (RFC 7638 section 3.2), the algorithm, and the key."""
    kind, curve = jwk.get("kty"), str(jwk.get("crv", ""))
    if kind == "EC" and curve in _CURVES:
        shape, algorithm, size = _CURVES[curve]
        x, y = (_member(jwk, name, size) for name in ("x", "y"))
        point = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), shape)
        return _members(jwk, "crv", "kty", "x", "y"), algorithm, point.public_key()
    if kind == "OKP" and curve == "Ed25519":
        return _members(jwk, "crv", "kty", "x"), "EdDSA", ed25519.Ed25519PublicKey.from_public_bytes(_member(jwk, "x"))
    if kind == "RSA":
        n, e = (int.from_bytes(_member(jwk, name)) for name in ("n", "e"))
        if not RSA_BITS <= n.bit_length() <= MAX_RSA_BITS or e != _EXPONENT:
            raise _bad(f"an RSA key has {RSA_BITS} to {MAX_RSA_BITS} bits and the exponent {_EXPONENT}")
        return _members(jwk, "e", "kty", "n"), "RS256", rsa.RSAPublicNumbers(e, n).public_key()
    raise _bad("take P-256, P-384, Ed25519 or RSA")


def _members(jwk: Mapping[str, object], *names: str) -> dict[str, str]:
    return {name: str(jwk[name]) for name in names}


def _member(jwk: Mapping[str, object], name: str, size: int = 0) -> bytes:
    text = jwk.get(name)
    raw = unbase64url(text) if isinstance(text, str) else None
    if not raw or (size and len(raw) != size) or (not size and name in "ne" and raw[0] == 0):
        raise _bad(f"its member {name!r} is missing or not of the right length")
    return raw


def _number(number: int) -> str:
    return base64url(number.to_bytes((number.bit_length() + 7) // 8))


def _bad(why: str) -> AcmeProofError:
    return AcmeProofError(Kind.BAD_PUBLIC_KEY, f"The JWK is not accepted: {why}")

"""One signing key: it makes tokens of one kind and checks them, by one algorithm (RFC 7515, RFC 8725).

Nothing in a token chooses its verification. A token belongs to a key when its header is, byte for byte, the one that
this key writes; the algorithm is the key's own, and no other header parameter (`jku`, `jwk`, `crit`, …) is acted on.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OctKey, OKPKey

from tradewarden.crypto.base64url import base64url
from tradewarden.crypto.jose import OneAlgorithm
from tradewarden.errors import ConfigurationError, TokenError
from tradewarden.tokens.policy import TYPES, TokenKind

if TYPE_CHECKING:
    from tradewarden.clock import Randomness

ALGORITHMS: Final = ("HS256", "ES256", "EdDSA")
MIN_SECRET_BYTES = 32
"""RFC 7518 section 3.2: a key of the hash's size or larger."""
_KID_BYTES = 16


class SigningKey:
    """A key in use. `header` is the first segment of every token it signs."""

    __slots__ = ("_key", "_protected", "_registry", "algorithm", "header", "kid", "kind")

    def __init__(self, kid: str, kind: TokenKind, algorithm: str, jwk: bytes) -> None:
        self.kid = kid
        self.kind = kind
        self.algorithm = algorithm
        self._key = _load(algorithm, jwk)
        self._registry = OneAlgorithm(algorithm)
        self._protected = {"alg": algorithm, "typ": TYPES[kind], "kid": kid}
        self.header = self.sign(b"{}").partition(".")[0]

    def __repr__(self) -> str:
        return f"SigningKey({self.kind}, {self.algorithm}, kid={self.kid!r})"

    def sign(self, payload: bytes) -> str:
        """Return the compact serialisation (RFC 7515 section 7.1) of `payload`."""
        return jws.serialize_compact(self._protected, payload, self._key, registry=self._registry)

    def verify(self, token: str) -> bytes:
        """Return the payload of a token with this key's `header`; raises `TokenError`."""
        if not all(map(_is_canonical, token.split("."))):
            raise TokenError("token is not canonical base64url")
        try:
            payload = jws.deserialize_compact(token, self._key, registry=self._registry).payload
        except (JoseError, ValueError, TypeError) as error:
            raise TokenError("signature does not verify") from error
        return bytes(payload)

    def public(self) -> dict[str, str] | None:
        """Return the public JWK (RFC 7517 section 4), None for a shared secret."""
        if isinstance(self._key, OctKey):
            return None
        public = {name: str(value) for name, value in self._key.as_dict(private=False).items()}
        return {**public, "kid": self.kid, "alg": self.algorithm, "use": "sig"}


def generate(algorithm: str, randomness: Randomness) -> tuple[str, bytes]:
    """Make a key: `(kid, JWK as JSON)`. The `kid` is the RFC 7638 thumbprint, or random for a shared secret."""
    if algorithm == "HS256":
        return given(randomness(MIN_SECRET_BYTES), randomness)
    key = ECKey.generate_key("P-256") if algorithm == "ES256" else OKPKey.generate_key("Ed25519")
    return key.thumbprint(), msgspec.json.encode(key.as_dict(private=True))


def given(secret: bytes, randomness: Randomness) -> tuple[str, bytes]:
    """Take a shared secret as it is; its `kid` is random, because a hash of it would let it be guessed."""
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"JWT_SECRET_KEY has {len(secret)} bytes; HS256 needs at least {MIN_SECRET_BYTES} (RFC 7518 section 3.2); "
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'"
        )
    return base64url(randomness(_KID_BYTES)), msgspec.json.encode({"kty": "oct", "k": base64url(secret)})


def same_secret(jwk: bytes, secret: bytes) -> bool:
    """Tell whether a stored JWK is this shared secret."""
    return jwk == msgspec.json.encode({"kty": "oct", "k": base64url(secret)})


def _load(algorithm: str, jwk: bytes) -> Key:
    material = msgspec.json.decode(jwk, type=dict[str, str | list[str]])
    if algorithm == "HS256":
        return OctKey.import_key(_unbase64url(str(material["k"])))
    return ECKey.import_key(material) if algorithm == "ES256" else OKPKey.import_key(material)


def _unbase64url(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _is_canonical(segment: str) -> bool:
    try:
        return base64url(_unbase64url(segment)) == segment
    except ValueError:
        return False

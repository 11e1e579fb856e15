"""What a token must show before anything in it is believed (RFC 8725 section 3, RFC 9068 section 4). Pure.

The order is the order of the steps: shape, key, signature, then claims. A token that passes is still nothing: it must
stand in the register of issued tokens (`tradewarden.tokens.standing`).
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING

import msgspec

from tradewarden.errors import TokenError
from tradewarden.tokens.policy import MAX_TOKEN_CHARACTERS, TYPES, TokenKind, TokenPolicy

if TYPE_CHECKING:
    from tradewarden.tokens.ring import Ring

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_BROUGHT_KEYS = ("jku", "x5u", "jwk", "x5c", "x5t", "x5t#S256", "crit", "b64")


class Claims(msgspec.Struct, frozen=True):
    """The claims that this service reads; every one is required (RFC 9068 section 2.2, and `nbf`)."""

    iss: str
    sub: str
    aud: str
    exp: int
    iat: int
    nbf: int
    jti: str


_decode_claims = msgspec.json.Decoder(Claims, strict=True).decode


def verify(token: str, kind: TokenKind, ring: Ring, policy: TokenPolicy, now: float) -> Claims:
    """Return the claims of a token of this kind that one of our keys signed; raises `TokenError`."""
    # 1. Shape and size, before any decoding.
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise TokenError("token is larger than 8 KiB")
    if not _COMPACT.fullmatch(token):
        raise TokenError("token is no compact JWS of three segments")
    # 2. The key, and with it algorithm and type: the header is exactly one that we write.
    header = token.partition(".")[0]
    key = ring.by_header(header)
    if key is None:
        raise TokenError(foreign_header(header, kind))
    if key.kind != kind:
        raise TokenError(f"token is of kind {key.kind}, not {kind}")
    # 3. The signature.
    payload = key.verify(token)
    # 4. The claims.
    try:
        claims = _decode_claims(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise TokenError("claims are missing or of the wrong type") from error
    return _check(claims, policy, now)


def _check(claims: Claims, policy: TokenPolicy, now: float) -> Claims:
    if claims.iss != policy.issuer:
        raise TokenError("issuer is another")
    if claims.aud != policy.audience:
        raise TokenError("audience is another")
    if now >= claims.exp:
        raise TokenError("token is expired")
    if claims.nbf > now + policy.leeway_seconds:
        raise TokenError("token is not valid yet")
    if claims.iat > now + policy.leeway_seconds:
        raise TokenError("token was issued in the future")
    return claims


def foreign_header(segment: str, kind: TokenKind) -> str:
    """Say for the log what is wrong with a header that none of our keys writes. Nothing is decided by it."""
    try:
        raw = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        header = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        fields = {name: bytes(value) for name, value in header.items()}
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return "header is no JSON object"
    brought = [name for name in _BROUGHT_KEYS if name in fields]
    if brought:
        return f"header parameter {brought[0]} is refused"
    if fields.get("alg", b"").strip(b'"').lower() in (b"", b"none"):
        return "algorithm none is refused"
    if fields.get("typ") != b'"%b"' % TYPES[kind].encode():
        return "typ is another"
    return "kid and algorithm are none of ours"

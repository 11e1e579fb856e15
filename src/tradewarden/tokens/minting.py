"""Makes tokens: the claims of an access token (RFC 9068 section 2.2), opaque refresh tokens."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.crypto.base64url import base64url
from tradewarden.errors import InvalidInputError
from tradewarden.tokens.policy import MAX_TOKEN_CHARACTERS

if TYPE_CHECKING:
    from tradewarden.clock import Randomness
    from tradewarden.tokens.policy import TokenPolicy
    from tradewarden.tokens.signing import SigningKey

REFRESH_PREFIX: Final = "twr_"
_REFRESH_BYTES = 32


class Confirmation(msgspec.Struct, frozen=True):
    """The `cnf` claim of a token that is bound to a client certificate (RFC 8705 section 3.1).

    `thumbprint` is the base64url SHA-256 of the certificate's DER, without padding.
    """

    thumbprint: str = msgspec.field(name="x5t#S256")


class AccessClaims(msgspec.Struct, frozen=True):
    """What an access token says. `service_name` and `permissions` are for readers who check tokens themselves."""

    iss: str
    sub: str
    aud: str
    client_id: str
    iat: int
    nbf: int
    exp: int
    jti: str
    service_name: str
    permissions: tuple[str, ...]
    cnf: Confirmation | msgspec.UnsetType = msgspec.UNSET


class Term(msgspec.Struct, frozen=True):
    """From when until when something is good, whole seconds since the epoch."""

    issued_at: int
    expires_at: int


_encode = msgspec.json.Encoder().encode


def access_token(
    signer: SigningKey,
    policy: TokenPolicy,
    jti: str,
    name: str,
    permissions: tuple[str, ...],
    term: Term,
    confirmation: str = "",
) -> str:
    """Return a signed access token of the service `name`, bound to the certificate of thumbprint `confirmation`.

    Raises `InvalidInputError` when its permissions make it longer than what is accepted anywhere.
    """
    claims = AccessClaims(
        policy.issuer,
        service_subject(name),
        policy.audience,
        name,
        term.issued_at,
        term.issued_at,
        term.expires_at,
        jti,
        name,
        permissions,
        Confirmation(confirmation) if confirmation else msgspec.UNSET,
    )
    token = signer.sign(_encode(claims))
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise InvalidInputError(
            f"A token of these {len(permissions)} permissions has {len(token):,} characters, and more than "
            f"{MAX_TOKEN_CHARACTERS:,} are not accepted; ask for fewer permissions, or for wider scopes"
        )
    return token


def identifier(now: float, randomness: Randomness) -> str:
    """Return an identifier that sorts by time: 48 bits of milliseconds, 80 random bits, as hex. It is no secret."""
    return int(now * 1000).to_bytes(6, "big").hex() + randomness(10).hex()


def refresh_token(randomness: Randomness) -> str:
    """Return a refresh token: 256 random bits behind a prefix that scanners recognise."""
    return REFRESH_PREFIX + base64url(randomness(_REFRESH_BYTES))


def token_digest(token: str) -> bytes:
    """Return what is stored of a token, SHA-256; a text that is no token has a digest too, which nobody has stored."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def service_subject(name: str) -> str:
    """Return the subject of a service, its principal as text."""
    return f"service:{name}"


def name_of(subject: str) -> str:
    """Return the name in a subject."""
    return subject.partition(":")[2]

"""What is settled about tokens before the first one is issued: names, algorithm, lifetimes."""

from __future__ import annotations

from enum import StrEnum

import msgspec

DAY_SECONDS = 86_400
MAX_TOKEN_CHARACTERS = 8 * 1024
"""A longer token is refused unread, and so none is issued; no credential of an Authorization header is longer."""
MAX_PERMISSIONS = 64
"""More permission names than this are not put into one token."""


class TokenKind(StrEnum):
    """A kind of token. Each has its own signing key, `typ` and audience, so none passes for another."""

    ACCESS = "access"


TYPES = {TokenKind.ACCESS: "at+jwt"}
"""The `typ` header of each kind; a service's access token is that of RFC 9068 section 2.1."""


class TokenPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one installation.

    `lifetime_seconds` is the most that an access token may live. `leeway_seconds` is how far another
    replica's clock may be ahead of ours (`iat`, `nbf`); an expiry is never stretched. A refresh
    family ends after `refresh_absolute_days` however active it is, and after `refresh_idle_days`
    without use. A refresh token that was just used may be retried for `grace_seconds`.
    `unregistered_ceiling` is the most that a name may be given that is not registered; empty outside
    development, where such names get nothing.
    """

    issuer: str = "tradewarden"
    audience: str = "tradewarden"
    algorithm: str = "HS256"
    lifetime_seconds: int = DAY_SECONDS
    leeway_seconds: int = 30
    refresh_absolute_days: int = 30
    refresh_idle_days: int = 7
    grace_seconds: int = 10
    unregistered_ceiling: tuple[str, ...] = ()

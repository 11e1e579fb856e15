"""What is asked of the tokens room and what it answers; times in answers are RFC 3339 in UTC."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tradewarden.access.permission import PermissionName
from tradewarden.access.principal import ServiceName
from tradewarden.tokens.policy import MAX_PERMISSIONS

_FEW = msgspec.Meta(extra_json_schema={"maxItems": MAX_PERMISSIONS})
Asked = Annotated[tuple[PermissionName, ...], _FEW]
"""The names that a token is asked for; the document of the interface says how many, and `grantable` checks it."""
Seconds = Annotated[int, msgspec.Meta(extra_json_schema={"minimum": 1})]


class IssueToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for an access token.

    `permissions` None stands for everything the name is registered for (`read` for a name that is
    not); an empty list gives a token that can do nothing, which no service gets of another. `ttl_seconds`
    is cut to the policy's.
    """

    service_name: ServiceName
    permissions: Asked | None = None
    ttl_seconds: Seconds | None = None
    refresh: bool = False


class RefreshToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Exchange a refresh token for a new pair; it works once."""

    refresh_token: str


class RevokeToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """End one token (`token`, access or refresh, or its `jti`) or all of a service (`service_name`)."""

    token: str | None = None
    jti: str | None = None
    service_name: ServiceName | None = None


class TokenIssued(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fresh token; the only place where it is ever shown. `expires_in` in seconds."""

    token: str
    service_name: str
    permissions: tuple[str, ...]
    issued_at: str
    expires_at: str
    expires_in: int
    token_type: str = msgspec.field(default_factory=lambda: "Bearer")
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return f"TokenIssued(service_name={self.service_name!r}, expires_at={self.expires_at!r})"


class TokenValid(msgspec.Struct, frozen=True):
    """The answer to a token that is accepted."""

    valid: bool
    service_name: str
    permissions: tuple[str, ...]
    expires_at: str


class TokensRevoked(msgspec.Struct, frozen=True):
    """What was ended. `revoked` is False when there was nothing to end (RFC 7009 section 2.2: no error)."""

    revoked: bool
    service_name: str = ""
    jti: str = ""


class TokenListed(msgspec.Struct, frozen=True):
    """One line of the register of issued tokens; never the token."""

    jti: str
    service_name: str
    permissions: tuple[str, ...]
    issued_at: str
    expires_at: str
    issued_by: str
    revoked: bool


class TokenPage(msgspec.Struct, frozen=True):
    """Some tokens, oldest first. `next` is where the following page starts (None: this was the last)."""

    tokens: tuple[TokenListed, ...]
    next: str | None = None

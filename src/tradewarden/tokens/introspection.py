"""The answer of RFC 7662 section 2.2 about a token. Pure."""

from __future__ import annotations

import msgspec


class Introspection(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an authorised caller learns; of anything that is not valid now only that it is not active."""

    active: bool
    scope: str | None = None
    client_id: str | None = None
    token_type: str | None = None
    exp: int | None = None
    iat: int | None = None
    nbf: int | None = None
    sub: str | None = None
    aud: str | None = None
    iss: str | None = None
    jti: str | None = None


INACTIVE = Introspection(active=False)

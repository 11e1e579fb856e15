"""The answer of RFC 7662 section 2.2 about a token. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.tokens.minting import Confirmation

if TYPE_CHECKING:
    from tradewarden.tokens.bond import Bond


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
    cnf: Confirmation | None = None


def bound_to(bond: Bond) -> Confirmation | None:
    """Return the `cnf` of a token that is bound to this certificate (RFC 8705 section 3.2)."""
    return Confirmation(bond.thumbprint) if bond.thumbprint else None


INACTIVE = Introspection(active=False)

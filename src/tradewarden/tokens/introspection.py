"""The answer of RFC 7662 section 2.2 about a token. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from tradewarden.tokens.minting import Confirmation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tradewarden.tokens.bond import Bond

_SCOPE_CHARACTERS: Final = "".join(each for each in map(chr, range(0x21, 0x7F)) if each not in '"\\%')
"""Those of a scope (RFC 6749 section 3.3), without the `%` that stands for the others."""


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


def scope(names: Iterable[str]) -> str:
    """Return permission names as the scopes of RFC 6749 section 3.3, with spaces between them.

    What may not stand in a scope is percent-encoded (UTF-8, RFC 3986 section 2.1), and `%` itself: the space in the
    path of one permission must not make two scopes of it, of which the second was never granted.
    """
    return " ".join(quote(name, _SCOPE_CHARACTERS) for name in names)


def bound_to(bond: Bond) -> Confirmation | None:
    """Return the `cnf` of a token that is bound to this certificate (RFC 8705 section 3.2)."""
    return Confirmation(bond.thumbprint) if bond.thumbprint else None


INACTIVE = Introspection(active=False)

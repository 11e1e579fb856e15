"""How a caller that is not proven is asked to prove itself (RFC 9110 section 11.6.1). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tradewarden.errors import TokenError
from tradewarden.http.route import WITH_SECRET

if TYPE_CHECKING:
    from tradewarden.errors import AuthenticationError
    from tradewarden.http.route import Route

_BASIC: Final = b'Basic realm="tradewarden"'
_BEARER: Final = b"Bearer"


def challenge(error: AuthenticationError, route: Route | None, authorization: bytes) -> bytes:
    """Return the challenge of the scheme that the client used (RFC 6749 section 5.2), else those the route takes.

    `authorization` is the header as it came. Which scheme counts where does not depend on what was wrong with it.
    """
    if isinstance(error, TokenError):
        return b'Bearer error="invalid_token"'
    if route is None or route.proof not in WITH_SECRET:
        return _BEARER
    return {b"basic": _BASIC, b"bearer": _BEARER}.get(scheme(authorization), _BEARER + b", " + _BASIC)


def scheme(authorization: bytes) -> bytes:
    """Return the scheme of an Authorization header, in lower case; empty without one."""
    return authorization.partition(b" ")[0].lower()

"""The `error` of an answer as clients of OAuth 2.0 know it. Pure."""

from __future__ import annotations

import msgspec

from tradewarden.errors import (
    AuthenticationError,
    InvalidInputError,
    PermissionDeniedError,
    UnsupportedTokenTypeError,
)
from tradewarden.http.challenge import scheme


def error_name(error: BaseException, authorization: bytes) -> str | msgspec.UnsetType:
    """Return the name that RFC 6749 section 5.2, RFC 6750 section 3.1 or RFC 7009 section 2.2.1 has for an error.

    A caller with a bearer token is answered in the words of RFC 6750 (RFC 7662 section 2.3), any other one as a client.
    Unset for what they have no name for: the status says it.
    """
    bearer = scheme(authorization) == b"bearer"
    if isinstance(error, AuthenticationError):
        return "invalid_token" if bearer else "invalid_client"
    if isinstance(error, PermissionDeniedError):
        return "insufficient_scope" if bearer else "unauthorized_client"
    if isinstance(error, UnsupportedTokenTypeError):
        return "unsupported_token_type"
    return "invalid_request" if isinstance(error, InvalidInputError) else msgspec.UNSET

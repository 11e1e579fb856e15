"""Errors as answers: RFC 9457 problem details. The only place that knows HTTP statuses of errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from tradewarden import errors
from tradewarden.http.challenge import challenge
from tradewarden.http.oauth import error_name
from tradewarden.http.route import Content

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tradewarden.http.route import Route

MEDIA_TYPE = "application/problem+json"
_STATUS: Mapping[type[errors.TradewardenError], tuple[int, str]] = {
    errors.MethodNotAllowedError: (405, "Method not allowed"),
    errors.UnsupportedMediaTypeError: (415, "Unsupported media type"),
    errors.LimitExceededError: (413, "Too large"),
    errors.InvalidInputError: (400, "Invalid request"),
    errors.AuthenticationError: (401, "Not authenticated"),
    errors.PermissionDeniedError: (403, "Permission denied"),
    errors.NotFoundError: (404, "Not found"),
    errors.ConflictError: (409, "Conflict"),
    errors.RateLimitedError: (429, "Too many requests"),
    errors.FeatureDisabledError: (503, "Feature disabled"),
    errors.UnavailableError: (503, "Unavailable"),
}
_UNEXPECTED = (500, "Internal error")


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457 problem details with our stable `code` and the id that the log and the audit entry carry.

    `error` stands in those of `/oauth2` alone: what clients of OAuth 2.0 look for (RFC 6749 section 5.2).
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    error: str | msgspec.UnsetType = msgspec.UNSET


def status_of(error: BaseException) -> tuple[int, str]:
    """Return the status and title of an error; what is not ours is a 500."""
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return _UNEXPECTED


def problem(error: BaseException, request_id: str, route: Route | None = None, authorization: bytes = b"") -> Content:
    """Return the answer for an error: its own text when it is ours, a generic one when it is not.

    `route` is what was called, as far as it was found, and `authorization` the header that came with it.
    """
    status, title = status_of(error)
    if isinstance(error, errors.TradewardenError):
        code, detail = error.code, error.detail
    else:
        code, detail = "internal", "Something went wrong here; the log has it under this request_id"
    name = error_name(error, authorization) if route is not None and route.oauth else msgspec.UNSET
    body = Problem(f"urn:tradewarden:problem:{code}", title, status, detail, code, request_id, name)
    return Content(msgspec.json.encode(body), MEDIA_TYPE, status, _headers(error, route, authorization))


def _headers(error: BaseException, route: Route | None, authorization: bytes) -> tuple[tuple[bytes, bytes], ...]:
    if isinstance(error, errors.RateLimitedError):
        return ((b"retry-after", str(math.ceil(error.retry_after)).encode()),)
    if isinstance(error, errors.MethodNotAllowedError):
        return ((b"allow", ", ".join(error.allowed).encode()),)
    if isinstance(error, errors.AuthenticationError):
        return ((b"www-authenticate", challenge(error, route, authorization)),)
    if isinstance(error, errors.UnavailableError):
        return ((b"retry-after", b"1"),)
    return ()

"""ACME's own way over HTTP: what a call must look like, and problems as its clients read them (RFC 8555 section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden import errors
from tradewarden.acme.jwk import ALGORITHMS
from tradewarden.acme.jws import MAX_BODY
from tradewarden.acme.problem import PREFIX, AcmeError, AcmeProofError, Kind, Subproblem
from tradewarden.http import problem as general
from tradewarden.http.route import Content

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tradewarden.http.connection import Connection

MEDIA_TYPE: Final = "application/jose+json"
_STATUS: Final[Mapping[Kind, int]] = {
    Kind.ALREADY_REPLACED: 409,
    Kind.EXTERNAL_ACCOUNT_REQUIRED: 403,
    Kind.ORDER_NOT_READY: 403,
    Kind.RATE_LIMITED: 429,
    Kind.UNAUTHORIZED: 403,
}
_OTHERS: Final[tuple[tuple[type[errors.TradewardenError], Kind], ...]] = (
    (errors.RateLimitedError, Kind.RATE_LIMITED),
    (errors.AuthenticationError, Kind.UNAUTHORIZED),
    (errors.PermissionDeniedError, Kind.UNAUTHORIZED),
    (errors.InvalidInputError, Kind.MALFORMED),
    (errors.NotFoundError, Kind.MALFORMED),
    (errors.ConflictError, Kind.MALFORMED),
)


class AcmeProblem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem details as RFC 8555 section 6.7 types them."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    subproblems: tuple[Subproblem, ...] = ()
    algorithms: tuple[str, ...] = ()


async def signed_body(connection: Connection, limit: int) -> bytes:
    """Return the body of a call; raises `UnsupportedMediaTypeError` unless it says that it is a JWS."""
    if connection.media_type() != MEDIA_TYPE:
        raise errors.UnsupportedMediaTypeError(f"The body must be {MEDIA_TYPE}, and its Content-Type must say so")
    return await connection.body(min(limit, MAX_BODY))


def problem(error: BaseException, request_id: str) -> Content:
    """Return the answer for an error, under the type that ACME clients know."""
    usual = general.problem(error, request_id)
    told = msgspec.json.decode(usual.body, type=general.Problem)
    kind = _kind(error)
    status = _STATUS.get(kind, 400) if isinstance(error, AcmeError) else usual.status
    if isinstance(error, AcmeProofError):
        status = 401 if kind is Kind.UNAUTHORIZED else _STATUS.get(kind, 400)
    kept = tuple(each for each in usual.headers if each[0] != b"www-authenticate")
    if isinstance(error, AcmeError) and error.account:  # RFC 8555 section 7.3.5
        status, kept = 409, (*kept, (b"location", error.account.encode()))
    body = AcmeProblem(
        PREFIX + kind,
        told.title if status == usual.status else _TITLE,
        status,
        told.detail,
        told.code,
        told.request_id,
        error.subproblems if isinstance(error, AcmeError) else (),
        ALGORITHMS if kind is Kind.BAD_SIGNATURE_ALGORITHM else (),
    )
    return Content(msgspec.json.encode(body), general.MEDIA_TYPE, status, kept)


_TITLE: Final = "ACME call refused"


def _kind(error: BaseException) -> Kind:
    if isinstance(error, AcmeError | AcmeProofError):
        return error.kind
    return next((kind for known, kind in _OTHERS if isinstance(error, known)), Kind.SERVER_INTERNAL)

"""What the command line's exit codes mean, and which error ends with which."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from tradewarden import errors

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExitCode(IntEnum):
    """The documented exit codes; numbers never change."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_PERMITTED = 4
    CONFLICT = 5
    UNAVAILABLE = 6
    FOUND_SOMETHING = 7
    INTERRUPTED = 130


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "failed",
    ExitCode.USAGE: "the command, its input or the configuration is not understood",
    ExitCode.NOT_FOUND: "not found",
    ExitCode.NOT_PERMITTED: "not authenticated, or not permitted",
    ExitCode.CONFLICT: "conflict: the state moved on, or the name is taken",
    ExitCode.UNAVAILABLE: "unavailable: no service answers, or it cannot do this now",
    ExitCode.FOUND_SOMETHING: "something was found that a person must see to",
    ExitCode.INTERRUPTED: "interrupted from the keyboard",
}

_OF_ERROR: Mapping[type[errors.TradewardenError], ExitCode] = {
    errors.ConfigurationError: ExitCode.USAGE,
    errors.InvalidInputError: ExitCode.USAGE,
    errors.NotFoundError: ExitCode.NOT_FOUND,
    errors.AuthenticationError: ExitCode.NOT_PERMITTED,
    errors.PermissionDeniedError: ExitCode.NOT_PERMITTED,
    errors.ConflictError: ExitCode.CONFLICT,
    errors.RateLimitedError: ExitCode.UNAVAILABLE,
    errors.FeatureDisabledError: ExitCode.UNAVAILABLE,
    errors.UnavailableError: ExitCode.UNAVAILABLE,
    errors.IntegrityError: ExitCode.FOUND_SOMETHING,
}

_OF_STATUS: Mapping[int, ExitCode] = {
    400: ExitCode.USAGE,
    401: ExitCode.NOT_PERMITTED,
    403: ExitCode.NOT_PERMITTED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.CONFLICT,
    413: ExitCode.USAGE,
    415: ExitCode.USAGE,
    429: ExitCode.UNAVAILABLE,
    502: ExitCode.UNAVAILABLE,
    503: ExitCode.UNAVAILABLE,
    504: ExitCode.UNAVAILABLE,
}


class ServiceProblemError(errors.TradewardenError):
    """The service answered with a problem (RFC 9457); `detail` carries its text, code and request id."""

    code = "service_problem"

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status


def exit_code(error: errors.TradewardenError) -> ExitCode:
    """Return the code that the command line ends with for an error."""
    if isinstance(error, ServiceProblemError):
        return _OF_STATUS.get(error.status, ExitCode.FAILED)
    kinds = (kind for kind in type(error).__mro__ if kind in _OF_ERROR)
    return next((_OF_ERROR[kind] for kind in kinds), ExitCode.FAILED)


def epilog() -> str:
    """Return the exit codes as help text."""
    return "Exit codes: " + "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items()) + "."

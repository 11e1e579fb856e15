"""The one error tree. Every error carries a stable `code`, a text for the caller, and a reason for the log.

`str(error)` is safe to show to anyone: it says what is wrong and what to do, and holds no secret. `reason` goes to the
log and the audit entry only (why a token failed, which permission was missing). HTTP statuses are given once, at the
edge (`tradewarden.http.problem`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class TradewardenError(Exception):
    """Root of every error that Tradewarden raises on purpose."""

    code: ClassVar[str] = "error"

    def __init__(self, detail: str, *, reason: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason or detail


class ConfigurationError(TradewardenError):
    """The environment, a file or a directory is not as the service needs it; lists every mistake found."""

    code = "configuration"

    def __init__(self, mistakes: Sequence[str] | str) -> None:
        self.mistakes = (mistakes,) if isinstance(mistakes, str) else tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class ExtraMissingError(ConfigurationError):
    """Something needs packages of an extra that was not installed; `need` says what needs which."""

    def __init__(self, need: str, extra: str) -> None:
        how = f"install Tradewarden with its extra '{extra}' (pip install '.[{extra}]' in its checkout)"
        super().__init__(f"{need}; {how}")


class InvalidInputError(TradewardenError):
    """A field, path or parameter is not of the documented shape."""

    code = "invalid_request"


class NameNotHeldError(InvalidInputError):
    """A name is a good one, and this place can hold no secret of that name; so it has none."""

    code = "name_not_held"


class LimitExceededError(InvalidInputError):
    """The input is well formed and larger than this service takes."""

    code = "too_large"


class AuthenticationError(TradewardenError):
    """Nobody is proven. The detail never says why; the reason does."""

    code = "authentication_failed"


class TokenError(AuthenticationError):
    """A bearer token is not accepted."""

    code = "invalid_token"

    def __init__(self, reason: str) -> None:
        super().__init__("JWT validation failed", reason=reason)


class PermissionDeniedError(TradewardenError):
    """The principal is proven and may not do this."""

    code = "permission_denied"

    def __init__(self, reason: str) -> None:
        super().__init__("Insufficient permissions for operation", reason=reason)


class NameRefusedError(PermissionDeniedError):
    """A certificate was asked for under a name that is not the service's own."""

    code = "name_refused"

    def __init__(self, detail: str, *, reason: str = "") -> None:
        TradewardenError.__init__(self, detail, reason=reason)


class RefreshRefusedError(PermissionDeniedError):
    """A refresh token was asked for with nothing proven: under the bootstrap rule, or with a token that came of it."""

    code = "refresh_refused"

    def __init__(self, detail: str, *, reason: str = "") -> None:
        TradewardenError.__init__(self, detail, reason=reason)


class ProviderRefusedError(PermissionDeniedError):
    """A provider of secrets does not let us do this. The detail names provider and secret and says what to look at."""

    code = "provider_refused"

    def __init__(self, detail: str, *, reason: str = "") -> None:
        TradewardenError.__init__(self, detail, reason=reason)


class RateLimitedError(TradewardenError):
    """Too many calls; `retry_after` seconds tell when the next one may pass."""

    code = "rate_limited"

    def __init__(self, detail: str, *, retry_after: float) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class NotFoundError(TradewardenError):
    """What was asked for does not exist (or not any more)."""

    code = "not_found"


class SecretNotFoundError(NotFoundError):
    """No such secret, version, or an already deleted one."""

    code = "secret_not_found"

    def __init__(self, path: str, *, reason: str = "") -> None:
        super().__init__(f"Secret '{path}' not found", reason=reason)


class ConflictError(TradewardenError):
    """The state moved on: a compare-and-set missed, or the name is taken."""

    code = "conflict"


class RotationFailedError(ConflictError):
    """A step of a rotation will not work as things are; the old value is still current. Says what to look at."""

    code = "rotation_failed"


class FeatureDisabledError(TradewardenError):
    """A setting turned this part of the service off."""

    code = "feature_disabled"


class UnavailableError(TradewardenError):
    """Something that is needed cannot be reached or written now; nothing was done. Try again later."""

    code = "unavailable"


class ProviderUnavailableError(UnavailableError):
    """A provider of secrets does not answer, or not in time; nothing is known of what it holds."""

    code = "provider_unavailable"


class RotationWaitsError(UnavailableError):
    """A rotation is well and its new value in use; its last step waits for a time to pass (`seconds` from now)."""

    code = "rotation_waits"

    def __init__(self, detail: str, *, seconds: float) -> None:
        super().__init__(detail)
        self.seconds = seconds


class StorageUnavailableError(UnavailableError):
    """The database cannot be read or written now."""

    code = "storage_unavailable"


class AuditUnavailableError(UnavailableError):
    """The audit entry cannot be recorded, so the action did not happen (or is not answered)."""

    code = "audit_unavailable"


class IntegrityError(TradewardenError):
    """Stored material does not verify: it was changed, moved or sealed under another key."""

    code = "integrity"


class DecryptionError(IntegrityError):
    """A ciphertext does not open here. One text for every cause (no oracle)."""

    code = "decryption_failed"

    def __init__(self, reason: str = "") -> None:
        super().__init__("The stored value cannot be decrypted", reason=reason)


class UnsupportedMediaTypeError(InvalidInputError):
    """The body's content type is not one that this call takes."""

    code = "unsupported_media_type"


class UnsupportedTokenTypeError(InvalidInputError):
    """This call does not end tokens of that kind (RFC 7009 section 2.2.1)."""

    code = "unsupported_token_type"


class UnknownRouteError(NotFoundError):
    """No such path at this service."""

    code = "unknown_route"


class MethodNotAllowedError(InvalidInputError):
    """The path exists; the method does not. `allowed` are the methods that do."""

    code = "method_not_allowed"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"This path answers {', '.join(allowed)} only")
        self.allowed = allowed


class TimeoutExceededError(UnavailableError):
    """The request took longer than it may. A change may still have been made; read before you try again."""

    code = "timeout"

    def __init__(self) -> None:
        super().__init__("The request took too long and was given up; read before you repeat a change")


class OverloadedError(UnavailableError):
    """More requests are in flight than this worker takes."""

    code = "overloaded"

    def __init__(self) -> None:
        super().__init__("The service has too much to do just now; try again in a second")

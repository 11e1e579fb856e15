"""What AWS's refusals and botocore's exceptions mean to a caller of a provider."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Final, NamedTuple

from tradewarden.errors import (
    ConfigurationError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
)

if TYPE_CHECKING:
    from botocore.exceptions import ClientError  # type: ignore[import-untyped]

    from tradewarden.errors import TradewardenError

_CREDENTIALS: Final = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role (boto3's own chain)"
)
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_NOT_KNOWN: Final = frozenset(
    {
        "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch",
        "InvalidAccessKeyId", "AuthFailure", "IncompleteSignature", "MissingAuthenticationToken",
        "MissingAuthenticationTokenException", "NotAuthorized", "OptInRequired",
    }
)  # fmt: skip
_NOT_ALLOWED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_OF_KMS: Final = frozenset({"DecryptionFailure", "EncryptionFailure"})
_NOT_NOW: Final = frozenset(
    {
        "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "RequestThrottled",
        "RequestLimitExceeded", "SlowDown", "InternalServiceError", "InternalServiceErrorException", "InternalFailure",
        "ServiceUnavailable", "ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException",
        "LimitExceededException",
    }
)  # fmt: skip
_OF_INPUT: Final = frozenset({"InvalidParameterException", "ValidationException", "InvalidNextTokenException"})


class DeletedError(SecretNotFoundError):
    """The secret is scheduled for deletion: not to be read, and not to be made anew either."""


class Call(NamedTuple):
    """What was asked of AWS, and about which secret of ours."""

    operation: str
    name: str

    def __str__(self) -> str:
        return f"{self.operation} for '{self.name}'" if self.name else self.operation


def translated(call: Call, error: Exception) -> TradewardenError:
    """Return our error for botocore's; it never repeats a parameter, which may be the secret itself."""
    from botocore import exceptions as aws  # type: ignore[import-untyped]

    if isinstance(error, aws.ClientError):
        return _answered(call, error)
    if isinstance(error, (aws.NoCredentialsError, aws.PartialCredentialsError)):
        return ProviderRefusedError(f"AWS: no credentials were found; {_CREDENTIALS}")
    if isinstance(error, _unproven()):
        return ProviderRefusedError(f"AWS: the credentials cannot be had ({type(error).__name__}); {_CREDENTIALS}")
    if isinstance(error, aws.ParamValidationError):
        return InvalidInputError(f"AWS does not take what {call} was asked with")
    if isinstance(error, (aws.NoRegionError, ValueError)):
        return _damaged(call) if isinstance(error, binascii.Error) else _misconfigured(call)
    return ProviderUnavailableError(f"AWS does not answer {call} ({type(error).__name__})")


def _damaged(call: Call) -> IntegrityError:
    return IntegrityError(f"AWS's answer to {call} holds what is no base64; store the secret anew")


def _misconfigured(call: Call) -> ConfigurationError:
    return ConfigurationError(f"AWS: {call} is not possible; set AWS_REGION, and look at AWS_ENDPOINT_URL")


def _unproven() -> tuple[type[Exception], ...]:
    from botocore import exceptions as aws

    return (
        aws.CredentialRetrievalError, aws.TokenRetrievalError, aws.SSOError, aws.ProfileNotFound,
        aws.ConfigParseError, aws.ConfigNotFound, aws.MetadataRetrievalError,
    )  # fmt: skip


def _answered(call: Call, error: ClientError) -> TradewardenError:
    answer = error.response.get("Error", {})
    code, said = answer.get("Code", ""), answer.get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return _of_the_secret(call, code, said) or _of_the_call(call, code, said, status)


def _of_the_secret(call: Call, code: str, said: str) -> TradewardenError | None:
    if code == "ResourceNotFoundException":
        return SecretNotFoundError(call.name, reason=f"AWS knows no such secret, version or stage: {said}")
    if code == "InvalidRequestException" and "delet" in said:
        return DeletedError(call.name, reason=f"scheduled for deletion at AWS: {said}")
    if code == "ResourceExistsException":
        return ConflictError(f"AWS: '{call.name}' exists already, or was written with this token")
    return None


def _of_the_call(call: Call, code: str, said: str, status: int) -> TradewardenError:
    if code in _NOT_NOW or status >= 500 or status == 429:  # noqa: PLR2004
        return ProviderUnavailableError(f"AWS does not do {call} now ({code}), after every attempt", reason=said)
    if refusal := _refusal(call, code, status):
        return ProviderRefusedError(f"AWS refuses {call} ({code}); {refusal}", reason=said)
    if code in _OF_INPUT:
        return InvalidInputError(f"AWS does not take what {call} was asked with ({code})")
    if status < 400:  # noqa: PLR2004
        return ProviderUnavailableError(f"AWS answers {call} with {status}; redirects are not followed", reason=said)
    if not code or not code.isalpha():
        return ProviderUnavailableError(f"what answers {call} with {status} is not AWS; look at AWS_ENDPOINT_URL")
    return ConflictError(f"AWS does not do {call} as things are ({code})", reason=said)


def _refusal(call: Call, code: str, status: int) -> str:
    """Return what to look at when AWS does not let us; empty when this is something else."""
    if code in _EXPIRED:
        return "the credentials have ended, or this machine's clock is wrong; get new ones"
    if code in _NOT_KNOWN or status == 401:  # noqa: PLR2004
        return f"the credentials are not known there; {_CREDENTIALS}"
    if code in _OF_KMS or code.startswith("KMS"):
        return "look at the KMS key: whether it is enabled, and whether its policy lets us use it"
    if code in _NOT_ALLOWED or status == 403:  # noqa: PLR2004
        return f"grant secretsmanager:{call.operation} on it"
    return ""

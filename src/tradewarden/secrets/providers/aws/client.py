"""Calls to AWS Secrets Manager, through boto3, which is imported and made with the first one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tradewarden.errors import ExtraMissingError, ProviderUnavailableError, TradewardenError
from tradewarden.outbound import address
from tradewarden.secrets.providers.aws.answers import Call, translated
from tradewarden.secrets.providers.aws.silence import silent
from tradewarden.secrets.providers.per_process import PerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_WORD: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
"""Where boto3 puts a `_` into an operation's name."""
_MARK: Final = {
    "GetSecretValue": {"SecretString", "SecretBinary"},
    "BatchGetSecretValue": {"SecretValues", "Errors"},
    "PutSecretValue": {"VersionId"},
    "CreateSecret": {"VersionId"},
    "ListSecrets": {"SecretList"},
}
"""What a whole answer has one of (all others: `ARN`). Botocore takes one that was cut off for an empty success."""


class AwsLimits(NamedTuple):
    """How long and how often AWS is asked: seconds, attempts in all, connections."""

    connect_seconds: float = 3.0
    read_seconds: float = 5.0
    attempts: int = 4
    connections: int = 10


class AwsClient:
    """One region's Secrets Manager. Boto3 finds region and credentials; without credentials nothing is sent."""

    def __init__(self, region: str | None, endpoint_url: str | None, limits: AwsLimits) -> None:
        self._region = region
        self._endpoint = None if endpoint_url is None else address(endpoint_url)
        self._limits = limits
        self._client: PerProcess[Any] = PerProcess(self._made)

    def ask(self, operation: str, name: str, /, **parameters: object) -> Mapping[str, Any]:
        """Return AWS's answer; raises our errors alone. `name` is the secret's, for messages.

        An answer that was cut off is asked for once more: every call we make may be repeated.
        """
        method: Callable[..., Mapping[str, Any]] = getattr(self._client.get(), _WORD.sub("_", operation).lower())
        try:
            for _ in range(2):
                with silent():
                    answer = method(**parameters)
                if not _MARK.get(operation, {"ARN"}).isdisjoint(answer):
                    return answer
        except Exception as error:  # noqa: BLE001 - whatever boto3 raises becomes one of ours
            mistake: TradewardenError = translated(Call(operation, name), error)
        else:
            mistake = ProviderUnavailableError(f"AWS's answer to {Call(operation, name)} was cut off")
        raise mistake  # without its cause: botocore's words on a bad parameter repeat it

    def close(self) -> None:
        """Close the connections."""
        client = self._client.take()
        if client is not None:
            client.close()

    def _made(self) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
        try:
            import boto3  # type: ignore[import-untyped]
            from botocore.config import Config  # type: ignore[import-untyped]
        except ImportError:
            raise ExtraMissingError("AWS Secrets Manager needs boto3", "aws") from None
        limits = self._limits
        config = Config(
            connect_timeout=limits.connect_seconds,
            read_timeout=limits.read_seconds,
            max_pool_connections=limits.connections,
            retries={"mode": "standard", "total_max_attempts": limits.attempts},
            user_agent_extra="tradewarden",
        )
        try:
            made = boto3.session.Session().client(
                "secretsmanager", region_name=self._region, endpoint_url=self._endpoint, config=config
            )
            address(made.meta.endpoint_url)  # AWS_ENDPOINT_URL and profiles name one too
        except TradewardenError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever boto3 raises becomes one of ours
            mistake = translated(Call("a client", ""), error)
        else:
            return made
        raise mistake

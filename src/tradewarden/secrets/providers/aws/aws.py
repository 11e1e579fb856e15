"""AWS Secrets Manager, through boto3 and its own chain of credentials.

A secret's name there is the prefix and our name. A text is its `SecretString`, an object the JSON of it; what others
stored as `SecretBinary` is read as text when it is UTF-8, else as `{"base64": …}`. A version is AWS's `VersionId`, or a
stage when it is asked for: `current`, `previous`, `pending`, or any staging label.

10 connections, 3 seconds to connect, 5 to answer. Throttling, 5xx and broken connections are tried 4 times in all, with
botocore's standard back-off (random, at most 1, 2 and 4 seconds): 39 seconds at the very worst, and what is left after
them is `ProviderUnavailableError`. Redirects are not followed. boto3 is imported with the first call.
"""

from __future__ import annotations

import re
import uuid
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from tradewarden.errors import (
    ConfigurationError,
    ConflictError,
    LimitExceededError,
    NameNotHeldError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
)
from tradewarden.secrets.path import is_secret_path, path_prefix, secret_path
from tradewarden.secrets.providers.aws.answers import DeletedError
from tradewarden.secrets.providers.aws.client import AwsClient, AwsLimits
from tradewarden.secrets.providers.content import as_text, held_text, settled
from tradewarden.secrets.providers.provider import Held

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tradewarden.secrets.providers.provider import Content

MAX_BYTES: Final = 65_536
BATCH: Final = 20
_PAGE: Final = 100
_VERSION_ID_LENGTH: Final = 32
_MAX_NAME: Final = 512
_NAME: Final = re.compile(r"[A-Za-z0-9/_+=.@-]+")
_STAGES: Final = {"": "AWSCURRENT", "current": "AWSCURRENT", "previous": "AWSPREVIOUS", "pending": "AWSPENDING"}
_STAGE: Final = re.compile(r"[\x21-\x7e]{1,256}")
_ABSENT: Final = frozenset({"ResourceNotFoundException", "InvalidRequestException"})


class AwsProvider:
    """Secrets Manager of one region; boto3 finds region and credentials where none are given.

    `kms_key` encrypts secrets that are made here (AWS's own key when empty). A deleted secret can be restored for
    `recovery_days`; a `put` within them restores it.
    """

    name: Final = "aws"

    def __init__(
        self,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        prefix: str = "",
        kms_key: str = "",
        recovery_days: int = 30,
        limits: AwsLimits | None = None,
    ) -> None:
        if not 7 <= recovery_days <= 30:  # noqa: PLR2004 - AWS's own bounds
            raise ConfigurationError("recovery_days is 7 to 30")
        if not _NAME.fullmatch(prefix or "x"):
            raise ConfigurationError("an AWS prefix has ASCII letters, digits and /_+=.@- only")
        self._client = AwsClient(region, endpoint_url, limits or AwsLimits())
        self._region = region
        self._prefix = prefix
        self._kms_key = kms_key
        self._recovery_days = recovery_days

    def __repr__(self) -> str:
        return f"AwsProvider(region={self._region!r}, prefix={self._prefix!r})"

    def get(self, name: str, version: str = "") -> Held:
        """Return the current version, or that of a VersionId or a stage."""
        named = self._id(name)
        answer = self._client.ask("GetSecretValue", name, SecretId=named, **_version(name, version))
        if answer["Name"] != named:
            raise ProviderUnavailableError(f"AWS answered with another secret than '{name}'")
        return _held(name, answer)

    def get_many(self, names: Sequence[str]) -> dict[str, Held]:
        """Return those that exist, asked for in twenties; one by one where `BatchGetSecretValue` is not granted."""
        wanted = {self._id(name): name for name in names}
        ids = list(wanted)
        found: dict[str, Held] = {}
        for start in range(0, len(ids), BATCH):
            found |= self._batch({each: wanted[each] for each in ids[start : start + BATCH]})
        return found

    def put(self, name: str, content: Content) -> str:
        """Write a new version, of a new secret when there is none; returns its VersionId.

        The version is named by us, once: whichever attempt of a retried call arrives, it is written once.
        """
        text = as_text(settled(content))
        if len(text.encode()) > MAX_BYTES:
            raise LimitExceededError(f"AWS takes {MAX_BYTES} bytes a secret; '{name}' is larger")
        named, token = self._id(name), str(uuid.uuid4())
        written = {"SecretString": text, "ClientRequestToken": token}
        try:
            self._client.ask("PutSecretValue", name, SecretId=named, **written)
        except DeletedError:
            self._client.ask("RestoreSecret", name, SecretId=named)
            self._client.ask("PutSecretValue", name, SecretId=named, **written)
        except SecretNotFoundError:
            self._create(name, named, written)
        return token

    def delete(self, name: str) -> None:
        """Schedule the secret for deletion; it can be restored for `recovery_days`."""
        named = self._id(name)
        with suppress(ProviderRefusedError):  # who may delete and not describe deletes unseen
            if self._client.ask("DescribeSecret", name, SecretId=named).get("DeletedDate"):
                raise DeletedError(name, reason="scheduled for deletion at AWS")
        self._client.ask("DeleteSecret", name, SecretId=named, RecoveryWindowInDays=self._recovery_days)

    def names(self, prefix: str = "") -> list[str]:
        """Return the names below our prefix that start with `prefix`; those scheduled for deletion are left out."""
        start = self._prefix + path_prefix(prefix)
        below = (each[len(self._prefix) :] for each in self._listed(start))
        return sorted(each for each in below if is_secret_path(each))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _id(self, name: str) -> str:
        named = self._prefix + secret_path(name)
        if not _NAME.fullmatch(named) or len(named) > _MAX_NAME:
            raise NameNotHeldError(
                f"AWS cannot hold '{name}': a name there has letters, digits and /_+=.@- only, {_MAX_NAME} at most"
            )
        return named

    def _create(self, name: str, named: str, written: Mapping[str, str]) -> None:
        key = {"KmsKeyId": self._kms_key} if self._kms_key else {}
        try:
            self._client.ask("CreateSecret", name, Name=named, **key, **written)
        except ConflictError:  # another writer was first: ours is its next version
            self._client.ask("PutSecretValue", name, SecretId=named, **written)

    def _batch(self, wanted: Mapping[str, str]) -> dict[str, Held]:
        """Return those of one batch that exist, by our names; `wanted` are our names by AWS's."""
        found: dict[str, Held] = {}
        left = dict(wanted)
        for answer in self._answers(list(wanted)) if len(wanted) > 1 else ():
            for each in answer.get("SecretValues", ()):
                if name := left.pop(each["Name"], ""):
                    found[name] = _held(name, each)
            for each in answer.get("Errors", ()):
                if each.get("ErrorCode") in _ABSENT:
                    left.pop(each.get("SecretId", ""), None)
        for name in left.values():  # refused or failed alone: asked for alone it says why
            try:
                found[name] = self.get(name)
            except SecretNotFoundError:
                continue
        return found

    def _answers(self, ids: list[str]) -> Iterator[Mapping[str, Any]]:
        more: dict[str, object] = {}
        while True:
            try:
                answer = self._client.ask("BatchGetSecretValue", f"{len(ids)} secrets", SecretIdList=ids, **more)
            except ProviderRefusedError:
                return  # a policy may grant GetSecretValue alone
            yield answer
            if not answer.get("NextToken"):
                return
            more = {"NextToken": answer["NextToken"]}

    def _listed(self, start: str) -> Iterator[str]:
        narrowed: dict[str, object] = {"Filters": [{"Key": "name", "Values": [start]}]} if start else {}
        more: dict[str, object] = {}
        while True:
            page = self._client.ask("ListSecrets", "", MaxResults=_PAGE, **narrowed, **more)
            yield from (each["Name"] for each in page.get("SecretList", ()) if each["Name"].startswith(start))
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}


def _version(name: str, version: str) -> dict[str, str]:
    """Return which version AWS is asked for: always one, so that a moved stage is seen."""
    stage = _STAGES.get(version, version)
    if not _STAGE.fullmatch(stage):
        raise SecretNotFoundError(name, reason="that is no version and no stage of AWS's")
    return {"VersionId" if len(stage) >= _VERSION_ID_LENGTH else "VersionStage": stage}


def _held(name: str, answer: Mapping[str, Any]) -> Held:
    version = answer.get("VersionId", "")
    if "SecretString" in answer:
        return Held(name, held_text(answer["SecretString"], f"Secret '{name}'"), version)
    raw: bytes = answer["SecretBinary"]
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return Held(name, {"base64": b64encode(raw).decode()}, version)
    return Held(name, held_text(text, f"Secret '{name}'"), version)

"""AWS Secrets Manager: stages, batches, pages and deletion at moto's server; refusals and silence as AWS has them.

What moto does differently is told in `tests/support/aws.py`.
"""

# ruff: noqa: ANN401  (boto3 makes its classes at run time)

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest

from tests.support.aws import REGION, Answer, Front, aws_url, front, refusal
from tests.support.providers import fresh
from tradewarden.errors import (
    ConfigurationError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    LimitExceededError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
    TradewardenError,
)
from tradewarden.secrets.providers.aws.aws import AwsProvider
from tradewarden.secrets.providers.aws.client import AwsLimits

__all__ = ["aws_url", "front"]
SHORT = AwsLimits(connect_seconds=0.5, read_seconds=0.5, attempts=2)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The back-off is botocore's own; only its waiting is taken out."""
    from botocore.retries.standard import ExponentialBackoff  # type: ignore[import-untyped]

    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)


@pytest.fixture
def console(aws_url: str) -> Iterator[Any]:
    """Somebody else who works with the same secrets."""
    client = boto3.client("secretsmanager", region_name=REGION, endpoint_url=aws_url)
    yield client
    client.close()


@pytest.fixture
def provider(front: Front) -> Iterator[AwsProvider]:
    """A provider through the server in front."""
    made = AwsProvider(region=REGION, endpoint_url=front.url, prefix=f"{fresh('bot')}/", limits=SHORT)
    yield made
    made.close()


def at_aws(provider: AwsProvider, name: str) -> str:
    """Return what a secret is called at AWS."""
    return provider._prefix + name


def test_stages_are_read_by_their_names(provider: AwsProvider, console: Any) -> None:
    """`current`, `previous` and `pending` are AWS's stages; other staging labels are read as they are called."""
    first = provider.put("key", "one")
    second = provider.put("key", "two")
    named = at_aws(provider, "key")
    pending = console.put_secret_value(SecretId=named, SecretString="three", VersionStages=["AWSPENDING"])["VersionId"]
    read = {stage: provider.get("key", stage) for stage in ("current", "previous", "pending", "AWSPREVIOUS")}
    assert {stage: (held.content, held.version) for stage, held in read.items()} == {
        "current": ("two", second),
        "previous": ("one", first),
        "pending": ("three", pending),
        "AWSPREVIOUS": ("one", first),
    }
    console.update_secret_version_stage(
        SecretId=named, VersionStage="AWSCURRENT", MoveToVersionId=pending, RemoveFromVersionId=second
    )
    assert provider.get("key").content == "three"
    assert provider.get("key", first).content == "one"


def test_a_text_and_an_object_are_kept_as_aws_keeps_them(provider: AwsProvider, console: Any) -> None:
    """The console shows a text as text and an object as its JSON, and what it wrote itself is read."""
    provider.put("text", "plain")
    provider.put("database_credentials", {"user": "u", "password": "p"})
    shown = [
        console.get_secret_value(SecretId=at_aws(provider, each))["SecretString"]
        for each in ("text", "database_credentials")
    ]
    assert shown == ["plain", '{"user":"u","password":"p"}']
    console.create_secret(Name=at_aws(provider, "theirs"), SecretString='{ "user": "x" }')
    assert provider.get("theirs").content == {"user": "x"}


@pytest.mark.parametrize(
    ("raw", "content"),
    [(b"text", "text"), (b'{"a": 1}', {"a": 1}), (b"\xff\x00", {"base64": "/wA="})],
    ids=["text", "json", "binary"],
)
def test_binary_secrets_are_read(provider: AwsProvider, console: Any, raw: bytes, content: object) -> None:
    """Bytes that are text are that text, others are given in base64; alone and in a batch."""
    console.create_secret(Name=at_aws(provider, "binary"), SecretBinary=raw)
    provider.put("other", "x")
    assert provider.get("binary").content == content
    assert provider.get_many(["binary", "other"])["binary"].content == content


def test_many_are_read_in_twenties(provider: AwsProvider, front: Front) -> None:
    """Forty-five secrets take three calls, and what is missing or deleted among them is left out."""
    names = [f"many_{number}" for number in range(43)]
    for name in names:
        provider.put(name, name)
    provider.delete(names.pop())
    front.asked.clear()
    assert sorted(provider.get_many([*names, "many_42", "missing"])) == sorted(names)
    assert set(front.operations) <= {"BatchGetSecretValue", "GetSecretValue"}
    batches = [len(asked["SecretIdList"]) for operation, asked in front.asked if operation == "BatchGetSecretValue"]
    assert batches == [20, 20, 4]


def test_a_batch_that_is_refused_is_read_one_by_one(provider: AwsProvider, front: Front) -> None:
    """A policy that grants `GetSecretValue` alone is enough."""
    for name in ("a", "b"):
        provider.put(name, name)
    front.always["BatchGetSecretValue"] = refusal("AccessDeniedException")
    assert sorted(provider.get_many(["a", "b"])) == ["a", "b"]


def test_a_secret_refused_within_a_batch_is_refused(provider: AwsProvider, front: Front) -> None:
    """Not allowed is never taken for not found."""
    front.always["BatchGetSecretValue"] = Answer(
        200, b'{"SecretValues": [], "Errors": [{"SecretId": "x", "ErrorCode": "AccessDeniedException"}]}'
    )
    front.always["GetSecretValue"] = refusal("AccessDeniedException")
    with pytest.raises(ProviderRefusedError):
        provider.get_many(["a", "b"])


def test_a_long_list_is_read_page_by_page(provider: AwsProvider, front: Front, console: Any) -> None:
    """All names below the prefix are listed and nobody else's; those scheduled for deletion are not."""
    names = [f"page_{number:03}" for number in range(120)]
    for name in names:
        console.create_secret(Name=at_aws(provider, name), SecretString="x")
    console.create_secret(Name=fresh("stranger"), SecretString="x")
    console.create_secret(Name=at_aws(provider, "rds!cluster"), SecretString="x")
    provider.delete(names.pop())
    front.asked.clear()
    assert provider.names() == names
    assert front.operations == ["ListSecrets"] * 2
    assert provider.names("page_11") == names[110:]


def test_a_put_brings_a_deleted_secret_back(provider: AwsProvider, front: Front) -> None:
    """A secret that is scheduled for deletion is restored by the next put, and has its history."""
    first = provider.put("key", "one")
    provider.delete("key")
    with pytest.raises(SecretNotFoundError) as raised:
        provider.delete("key")
    assert "deletion" in raised.value.reason
    front.asked.clear()
    provider.put("key", "two")
    assert front.operations == ["PutSecretValue", "RestoreSecret", "PutSecretValue"]
    assert (provider.get("key").content, provider.get("key", first).content) == ("two", "one")


def test_a_new_secret_has_the_key_and_a_deleted_one_the_days_that_were_named(front: Front) -> None:
    """The KMS key goes with the creation alone, the recovery window with the deletion; it has AWS's own bounds."""
    provider = AwsProvider(
        region=REGION, endpoint_url=front.url, prefix=f"{fresh()}/", kms_key="alias/bots", recovery_days=7, limits=SHORT
    )
    provider.put("key", "one")
    provider.put("key", "two")
    provider.delete("key")
    provider.close()
    asked = dict(front.asked)
    assert asked["CreateSecret"]["KmsKeyId"] == "alias/bots"
    assert "KmsKeyId" not in asked["PutSecretValue"]
    assert asked["DeleteSecret"]["RecoveryWindowInDays"] == 7
    for days in (6, 31):
        with pytest.raises(ConfigurationError, match="7 to 30"):
            AwsProvider(recovery_days=days)


def test_who_may_delete_and_not_describe_deletes(provider: AwsProvider, front: Front) -> None:
    """No more is asked for than what is done."""
    provider.put("key", "one")
    front.always["DescribeSecret"] = refusal("AccessDeniedException")
    provider.delete("key")
    with pytest.raises(SecretNotFoundError):
        provider.get("key")


def test_an_answer_for_another_secret_is_not_taken(provider: AwsProvider, front: Front) -> None:
    """Whatever came between: a secret is given out under its own name only."""
    front.always["GetSecretValue"] = Answer(200, b'{"Name": "other", "SecretString": "x", "VersionId": "v"}')
    with pytest.raises(ProviderUnavailableError, match="another secret"):
        provider.get("key")


def test_a_repeated_call_writes_one_version(provider: AwsProvider, front: Front, console: Any) -> None:
    """When an answer is lost, the same write is asked again under the same token: AWS writes it once."""
    provider.put("key", "one")
    front.asked.clear()
    front.answers = [Answer(0, b'{"ARN":')]
    version = provider.put("key", "two")
    tokens = [asked["ClientRequestToken"] for _, asked in front.asked]
    assert tokens == [version, version]
    assert len(console.list_secret_version_ids(SecretId=at_aws(provider, "key"))["Versions"]) == 2


def test_two_who_create_one_secret_both_write(provider: AwsProvider, front: Front) -> None:
    """Who comes second to the creation writes the next version."""
    provider.put("key", "first")
    front.answers = [refusal("ResourceNotFoundException"), refusal("ResourceExistsException")]
    provider.put("key", "second")
    assert provider.get("key").content == "second"


@pytest.mark.parametrize(
    "answer", [refusal("ThrottlingException"), refusal("InternalServiceError", 500), Answer(0, b"{")]
)
def test_what_passes_is_asked_again(provider: AwsProvider, front: Front, answer: Answer) -> None:
    """One throttled call, one failure or one broken connection is not noticed."""
    provider.put("key", "content")
    front.answers = [answer]
    assert provider.get("key").content == "content"


def test_an_answer_that_is_always_cut_off_is_unavailable(provider: AwsProvider, front: Front) -> None:
    """Half an answer is none: neither an empty list nor a missing secret."""
    for operation in ("GetSecretValue", "ListSecrets", "PutSecretValue"):
        front.always[operation] = Answer(0, b'{"Name": "key", "SecretStr')
    for ask in (lambda: provider.get("key"), provider.names, lambda: provider.put("key", "x")):
        with pytest.raises(ProviderUnavailableError, match="cut off"):
            ask()


def test_throttling_that_stays_is_unavailable(provider: AwsProvider, front: Front) -> None:
    """After the stated number of attempts the caller is told, and nothing was written."""
    provider.put("key", "content")
    front.asked.clear()
    front.answers = [refusal("ThrottlingException", message="Rate exceeded")] * 2
    with pytest.raises(ProviderUnavailableError, match="ThrottlingException"):
        provider.put("key", "changed")
    assert len(front.asked) == SHORT.attempts
    assert provider.get("key").content == "content"


@pytest.mark.parametrize(
    ("code", "status", "kind", "says"),
    [
        ("AccessDeniedException", 400, ProviderRefusedError, "grant secretsmanager:GetSecretValue"),
        ("ExpiredTokenException", 400, ProviderRefusedError, "get new ones"),
        ("ExpiredToken", 403, ProviderRefusedError, "get new ones"),
        ("UnrecognizedClientException", 400, ProviderRefusedError, "AWS_ACCESS_KEY_ID"),
        ("InvalidSignatureException", 400, ProviderRefusedError, "AWS_SECRET_ACCESS_KEY"),
        ("DecryptionFailure", 400, ProviderRefusedError, "KMS key"),
        ("KMSAccessDeniedException", 400, ProviderRefusedError, "KMS key"),
        ("SomethingNew", 403, ProviderRefusedError, "SomethingNew"),
        ("InternalServiceError", 500, ProviderUnavailableError, "InternalServiceError"),
        ("SomethingNew", 503, ProviderUnavailableError, "SomethingNew"),
        ("LimitExceededException", 400, ProviderUnavailableError, "LimitExceeded"),
        ("InvalidParameterException", 400, InvalidInputError, "InvalidParameter"),
        ("PreconditionNotMetException", 400, ConflictError, "PreconditionNotMet"),
        ("ResourceNotFoundException", 400, SecretNotFoundError, "Secret 'key' not found"),
    ],
)
def test_each_refusal_is_one_of_three(
    provider: AwsProvider, front: Front, code: str, status: int, kind: type[TradewardenError], says: str
) -> None:
    """Not found, not allowed and not reachable are told apart, with what to look at."""
    front.always["GetSecretValue"] = refusal(code, status)
    with pytest.raises(kind, match=says) as raised:
        provider.get("key")
    assert type(raised.value) is kind
    assert raised.value.__cause__ is None


def test_a_redirect_is_not_followed(provider: AwsProvider, front: Front) -> None:
    """Where AWS would send us is not asked."""
    front.always["GetSecretValue"] = Answer(307, b"{}", (("Location", f"{front.url}/elsewhere"),))
    with pytest.raises(ProviderUnavailableError):
        provider.get("key")
    assert set(front.operations) == {"GetSecretValue"}
    assert len(front.asked) <= SHORT.attempts


def test_silence_is_unavailable_within_the_stated_time(aws_url: str) -> None:
    """Nobody there, and somebody who does not answer."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        provider = AwsProvider(region=REGION, endpoint_url=f"http://127.0.0.1:{port}", limits=SHORT)
        began = time.monotonic()
        with pytest.raises(ProviderUnavailableError, match="ReadTimeout"):
            provider.get("key")
        assert time.monotonic() - began < SHORT.attempts * (SHORT.read_seconds + SHORT.connect_seconds)
        provider.close()
    provider = AwsProvider(region=REGION, endpoint_url=f"http://127.0.0.1:{port}", limits=SHORT)
    with pytest.raises(ProviderUnavailableError, match="EndpointConnection"):
        provider.get("key")
    provider.close()


def test_the_time_limits_are_the_documented_ones() -> None:
    """The module says how long a call may take at the worst."""
    limits = AwsLimits()
    assert limits == (3.0, 5.0, 4, 10)
    assert limits.attempts * (limits.connect_seconds + limits.read_seconds) + 1 + 2 + 4 == 39


def test_without_credentials_the_error_says_what_to_set(
    front: Front, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is sent, and the caller learns which variables are missing."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    provider = AwsProvider(region=REGION, endpoint_url=front.url, limits=SHORT)
    with pytest.raises(ProviderRefusedError, match="AWS_ACCESS_KEY_ID"):
        provider.get("key")
    assert not front.asked
    provider.close()


def test_without_a_region_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A region is never guessed."""
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="AWS_REGION"):
        AwsProvider().get("key")


@pytest.mark.parametrize("url", ["http://secrets.example.com", "ftp://127.0.0.1", "https://user:pw@127.0.0.1"])
def test_nothing_goes_in_the_clear_to_another_host(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint is https or this machine, whoever names it."""
    with pytest.raises(ConfigurationError):
        AwsProvider(region=REGION, endpoint_url=url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(ConfigurationError):
        AwsProvider(region=REGION).get("key")


def test_a_bad_parameter_is_not_repeated(provider: AwsProvider) -> None:
    """Botocore's words on a parameter quote it; ours do not, in the traceback neither."""
    import traceback

    with pytest.raises(InvalidInputError) as raised:
        provider._client.ask("PutSecretValue", "key", SecretId="key", SecretString=[4711 * 4711])
    assert "22193521" not in "".join(traceback.format_exception(raised.value))


def test_what_aws_cannot_hold_is_refused_before_it_is_asked(provider: AwsProvider, front: Front) -> None:
    """Names with other characters, and more than 64 KiB."""
    asks: list[Callable[[], object]] = [
        lambda: provider.get("with space"),
        lambda: provider.put("tilde~", "x"),
        lambda: provider.get_many(["a,b"]),
    ]
    for ask in asks:
        with pytest.raises(InvalidInputError, match="AWS cannot hold"):
            ask()
    with pytest.raises(LimitExceededError, match="65536"):
        provider.put("key", "x" * 65_537)
    assert not front.asked


def test_without_boto3_the_error_says_what_to_install(provider: AwsProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ConfigurationError, match=r"pip install '\.\[aws\]'"):
        provider.get("key")


@pytest.mark.parametrize("text", ['{"api_key": "a", "api_key": "b"}', '{"a":' * 40 + "1" + "}" * 40])
def test_a_value_that_is_damaged_is_no_missing_secret(provider: AwsProvider, console: Any, text: str) -> None:
    """What two readers would read differently is named as such, so that no other provider stands in for it."""
    console.create_secret(Name=at_aws(provider, "key"), SecretString=text)
    with pytest.raises(IntegrityError, match="Secret 'key'"):
        provider.get("key")
    with pytest.raises(IntegrityError):
        provider.get_many(["key", "other"])


def test_no_level_of_any_log_shows_a_value(provider: AwsProvider, caplog: pytest.LogCaptureFixture) -> None:
    """Botocore writes requests and answers whole at DEBUG; not those of ours."""
    caplog.set_level(logging.DEBUG)
    provider.put("key", "hunter2-hunter2")
    assert provider.get("key").content == "hunter2-hunter2"
    assert provider.get_many(["key", "other"])
    assert "hunter2" not in caplog.text
    logging.getLogger("botocore.parsers").debug("of another use")
    assert "of another use" in caplog.text


def test_a_server_that_is_not_aws_is_not_quoted(provider: AwsProvider, front: Front) -> None:
    """What a foreign server says is neither shown nor taken for an answer about the secret."""
    front.answers = [Answer(404, b"<html>not here</html>", (("content-type", "text/html"),))] * 2
    with pytest.raises(ProviderUnavailableError, match="AWS_ENDPOINT_URL") as error:
        provider.get("key")
    assert "html" not in str(error.value)

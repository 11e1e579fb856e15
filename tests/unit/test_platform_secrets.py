"""A platform's secrets by what they are for: thin over the chain, sync and async."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.support.chain import Bench, ToldProvider, refused, unreachable
from tradewarden import AsyncPlatformSecrets, PlatformSecrets
from tradewarden.errors import (
    AuditUnavailableError,
    ConfigurationError,
    InvalidInputError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
)
from tradewarden.secrets.chain.chain import Chain
from tradewarden.secrets.chain.policy import ChainPolicy
from tradewarden.secrets.credentials import (
    ApiToken,
    DatabaseCredentials,
    DataProviderCredentials,
    EncryptionKey,
    ExchangeCredentials,
    SigningKey,
)
from tradewarden.secrets.credentials.asking import by_name
from tradewarden.secrets.providers.provider import Content

STRONG = "Kq7-tR0ub4dor-9f3LmWz2Yx81PbVcTn"
LOGIN: Content = {"host": "db", "user": "u", "password": STRONG}
KEYS: Content = {"api_key": "k", "api_secret": STRONG}
HELD: dict[str, Content] = {
    "database_credentials": LOGIN,
    "analytics": LOGIN,
    "binance_credentials": KEYS,
    "polygon_api_key": STRONG,
    "jwt_secret": STRONG,
    "encryption_key": STRONG,
    "ann_api_token": STRONG,
    "slack_webhook": "https://hooks.example/x",
}
ASKED: dict[str, tuple[Callable[[PlatformSecrets], object], type]] = {
    "database": (lambda secrets: secrets.database(), DatabaseCredentials),
    "another database": (lambda secrets: secrets.database("analytics"), DatabaseCredentials),
    "exchange": (lambda secrets: secrets.exchange("Binance"), ExchangeCredentials),
    "data provider": (lambda secrets: secrets.data_provider("polygon"), DataProviderCredentials),
    "signing key": (lambda secrets: secrets.signing_key(), SigningKey),
    "encryption key": (lambda secrets: secrets.encryption_key(), EncryptionKey),
    "api token": (lambda secrets: secrets.api_token("ann"), ApiToken),
}


@pytest.fixture
def provider() -> ToldProvider:
    """A provider with one secret of each kind."""
    return ToldProvider("vault", HELD)


@pytest.mark.parametrize(("ask", "kind"), ASKED.values(), ids=ASKED)
async def test_each_secret_comes_as_what_it_is(
    provider: ToldProvider, ask: Callable[[PlatformSecrets], object], kind: type
) -> None:
    """Both faces give the same typed credentials, made of the same secret."""
    bench = Bench(provider)
    made = ask(PlatformSecrets(bench.chain))
    assert type(made) is kind
    assert await ask(AsyncPlatformSecrets(bench.chain)) == made  # type: ignore[arg-type, misc]
    assert STRONG not in repr(made)


def test_names_lead_nowhere_else(provider: ToldProvider) -> None:
    """What a configuration or a request calls an exchange or a user cannot name another folder's secret."""
    provider.held["admins/root_api_token"] = STRONG
    secrets = PlatformSecrets(Bench(provider).chain)
    for ask in (secrets.exchange, secrets.data_provider, secrets.api_token):
        for name in ("admins/root", "../root", ""):
            with pytest.raises(InvalidInputError):
                ask(name)
    assert provider.calls == []


async def test_any_other_secret_is_read_written_and_listed(provider: ToldProvider) -> None:
    """Other names come as they are stored; what is written goes to the provider and is there at once."""
    secrets, there = PlatformSecrets(Bench(provider).chain), AsyncPlatformSecrets(Bench(provider).chain)
    assert secrets.get("slack_webhook").content == "https://hooks.example/x"
    assert secrets.put("slack_webhook", "new") == "2"
    assert secrets.get("slack_webhook").content == "new"
    secrets.delete("analytics")
    assert await there.put("analytics", "text") == "2"
    assert (await there.get("analytics")).content == "text"
    await there.delete("analytics")
    assert "analytics" not in secrets.names()
    assert await there.names("po") == ["polygon_api_key"]
    provider.held["slack_webhook"] = "newest"
    secrets.forget()
    there.forget("slack_webhook")
    assert secrets.get("slack_webhook").content == (await there.get("slack_webhook")).content == "newest"


@pytest.mark.parametrize(
    ("failing", "error"), [(refused, ProviderRefusedError), (unreachable, ProviderUnavailableError), (None, None)]
)
def test_three_failures_stay_three(
    provider: ToldProvider, failing: Callable[[str], ConfigurationError] | None, error: type[Exception] | None
) -> None:
    """Not allowed, not reachable and not found are three errors; what is found and not usable is a fourth."""
    provider.held["kraken_credentials"] = {"api_key": "k"}
    secrets = PlatformSecrets(Bench(provider).chain)
    provider.failing = failing
    with pytest.raises(error or SecretNotFoundError):
        secrets.exchange("bybit")
    if failing is None:
        with pytest.raises(ConfigurationError, match="'kraken_credentials': field 'api_secret' is missing"):
            secrets.exchange("kraken")


async def test_an_unusable_secret_is_in_no_traceback(provider: ToldProvider) -> None:
    """The error's frames have no variable with the value, for tools that show variables."""
    provider.held["kraken_credentials"] = {"api_key": STRONG}
    provider.held["jwt_secret"] = {"key": STRONG[:20], "previous": STRONG}
    secrets, there = PlatformSecrets(Bench(provider).chain), AsyncPlatformSecrets(Bench(provider).chain)
    with pytest.raises(ConfigurationError) as one:
        secrets.signing_key()
    with pytest.raises(ConfigurationError) as other:
        await there.exchange("kraken")
    for error in (one.value, other.value):
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert shown.__context__ is None
        assert len(shown.stack) > 2
        assert all(STRONG[:20] not in str(frame.locals) for frame in shown.stack[1:])


def test_a_running_bot_gets_its_new_credentials(provider: ToldProvider, caplog: pytest.LogCaptureFixture) -> None:
    """A changed key reaches its subscriber typed; one that is not usable is logged, and what is in use stays."""
    bench = Bench(provider)
    got: list[object] = []
    raw: list[object] = []
    secrets = PlatformSecrets(bench.chain)
    secrets.exchange("binance")
    with (
        secrets.on_change("binance_credentials", got.append),
        secrets.subscribe("binance_credentials", lambda answer: raw.append(answer.content)),
    ):
        changes: tuple[Content, ...] = ({"api_key": "k2", "api_secret": "s2"}, {"api_key": "Tr0ub4dor"})
        for content in changes:
            provider.held["binance_credentials"] = content
            bench.later(bench.chain.policy.watch_seconds)
            bench.chain.run_due()
            bench.threads.work()
    wanted = ExchangeCredentials.from_content("binance_credentials", {"api_key": "k2", "api_secret": "s2"})
    assert got == [wanted]
    assert len(raw) == 2
    (said,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert "Secret 'binance_credentials': field 'api_secret' is missing" in said.getMessage()
    assert "Tr0ub4dor" not in caplog.text


async def test_an_async_bot_is_told_in_its_event_loop(provider: ToldProvider) -> None:
    """The callback runs where the bot's tasks run, with typed credentials."""
    told: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    async with AsyncPlatformSecrets(Chain([provider], ChainPolicy(poll_seconds=0.01))) as secrets:
        await secrets.exchange("binance")
        secrets.on_change("binance_credentials", told.set_result)
        provider.held["binance_credentials"] = {"api_key": "k2", "api_secret": "s2"}
        made = await asyncio.wait_for(told, 10)
    assert isinstance(made, ExchangeCredentials)
    assert made.api_key.reveal() == "k2"


async def test_an_async_bot_iterates_over_changes(provider: ToldProvider) -> None:
    """The async face's subscription begins with the current value."""
    async with AsyncPlatformSecrets(Chain([provider])) as secrets:
        async with aclosing(secrets.subscribe("binance_credentials")) as changes:  # type: ignore[type-var]
            assert (await anext(changes)).content == KEYS
        assert "AsyncPlatformSecrets(Chain(vault))" in repr(secrets)
    assert provider.closed == 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tenants/1/database_credentials", DatabaseCredentials),
        ("tenants/1/okx_credentials", ExchangeCredentials),
        ("FINNHUB_API_KEY", DataProviderCredentials),
        ("users/ann_api_token", ApiToken),
        ("jwt_secret", SigningKey),
        ("webhook_signing_key", SigningKey),
        ("field_encryption_key", EncryptionKey),
        ("slack_webhook", str),
    ],
)
def test_a_name_says_what_it_is_for(name: str, kind: type) -> None:
    """By its name a secret is typed, in whatever folder it stands."""
    content: Content = LOGIN if kind is DatabaseCredentials else {**KEYS, "passphrase": "p"}  # type: ignore[dict-item]
    if kind in (DataProviderCredentials, ApiToken, SigningKey, EncryptionKey, str):
        content = STRONG
    assert type(by_name(name).read(content)) is kind


def test_health_says_what_is_known(provider: ToldProvider) -> None:
    """Healthy until a provider fails, and again when it answers; asking calls nobody."""
    secrets = PlatformSecrets(Bench(provider).chain)
    assert secrets.health().healthy
    assert provider.calls == []
    provider.failing = unreachable
    with pytest.raises(ProviderUnavailableError):
        secrets.database()
    assert not secrets.health().healthy
    assert [each.last_outcome for each in secrets.health().providers] == ["unreachable"]
    provider.failing = None
    secrets.get("slack_webhook")
    assert AsyncPlatformSecrets(secrets._chain).health().healthy


# --- from the environment ---

VARIABLES = {"ALPHAPULSE_BINANCE_API_KEY": "k", "ALPHAPULSE_BINANCE_API_SECRET": "s"}


def test_development_reads_variables_then_files(tmp_path: Path) -> None:
    """With nothing said, a developer's machine has its variables, `.env` and encrypted files, and writes to `.env`."""
    dotenv = tmp_path / ".env"
    dotenv.write_text("ALPHAPULSE_POLYGON_API_KEY=from-the-file\n")
    environ = {**VARIABLES, "TRADEWARDEN_SECRETS_DIR": str(tmp_path / ".secrets")}
    with PlatformSecrets.from_environment(environ, dotenv) as secrets:
        assert secrets.exchange("binance").ccxt() == {"apiKey": "k", "secret": "s"}
        assert secrets.data_provider("polygon").api_key.reveal() == "from-the-file"
        with pytest.raises(SecretNotFoundError, match="Secret 'database_credentials' not found"):
            secrets.database()
        assert not (tmp_path / ".secrets").exists()
        secrets.put("slack_webhook", "https://hooks.example/x")
        assert "ALPHAPULSE_SLACK_WEBHOOK" in dotenv.read_text()


def test_files_without_a_key_make_one_when_something_is_written(tmp_path: Path) -> None:
    """On a developer's machine the first secret makes directory and key; another program then reads it."""
    environ = {"TRADEWARDEN_SECRET_PROVIDERS": "files", "TRADEWARDEN_SECRETS_DIR": str(tmp_path / "s")}
    with PlatformSecrets.from_environment(environ, None) as secrets:
        assert secrets.names() == []
        with pytest.raises(SecretNotFoundError):
            secrets.delete("a")
        assert not (tmp_path / "s").exists()
        secrets.put("a", "b")
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    with PlatformSecrets.from_environment(environ, None) as again:
        assert again.get("a").content == "b"
        again.delete("a")
        assert again.names() == []


async def test_the_async_face_opens_the_same(tmp_path: Path) -> None:
    """Environment and settings mean the same for both faces; the caller may name the environment."""
    audit = tmp_path / "audit.jsonl"
    environ = {**VARIABLES, "ALPHAPULSE_ENV": "production", "TRADEWARDEN_SECRETS_AUDIT": str(audit)}
    environ["TRADEWARDEN_SECRET_PROVIDERS"] = "environment"
    async with AsyncPlatformSecrets.from_environment(environ, None, environment="development") as secrets:
        assert (await secrets.exchange("binance")).ccxt()["apiKey"] == "k"
    (entry,) = audit.read_text().splitlines()
    assert '"resource":"binance_credentials"' in entry
    assert '"event_type":"secret_access"' in entry


def test_an_audit_file_that_cannot_be_written_stops_answers(tmp_path: Path) -> None:
    """No secret is given that could not be recorded."""
    environ = {**VARIABLES, "TRADEWARDEN_SECRETS_AUDIT": str(tmp_path)}
    secrets = PlatformSecrets.from_environment(environ, None)
    with pytest.raises(AuditUnavailableError):
        secrets.exchange("binance")


def test_a_cold_start_is_light() -> None:
    """Opening production's providers imports neither boto3 nor hvac nor an HTTP client, and calls nobody."""
    code = """
import sys
from tradewarden import PlatformSecrets
environ = {"ALPHAPULSE_ENV": "production", "VAULT_URL": "https://v", "VAULT_TOKEN": "t", "TRADEWARDEN_URL": "https://t",
           "TRADEWARDEN_TOKEN": "t", "TRADEWARDEN_SECRET_PROVIDERS": "aws,vault,tradewarden,environment"}
PlatformSecrets.from_environment(environ, None).close()
print(sorted({"boto3", "botocore", "hvac", "httpx", "requests", "ccxt", "sqlalchemy"} & set(sys.modules)))
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"

"""Settings of a program that reads a platform's secrets: only what it needs, and every mistake at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from tradewarden.errors import ConfigurationError
from tradewarden.secrets import naming
from tradewarden.settings import ProviderSettings, Secret, load_provider_settings
from tradewarden.settings.table import CREDENTIALS, OF_LIBRARIES

FERNET = "pHZBcYkG2o0s3u9tM4yQ1vXl7nRwEaJdLiFbUCg5h8E="
VAULT = {"VAULT_URL": "https://vault:8200", "VAULT_TOKEN": "hvs.x"}


def mistakes(environ: Mapping[str, str], dotenv: Path | None = None, environment: str | None = None) -> tuple[str, ...]:
    """Return what is wrong with an environment that must not be accepted."""
    with pytest.raises(ConfigurationError) as caught:
        load_provider_settings(environ, dotenv, environment)
    return caught.value.mistakes


@pytest.mark.parametrize(
    ("environ", "providers"),
    [
        ({}, ("environment", "files")),
        ({"ALPHAPULSE_ENV": "staging", **VAULT}, ("vault", "environment")),
        ({"ALPHAPULSE_ENV": "production"}, ("aws", "environment")),
        ({"ALPHAPULSE_ENV": "production", "TRADEWARDEN_SECRET_PROVIDERS": "environment"}, ("environment",)),
        ({"TRADEWARDEN_SECRET_PROVIDERS": "aws, files,environment,aws"}, ("aws", "files", "environment")),
    ],
)
def test_environments_choose_their_providers(environ: Mapping[str, str], providers: tuple[str, ...]) -> None:
    """Each environment has its documented providers, and a setting says otherwise, in its own order."""
    assert load_provider_settings(environ).providers == providers


def test_a_host_without_a_root_key_will_do() -> None:
    """Production needs no root key, and does not mind what only the service minds."""
    environ = {"ALPHAPULSE_ENV": "production", "SERVICE_PORT": "none", "TRADEWARDEN_BCRYPT_COST": "4"}
    assert load_provider_settings(environ).environment == "production"


def test_the_environment_may_be_given() -> None:
    """What the caller says takes the place of `ALPHAPULSE_ENV`, and must be one of the three."""
    assert load_provider_settings({"ALPHAPULSE_ENV": "staging"}, None, "development").development
    (said,) = mistakes({}, None, "testing")
    assert said == "environment: 'testing' is not one of development, staging, production; choose one"


def test_every_variable_is_read() -> None:
    """Each row of the library changes its field."""
    settings = load_provider_settings(
        {
            **VAULT,
            "TRADEWARDEN_SECRET_PROVIDERS": "tradewarden,vault",
            "TRADEWARDEN_SECRETS_DIR": "/srv/secrets",
            "TRADEWARDEN_SECRET_CACHE_SECONDS": "30",
            "TRADEWARDEN_SECRET_STALE_SECONDS": "0",
            "TRADEWARDEN_SECRETS_AUDIT": "/var/log/secrets.jsonl",
            "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": "https://vpce.example",
            "TRADEWARDEN_AWS_PREFIX": "bots/",
            "TRADEWARDEN_URL": "https://security:8002",
            "TRADEWARDEN_TOKEN": "tok",
            "TRADEWARDEN_CA_FILE": "ca.pem",
            "ALPHAPULSE_ENCRYPTION_KEY": FERNET,
        }
    )
    assert settings.providers == ("tradewarden", "vault")
    assert settings.secrets_dir == Path("/srv/secrets")
    assert (settings.cache_seconds, settings.stale_seconds) == (30, 0)
    assert settings.access_log == Path("/var/log/secrets.jsonl")
    assert (settings.aws_region, settings.aws_endpoint_url) == ("eu-central-1", "https://vpce.example")
    assert settings.aws_prefix == "bots/"
    assert (settings.service_url, settings.service_ca) == ("https://security:8002", Path("ca.pem"))
    assert settings.service_token == Secret("tok")
    assert settings.encryption_key == Secret(FERNET)
    assert (settings.vault.url, settings.vault.token) == ("https://vault:8200", Secret("hvs.x"))
    own = [field.name for field in fields(ProviderSettings)]
    assert len(own) == len(OF_LIBRARIES) + len(["environment", "encryption_key", "service_token_file", "vault"])


def test_a_tokens_file_is_known(tmp_path: Path) -> None:
    """A token that was mounted is read, and where it came from is kept, because it may be replaced there."""
    path = tmp_path / "token"
    path.write_text("tok\n")
    settings = load_provider_settings({"TRADEWARDEN_TOKEN_FILE": str(path)})
    assert settings.service_token == Secret("tok")
    assert settings.service_token_file == path
    assert load_provider_settings({"TRADEWARDEN_TOKEN": "tok"}).service_token_file is None


def test_what_a_chosen_provider_needs_is_named_all_at_once() -> None:
    """Every variable that is missing, wrong or unknown stands in the one error."""
    said = mistakes(
        {
            "ALPHAPULSE_ENV": "production",
            "TRADEWARDEN_SECRET_PROVIDERS": "vault,tradewarden,files",
            "TRADEWARDEN_SECRET_CACHE_SECONDS": "0",
            "AWS_REGION": "x.evil.example/",
            "VAULT_TOKEN": "change-me",
            "TRADEWARDEN_SECRET_DIR": "x",
        }
    )
    assert [each.partition(":")[0] for each in said] == [
        "TRADEWARDEN_SECRET_CACHE_SECONDS",
        "AWS_REGION",
        "VAULT_URL",
        "TRADEWARDEN_URL",
        "TRADEWARDEN_TOKEN",
        "ALPHAPULSE_ENCRYPTION_KEY",
        "VAULT_TOKEN",
        "TRADEWARDEN_SECRET_DIR",
    ]
    assert said[-1].endswith("did you mean TRADEWARDEN_SECRETS_DIR?")
    assert "or choose other providers in TRADEWARDEN_SECRET_PROVIDERS than vault,tradewarden,files" in said[2]


@pytest.mark.parametrize(
    "line",
    [
        "ALPHAPULSE_ENV=production",
        "VAULT_URL=https://elsewhere",
        "VAULT_URL_FILE=/mounted",
        "VAULT_CACERT=own.pem",
        "VAULT_NAMESPACE=mine",
        "AWS_ENDPOINT_URL=https://elsewhere",
        "TRADEWARDEN_URL=https://elsewhere",
        "TRADEWARDEN_CA_FILE=own.pem",
        "TRADEWARDEN_SECRET_PROVIDERS=environment",
    ],
)
@pytest.mark.parametrize("environment", ["staging", "production"])
def test_a_file_in_the_working_directory_does_not_choose_whom_to_trust(
    tmp_path: Path, environment: str, line: str
) -> None:
    """Outside development `.env` sets neither the environment nor where secrets come from; in development it does."""
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"{line}\n")
    name = line.partition("=")[0]
    said = mistakes({"ALPHAPULSE_ENV": environment, **VAULT}, dotenv)
    assert f"{name}: .env may not set it in {environment}; set it in the process's environment" in said
    if name not in ("ALPHAPULSE_ENV", "VAULT_URL_FILE"):
        load_provider_settings({}, dotenv)


def test_a_file_may_hold_the_credentials_themselves(tmp_path: Path) -> None:
    """Tokens and keys may stand in `.env`, also outside development."""
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"VAULT_TOKEN=hvs.y\nALPHAPULSE_ENCRYPTION_KEY={FERNET}\nALPHAPULSE_DB_PASSWORD=x\n")
    settings = load_provider_settings({"ALPHAPULSE_ENV": "staging", "VAULT_URL": "https://v"}, dotenv)
    assert settings.vault.token == Secret("hvs.y")


def test_no_value_shows() -> None:
    """Printing the settings shows no secret."""
    settings = load_provider_settings({"VAULT_TOKEN": "Tr0ub4dor", "TRADEWARDEN_TOKEN": "Tr0ub4dor"})
    assert "Tr0ub4dor" not in f"{settings} {settings!r}"


def test_the_documented_variables_are_those_that_are_read() -> None:
    """The page's variables for credentials are what the names of the platform's secrets stand for."""
    known = set(naming.field_variables(naming.DATABASE).values())
    for exchange in naming.EXCHANGES:
        halves = naming.field_variables(naming.exchange_secret(exchange))
        known |= {each for field, each in halves.items() if field != "passphrase" or exchange == "coinbase"}
    known |= {naming.variable(naming.api_key_secret(each)) for each in naming.DATA_PROVIDERS}
    assert {variable.name for variable in CREDENTIALS} == known

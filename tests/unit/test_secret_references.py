"""References in configuration give the secret that their variable stands for, and nothing else."""

from __future__ import annotations

from configparser import ConfigParser, RawConfigParser

import pytest

from tradewarden.errors import SecretNotFoundError
from tradewarden.secrets import shared
from tradewarden.secrets.providers.provider import Content
from tradewarden.secrets.references import References, resolved, secret_of_variable
from tradewarden.secrets.shared import platform_secret, platform_secrets

_HELD: dict[str, Content] = {
    "binance_credentials": {"api_key": "binance-key", "api_secret": "binance-secret", "tier": 3},
    "coinbase_credentials": {"passphrase": "coinbase-pass"},
    "database_credentials": {"password": "db-pass"},
    "polygon_api_key": "polygon-key",
    "okx_api_key": "okx-key",
    "slack_webhook": "https://hooks/${ALPHAPULSE_POLYGON_API_KEY}",
}


class _Answer:
    def __init__(self, content: Content) -> None:
        self.content = content


class _Secrets:
    """Stands in for the process's providers."""

    opened = 0

    def get(self, name: str) -> _Answer:
        if name not in _HELD:
            raise SecretNotFoundError(name)
        return _Answer(_HELD[name])


@pytest.fixture(autouse=True)
def _opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_environment() -> _Secrets:
        _Secrets.opened += 1
        return _Secrets()

    monkeypatch.setattr(_Secrets, "opened", 0)
    monkeypatch.setattr("tradewarden.secrets.platform.PlatformSecrets.from_environment", from_environment)
    monkeypatch.setattr(shared, "_opened", [])


def test_a_document_is_resolved_and_left_as_it_was() -> None:
    """At any depth, whole or in the middle of a text; keys, numbers and the original stay."""
    document = {
        "a": ["${ALPHAPULSE_BINANCE_API_KEY}", {"url": "pg://u:${ALPHAPULSE_DB_PASSWORD}@h/${HOME}"}],
        "${ALPHAPULSE_POLYGON_API_KEY}": ("${ALPHAPULSE_POLYGON_API_KEY}", 1, None, True),
        "n": 1.5,
    }
    assert resolved(document) == {
        "a": ["binance-key", {"url": "pg://u:db-pass@h/${HOME}"}],
        "${ALPHAPULSE_POLYGON_API_KEY}": ("polygon-key", 1, None, True),
        "n": 1.5,
    }
    assert document["a"][0] == "${ALPHAPULSE_BINANCE_API_KEY}"  # type: ignore[index]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BINANCE_API_SECRET", "binance-secret"),
        ("COINBASE_PASSPHRASE", "coinbase-pass"),
        ("DB_PASSWORD", "db-pass"),
        ("POLYGON_API_KEY", "polygon-key"),
        ("OKX_API_KEY", "okx-key"),
        ("SLACK_WEBHOOK", "https://hooks/${ALPHAPULSE_POLYGON_API_KEY}"),
    ],
)
def test_a_variable_leads_to_its_secret(variable: str, value: str) -> None:
    """A field of an exchange, of the database, or a text; what a secret holds is not resolved again."""
    assert secret_of_variable(f"ALPHAPULSE_{variable}") == value
    assert resolved(f"${{ALPHAPULSE_{variable}}}") == value


def test_what_is_nowhere_is_an_error() -> None:
    """Never an empty text; the message names the variable."""
    with pytest.raises(SecretNotFoundError, match="ALPHAPULSE_KRAKEN_API_KEY"):
        resolved({"k": "${ALPHAPULSE_KRAKEN_API_KEY}"})


def test_a_document_without_references_asks_nobody() -> None:
    """No provider is opened for it."""
    assert resolved(["$HOME", "${HOME}", "{}"]) == ["$HOME", "${HOME}", "{}"]
    assert _Secrets.opened == 0


def test_an_ini_file_is_resolved_when_it_is_read() -> None:
    """After the interpolation that ConfigParser has anyway."""
    parser = ConfigParser(interpolation=References())
    parser.read_string("[a]\nhost = h\nurl = %(host)s/${ALPHAPULSE_POLYGON_API_KEY}\n")
    assert parser["a"]["url"] == "h/polygon-key"


def test_a_plain_interpolation_resolves_references_and_nothing_else() -> None:
    """For RawConfigParser: a % is a %, when it is read and when it is set."""
    parser = RawConfigParser(interpolation=References(plain=True))
    parser.read_string("[a]\nhost = h\nurl = %(host)s/%/${ALPHAPULSE_POLYGON_API_KEY}\n")
    parser.set("a", "share", "5%")
    assert (parser["a"]["url"], parser["a"]["share"]) == ("%(host)s/%/polygon-key", "5%")


def test_what_a_generator_gives_is_resolved_when_it_comes() -> None:
    """The documents of `yaml.safe_load_all`, one after the other, none before it is asked for."""
    documents = resolved(each for each in ("plain", {"k": "${ALPHAPULSE_POLYGON_API_KEY}"}))
    assert _Secrets.opened == 0
    assert list(documents) == ["plain", {"k": "polygon-key"}]


def test_the_process_opens_its_providers_once() -> None:
    """However many modules read."""
    assert platform_secret("polygon_api_key") == "polygon-key"
    assert platform_secret("binance_credentials", "api_key") == "binance-key"
    assert platform_secret("binance_credentials", "tier") == "3"
    assert platform_secrets() is platform_secrets()
    assert _Secrets.opened == 1


@pytest.mark.parametrize(("name", "field"), [("binance_credentials", "otp"), ("polygon_api_key", "x"), ("nothing", "")])
def test_a_field_that_is_not_there_is_not_found(name: str, field: str) -> None:
    """The error names secret and field."""
    with pytest.raises(SecretNotFoundError, match=name):
        platform_secret(name, field)

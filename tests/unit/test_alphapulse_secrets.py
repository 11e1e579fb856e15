"""AlphaPulse's door: its names, its None and its False, over Tradewarden's rooms."""

from __future__ import annotations

import gc
import inspect
import logging
import os
import threading
import weakref
from pathlib import Path
from unittest.mock import Mock

import pytest

from alpha_pulse.utils.secrets_manager import (
    AWSSecretsManagerProvider,
    EnvironmentSecretProvider,
    HashiCorpVaultProvider,
    LocalEncryptedFileProvider,
    SecretProvider,
    SecretsManager,
    create_secrets_manager,
)
from tests.support.service import wait_until
from tradewarden.errors import (
    ConfigurationError,
    IntegrityError,
    InvalidInputError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
)

FERNET = "pHZBcYkG2o0s3u9tM4yQ1vXl7nRwEaJdLiFbUCg5h8E="
VALUE = "Kq7-tR0ub4dor-9f3LmWz2Yx81PbVcTn"
Content = str | dict[str, object]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working directory and no variables of a platform's."""
    for name in list(os.environ):
        if name.startswith(("ALPHAPULSE_", "TRADEWARDEN_", "VAULT_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Own(SecretProvider):
    """A provider that a platform wrote itself."""

    def __init__(self, held: dict[str, Content] | None = None, failing: Exception | None = None) -> None:
        self.held = dict(held or {})
        self.failing = failing
        self.calls = 0

    def get_secret(self, secret_name: str) -> Content | None:
        """Return it, or None."""
        self.calls += 1
        if self.failing is not None:
            raise self.failing
        return self.held.get(secret_name)

    def set_secret(self, secret_name: str, secret_value: Content) -> bool:
        """Keep it."""
        self.held[secret_name] = secret_value
        return True

    def delete_secret(self, secret_name: str) -> bool:
        """Forget it."""
        return self.held.pop(secret_name, None) is not None

    def list_secrets(self) -> list[str]:
        """Return the names."""
        return list(self.held)


# --- the surface ---


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (EnvironmentSecretProvider, {"prefix": "ALPHAPULSE_"}),
        (AWSSecretsManagerProvider, {"region_name": "us-east-1", "cache_ttl": 300}),
        (HashiCorpVaultProvider, {"vault_url": None, "vault_token": None, "mount_point": "secret"}),
        (LocalEncryptedFileProvider, {"secrets_dir": ".secrets", "encryption_key": None}),
        (SecretsManager, {"primary_provider": None, "fallback_providers": None}),
        (create_secrets_manager, {"environment": None}),
    ],
)
def test_names_and_defaults_are_alphapulses(kind: type, given: dict[str, object]) -> None:
    """What its code passes by position or by name is taken, with the defaults it knows."""
    taken = {
        name: None if parameter.default is inspect.Parameter.empty else parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    }
    assert taken == given


def test_a_provider_has_four_methods_to_write() -> None:
    """`SecretProvider` is abstract in exactly these."""
    assert SecretProvider.__abstractmethods__ == {"get_secret", "set_secret", "delete_secret", "list_secrets"}
    with pytest.raises(TypeError, match="abstract"):
        SecretProvider()  # type: ignore[abstract]


# --- providers ---


def test_the_environment_is_read_and_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables come under their names and as the secrets they make up; writing says False."""
    provider = EnvironmentSecretProvider()
    assert provider.get_secret("nonexistent") is None
    monkeypatch.setenv("ALPHAPULSE_TEST_SECRET", "test_value")
    monkeypatch.setenv("ALPHAPULSE_BINANCE_API_KEY", "k")
    monkeypatch.setenv("ALPHAPULSE_BINANCE_API_SECRET", "s")
    monkeypatch.setenv("CUSTOM_TEST", "value")
    assert provider.get_secret("test_secret") == provider.get_secret("TEST_SECRET") == "test_value"
    assert provider.get_secret("binance_credentials") == {"api_key": "k", "api_secret": "s"}
    assert provider.get_secret("binance_api_key") == "k"
    assert provider.list_secrets() == ["binance_credentials", "test_secret"]
    assert EnvironmentSecretProvider(prefix="CUSTOM_").get_secret("test") == "value"
    assert provider.set_secret("test_secret", "x") is False
    assert provider.delete_secret("test_secret") is False
    assert provider.get_secret("test_secret") == "test_value"


def test_the_environment_reads_the_file_beside_it(alone: Path) -> None:
    """`.env` in the working directory counts below the process's own variables."""
    (alone / ".env").write_text("ALPHAPULSE_FINNHUB_API_KEY=from-the-file\n")
    assert EnvironmentSecretProvider().get_secret("finnhub_api_key") == "from-the-file"


@pytest.mark.parametrize("key", [None, FERNET, FERNET.encode()])
def test_encrypted_files_keep_texts_and_dicts(alone: Path, key: str | bytes | None) -> None:
    """What is set is read back by another provider, listed, and gone once deleted; a key may be made here."""
    provider = LocalEncryptedFileProvider("own", key)
    assert provider.get_secret("a") is None
    assert provider.set_secret("a", "text") is True
    assert provider.set_secret("api_creds", {"api_key": "k", "api_secret": VALUE}) is True
    again = LocalEncryptedFileProvider(secrets_dir="own", encryption_key=key)
    assert again.get_secret("a") == "text"
    assert again.get_secret("api_creds") == {"api_key": "k", "api_secret": VALUE}
    assert again.list_secrets() == ["a", "api_creds"]
    assert again.delete_secret("a") is True
    assert again.delete_secret("a") is False
    assert again.get_secret("a") is None
    assert all(VALUE.encode() not in path.read_bytes() for path in (alone / "own").iterdir())


def test_encrypted_files_take_the_platforms_key(monkeypatch: pytest.MonkeyPatch, alone: Path) -> None:
    """`ALPHAPULSE_ENCRYPTION_KEY` is the key, also from `.env`; another key is an error and no missing secret."""
    (alone / ".env").write_text(f"ALPHAPULSE_ENCRYPTION_KEY={FERNET}\n")
    LocalEncryptedFileProvider().set_secret("a", "b")
    assert LocalEncryptedFileProvider(encryption_key=FERNET).get_secret("a") == "b"
    assert not (alone / ".secrets" / "key").exists()
    other = LocalEncryptedFileProvider(encryption_key="MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    with pytest.raises((IntegrityError, ConfigurationError)):
        other.get_secret("a")
    monkeypatch.setenv("ALPHAPULSE_ENV", "production")
    (alone / ".env").unlink()
    with pytest.raises(ConfigurationError, match="ALPHAPULSE_ENCRYPTION_KEY: unset"):
        LocalEncryptedFileProvider()


def test_files_that_alphapulse_wrote_are_read(alone: Path) -> None:
    """A file of its own, Fernet under the platform's key, is read as it was meant."""
    from cryptography.fernet import Fernet

    (alone / ".secrets").mkdir(mode=0o700)
    for name, text in (("old", b"text"), ("old_credentials", b'{"api_key": "k"}')):
        (alone / ".secrets" / f"{name}.enc").write_bytes(Fernet(FERNET).encrypt(text))
        (alone / ".secrets" / f"{name}.enc").chmod(0o600)
    provider = LocalEncryptedFileProvider(encryption_key=FERNET)
    assert provider.get_secret("old") == "text"
    assert provider.get_secret("old_credentials") == {"api_key": "k"}


def test_a_folder_is_listed_one_level_deep() -> None:
    """With a path only what is directly below comes, with a slash where there is more."""
    provider = LocalEncryptedFileProvider()
    for name in ("tenants/1/exchanges/binance/trading", "tenants/2/exchanges/okx/trading", "other"):
        provider.set_secret(name, "x")
    assert provider.list_secrets("tenants") == ["1/", "2/"]
    assert provider.list_secrets("tenants/1/exchanges/binance") == ["trading"]
    assert provider.list_secrets("nowhere") == []
    manager = SecretsManager(provider)
    assert manager.list_secrets("tenants/2") == ["exchanges/"]
    assert len(manager.list_secrets()) == 3


def test_a_name_that_is_none_is_an_error() -> None:
    """A path out of the directory is refused, not missing."""
    for name in ("../x", "", "a/../b"):
        with pytest.raises(InvalidInputError):
            LocalEncryptedFileProvider().get_secret(name)


# --- the manager ---


def test_the_first_that_has_it_gives_it() -> None:
    """The primary provider wins; None goes on to the next; None of all is None."""
    primary, fallback = Own({"a": "1"}), Own({"a": "2", "b": {"c": "3"}})
    manager = SecretsManager(primary, [fallback])
    assert manager.primary_provider is primary
    assert manager.fallback_providers == [fallback]
    assert manager.get_secret("a") == "1"
    assert manager.get_secret("b") == {"c": "3"}
    assert manager.get_secret("d") is None


def test_a_mock_of_a_provider_will_do() -> None:
    """AlphaPulse's own tests put mocks in a provider's place, and count calls: one, until the cache is cleared."""
    primary = Mock(spec=SecretProvider)
    primary.get_secret.return_value = "cached_value"
    manager = SecretsManager(primary)
    assert manager.get_secret("cached") == manager.get_secret("cached") == "cached_value"
    primary.get_secret.assert_called_once_with("cached")
    manager.clear_cache()
    manager.get_secret("cached")
    assert primary.get_secret.call_count == 2


def test_what_is_written_past_the_manager_is_there_at_once() -> None:
    """A secret that was missing, or was read before, is read anew once it is set through its provider."""
    manager = create_secrets_manager()
    files = manager.fallback_providers[0]
    assert manager.get_secret("users") is None
    files.set_secret("users", {"ann": {}})
    assert manager.get_secret("users") == {"ann": {}}
    files.set_secret("users", {"ann": {}, "ben": {}})
    assert manager.get_secret("users") == {"ann": {}, "ben": {}}
    files.delete_secret("users")
    assert manager.get_secret("users") is None


def test_the_manager_writes_to_its_primary_provider() -> None:
    """Set and delete go there and nowhere else, and say how it went."""
    primary, fallback = Own(), Own({"a": "old"})
    manager = SecretsManager(primary, [fallback])
    assert manager.get_secret("a") == "old"
    assert manager.set_secret("a", {"new": "x"}) is True
    assert manager.get_secret("a") == {"new": "x"}
    assert manager.delete_secret("a") is True
    assert manager.delete_secret("a") is False
    assert manager.get_secret("a") == "old"
    variables = SecretsManager(EnvironmentSecretProvider())
    assert variables.set_secret("a", "b") is False
    assert variables.delete_secret("a") is False


def test_a_providers_failure_is_not_a_missing_secret(caplog: pytest.LogCaptureFixture) -> None:
    """A failing provider lets the next one give a credential, never a key; a refusing one lets nobody."""
    failing, fallback = Own(failing=RuntimeError(VALUE)), Own({"a": "b", "jwt_secret": VALUE})
    manager = SecretsManager(failing, [fallback])
    assert manager.get_secret("a") == "b"
    with pytest.raises(ProviderUnavailableError, match=r"Own failed for 'jwt_secret' \(RuntimeError\)"):
        manager.get_jwt_secret()
    with pytest.raises(ProviderUnavailableError):
        manager.get_secret("missing")
    with pytest.raises(ProviderRefusedError, match="Own does not allow 'a'"):
        SecretsManager(Own(failing=PermissionError(VALUE)), [fallback]).get_secret("a")
    with pytest.raises(IntegrityError, match="neither a text nor a dict"):
        SecretsManager(Own({"a": 7})).get_secret("a")  # type: ignore[dict-item]
    assert VALUE not in caplog.text


def test_credentials_by_purpose() -> None:
    """Database, exchange, data provider and keys come in the shape that AlphaPulse's code takes them in."""
    stored: dict[str, Content] = {
        "database_credentials": {"host": "db", "user": "u", "password": "p"},
        "binance_credentials": {"api_key": "k", "api_secret": "s", "testnet": True},
        "polygon_api_key": "pk",
        "api_key_finnhub": {"api_key": "fk"},
        "jwt_secret": VALUE,
        "encryption_key": FERNET,
    }
    manager = SecretsManager(Own(stored))
    assert manager.get_database_credentials() == stored["database_credentials"]
    assert manager.get_exchange_credentials("binance") == stored["binance_credentials"]
    assert manager.get_exchange_credentials("Binance") == stored["binance_credentials"]
    assert manager.get_api_key("polygon") == "pk"
    assert manager.get_api_key("finnhub") == "fk"
    assert manager.get_api_key("iex_cloud") is None
    assert manager.get_jwt_secret() == VALUE
    assert manager.get_encryption_key() == FERNET.encode()


def test_fields_may_be_secrets_of_their_own() -> None:
    """`db_host`, `binance_api_key` and the like make up what is asked for; what is left out has the known defaults."""
    manager = SecretsManager(Own({"db_user": "u", "db_password": "p", "binance_api_key": "k"}))
    assert manager.get_database_credentials() == {
        "host": "localhost", "port": "5432", "user": "u", "password": "p", "database": "alphapulse",
    }  # fmt: skip
    assert manager.get_exchange_credentials("binance") == {"api_key": "k"}


def test_variables_may_leave_fields_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `ALPHAPULSE_DB_…` does not say has the known defaults."""
    monkeypatch.setenv("ALPHAPULSE_DB_USER", "u")
    monkeypatch.setenv("ALPHAPULSE_DB_PASSWORD", "p")
    monkeypatch.setenv("ALPHAPULSE_DB_PORT", "6000")
    assert create_secrets_manager().get_database_credentials() == {
        "host": "localhost", "port": "6000", "user": "u", "password": "p", "database": "alphapulse",
    }  # fmt: skip


def test_what_is_missing_is_said_in_the_documents_words(caplog: pytest.LogCaptureFixture) -> None:
    """Credentials that somebody counts on are an error with the document's message, in the log too."""
    manager = SecretsManager(Own())
    with pytest.raises(SecretNotFoundError) as caught:
        manager.get_database_credentials()
    assert str(caught.value) == "Secret 'database_credentials' not found"
    assert "Secret 'database_credentials' not found" in caplog.text
    for ask in (lambda: manager.get_exchange_credentials("okx"), manager.get_jwt_secret, manager.get_encryption_key):
        with pytest.raises(SecretNotFoundError):
            ask()
    with pytest.raises(ConfigurationError, match="'database_credentials' is a text"):
        SecretsManager(Own({"database_credentials": VALUE})).get_database_credentials()


def test_a_weak_key_is_given_and_named(caplog: pytest.LogCaptureFixture) -> None:
    """AlphaPulse would put a key of its source code in the place of an error, which is weaker still."""
    manager = SecretsManager(Own({"jwt_secret": "short-and-weak"}))
    assert manager.get_jwt_secret() == "short-and-weak"
    assert "Secret 'jwt_secret': field 'key' is shorter than 32 bytes" in caplog.text
    assert "short-and-weak" not in caplog.text


def test_the_audit_log_says_who_was_asked_for_what() -> None:
    """One entry a read, with the keys that AlphaPulse's pages print."""
    manager = SecretsManager(Own({"a": VALUE}))
    manager.get_secret("a")
    (entry,) = manager.get_audit_log()
    assert entry.items() >= {"action": "get", "secret_name": "a", "success": True, "provider": "Own"}.items()
    assert str(entry["timestamp"]).endswith("Z")
    manager.get_secret("b")
    manager.set_secret("b", "c")
    manager.delete_secret("b")
    manager.list_secrets()
    assert [(each["action"], each["success"]) for each in manager.get_audit_log()] == [
        ("get", True), ("get", False), ("set", True), ("delete", True), ("list", True),
    ]  # fmt: skip
    assert VALUE not in str(manager.get_audit_log())


def test_debug_shows_what_happens_and_no_value(caplog: pytest.LogCaptureFixture) -> None:
    """The documented logger at DEBUG tells of every step, never of a secret."""
    with caplog.at_level(logging.DEBUG, logger="alpha_pulse.utils.secrets_manager"):
        manager = create_secrets_manager()
        manager.fallback_providers[0].set_secret("a", VALUE)
        manager.get_secret("a")
        manager.get_secret("b")
    own = [record.getMessage() for record in caplog.records if record.name == "alpha_pulse.utils.secrets_manager"]
    assert "Secrets come from environment, files (development)" in own
    assert "read of 'a' at LocalEncryptedFileProvider: found (EnvironmentSecretProvider: not found)" in own
    assert any(line.startswith("Secret 'b' not found") for line in own)
    assert VALUE not in caplog.text


def test_an_abandoned_manager_is_let_go() -> None:
    """A provider does not hold the managers that read from it."""
    provider = LocalEncryptedFileProvider()
    manager = weakref.ref(SecretsManager(provider))
    gc.collect()
    assert manager() is None
    provider.set_secret("a", "b")


def test_a_manager_for_each_request_leaves_no_threads() -> None:
    """AlphaPulse makes a manager in each request and never closes it."""
    before = threading.active_count()
    for _ in range(20):
        assert create_secrets_manager().get_secret("a") is None
    gc.collect()
    wait_until(lambda: threading.active_count() <= before, "threads were left behind")


# --- environments ---


@pytest.mark.parametrize(
    ("environment", "environ", "kinds"),
    [
        ("development", {}, (EnvironmentSecretProvider, LocalEncryptedFileProvider)),
        (
            "staging",
            {"VAULT_URL": "https://vault:8200", "VAULT_TOKEN": "t"},
            (HashiCorpVaultProvider, EnvironmentSecretProvider),
        ),
        ("production", {"AWS_REGION": "us-west-2"}, (AWSSecretsManagerProvider, EnvironmentSecretProvider)),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_environments_have_their_providers(
    monkeypatch: pytest.MonkeyPatch, environment: str, environ: dict[str, str], kinds: tuple[type, ...], named: bool
) -> None:
    """By argument or by `ALPHAPULSE_ENV`, each environment has its documented providers; none is asked yet."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    if not named:
        monkeypatch.setenv("ALPHAPULSE_ENV", environment)
    manager = create_secrets_manager(environment if named else None)
    assert tuple(type(each) for each in (manager.primary_provider, *manager.fallback_providers)) == kinds
    manager.close()


def test_a_setting_chooses_other_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """`TRADEWARDEN_SECRET_PROVIDERS` counts here too, Tradewarden itself among them."""
    monkeypatch.setenv("TRADEWARDEN_SECRET_PROVIDERS", "tradewarden,files")
    monkeypatch.setenv("TRADEWARDEN_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("TRADEWARDEN_TOKEN", "t")
    manager = create_secrets_manager()
    assert isinstance(manager.fallback_providers[0], LocalEncryptedFileProvider)
    with pytest.raises(ProviderUnavailableError):
        manager.primary_provider.get_secret("a")


def test_staging_without_vault_does_not_start_on_variables() -> None:
    """What Vault needs is named; the weaker provider does not silently take its place."""
    with pytest.raises(ConfigurationError, match=r"VAULT_URL: unset[\s\S]*VAULT_TOKEN: unset"):
        create_secrets_manager("staging")
    with pytest.raises(ConfigurationError, match="'testing' is not one of"):
        create_secrets_manager("testing")


def test_vaults_token_is_not_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain HTTP to another host is for development only."""
    HashiCorpVaultProvider("http://vault:8200", "t")
    monkeypatch.setenv("ALPHAPULSE_ENV", "staging")
    with pytest.raises(ConfigurationError, match="in the clear"):
        HashiCorpVaultProvider("http://vault:8200", "t")
    HashiCorpVaultProvider(vault_url="https://vault:8200", vault_token="t", mount_point="kv")


def test_the_environment_may_be_named_by_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A mounted `ALPHAPULSE_ENV_FILE` counts like the variable: what is for development only ends."""
    (tmp_path / "env").write_text("production\n")
    monkeypatch.delenv("ALPHAPULSE_ENV", raising=False)
    monkeypatch.setenv("ALPHAPULSE_ENV_FILE", str(tmp_path / "env"))
    with pytest.raises(ConfigurationError, match="in the clear"):
        HashiCorpVaultProvider("http://vault:8200", "t")
    with pytest.raises(ConfigurationError, match="ALPHAPULSE_ENCRYPTION_KEY"):
        LocalEncryptedFileProvider(tmp_path / "secrets")


def test_variables_know_no_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """AlphaPulse's code asks for names in whatever case."""
    monkeypatch.setenv("ALPHAPULSE_SLACK_WEBHOOK", "https://x")
    assert EnvironmentSecretProvider().get_secret("Slack_Webhook") == "https://x"

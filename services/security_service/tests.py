"""TradPal's three pytest lines run this file inside its folder; each test has an installation of its own."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from service import (  # type: ignore[import-not-found]  # TradPal's lines run here: the folder is on the path
    JWTToken,
    SecurityConfig,
    SecurityService,
    ServiceCredentials,
)

from tradewarden.errors import (
    ConfigurationError,
    FeatureDisabledError,
    InvalidInputError,
    PermissionDeniedError,
    UnavailableError,
)
from tradewarden.settings.table import VARIABLES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STRONG = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def fresh_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Work in an empty directory, under no setting of this machine."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)
        monkeypatch.delenv(f"{variable.name}_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything_written() -> bytes:
    """Return all that stands in files below the working directory."""
    return b"".join(path.read_bytes() for path in Path().rglob("*") if path.is_file())


def published(name: str) -> tuple[int, str]:
    """Return the mode and the text of a service's credentials file."""
    file = Path("cache/security/credentials", f"{name}.json")
    return stat.S_IMODE(file.stat().st_mode), file.read_text()


@pytest.fixture
async def service() -> AsyncIterator[SecurityService]:
    """A service that is started, and stopped afterwards."""
    running = SecurityService(SecurityConfig())
    await running.start()
    yield running
    await running.stop()


class TestSecurityConfig:
    """What TradPal sets, and where the rest comes from."""

    def test_defaults_are_those_of_the_table(self) -> None:
        """A bare SecurityConfig() has the documented defaults."""
        config = SecurityConfig()
        assert (config.enable_mtls, config.enable_jwt, config.enable_vault) == (True, True, False)
        assert (config.jwt_algorithm, config.jwt_expiration_hours, config.cert_validity_days) == ("HS256", 24, 365)
        assert (config.jwt_secret_key, config.vault_url, config.vault_token) == (None, None, None)
        assert config.ca_cert_path == "cache/security/ca/ca_cert.pem"
        assert config.ca_key_path == "cache/security/ca/ca_key.pem"

    def test_what_is_not_given_comes_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Environment and .env fill in what is not given; what is given wins over both."""
        monkeypatch.setenv("JWT_EXPIRATION_HOURS", "2")
        monkeypatch.setenv("CERT_VALIDITY_DAYS", "10")
        Path(".env").write_text("ENABLE_MTLS=false\nJWT_ALGORITHM=ES256\n")
        config = SecurityConfig(cert_validity_days=20, enable_mtls=True)
        assert (config.jwt_expiration_hours, config.cert_validity_days) == (2, 20)
        assert (config.enable_mtls, config.jwt_algorithm) == (True, "ES256")

    def test_a_given_value_wins_over_a_mounted_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """NAME_FILE of the environment does not clash with the field."""
        Path("mounted").write_text(STRONG[::-1])
        monkeypatch.setenv("JWT_SECRET_KEY_FILE", "mounted")
        assert SecurityConfig().jwt_secret_key == STRONG[::-1]
        assert SecurityConfig(jwt_secret_key=STRONG).jwt_secret_key == STRONG

    def test_every_mistake_is_named_and_no_secret_shown(self) -> None:
        """One error lists all that is wrong, without the values of secrets."""
        with pytest.raises(ConfigurationError) as caught:
            SecurityConfig(jwt_secret_key="too-short", jwt_expiration_hours=0, jwt_algorithm="none")
        text = str(caught.value)
        assert all(name in text for name in ("JWT_SECRET_KEY", "JWT_EXPIRATION_HOURS", "JWT_ALGORITHM"))
        assert "too-short" not in text

    def test_printing_shows_no_secret(self) -> None:
        """The representation leaves secrets out."""
        assert STRONG not in repr(SecurityConfig(jwt_secret_key=STRONG, vault_token=STRONG))


class TestSecurityService:
    """Each call by itself."""

    def test_a_new_service_is_stopped_and_empty(self) -> None:
        """Nothing is opened before start()."""
        service = SecurityService()
        assert not service.is_running
        assert service.service_credentials == {}
        assert service.active_tokens == {}
        assert not Path("cache").exists()

    async def test_start_and_stop_can_be_repeated(self) -> None:
        """Starting twice and stopping twice does no harm, and a stopped service starts again."""
        service = SecurityService()
        for _ in range(2):
            await service.start()
            await service.start()
            assert service.is_running
            await service.stop()
            await service.stop()
            assert not service.is_running

    async def test_calls_before_start_are_refused(self) -> None:
        """A call on a stopped service says what to do."""
        with pytest.raises(UnavailableError, match="start"):
            await SecurityService().store_secret("a/b", {})

    async def test_credentials(self, service: SecurityService) -> None:
        """A certificate comes with its key and chain, is kept by name, and its key is in no file."""
        made = await service.issue_service_credentials("my_service")
        assert isinstance(made, ServiceCredentials)
        assert made.certificate.startswith("-----BEGIN CERTIFICATE-----")
        assert made.private_key.startswith("-----BEGIN PRIVATE KEY-----")
        assert made.certificate_chain.startswith(made.certificate.strip())
        assert made.ca_certificate.strip().encode() in everything_written()
        assert made.spiffe_id.endswith("/my_service")
        assert (made.expires_at - made.issued_at).days in (364, 365)
        assert service.service_credentials == {"my_service": made}
        assert made.private_key not in repr(made)
        assert made.private_key.encode() not in everything_written()

    async def test_the_credentials_file_has_no_private_key(self, service: SecurityService) -> None:
        """After stop() the JSON file of the service stands, readable by its owner alone, without the key."""
        made = await service.issue_service_credentials("my_service")
        await service.stop()
        mode, text = published("my_service")
        assert mode == 0o600
        assert made.serial_number in text
        assert "PRIVATE KEY" not in text

    async def test_tokens(self, service: SecurityService) -> None:
        """A token grants what was asked for, is found valid, and stands among the active ones."""
        token = await service.generate_jwt_token(service_name="my_service", permissions=["read", "write"])
        assert isinstance(token, JWTToken)
        assert token.permissions == ["read", "write"]
        assert (token.expires_at - token.issued_at).total_seconds() == 24 * 3600
        assert await service.validate_jwt_token(token.token) == token
        assert list(service.active_tokens.values()) == [token]
        assert token.token not in repr(token) + repr(service.active_tokens)

    async def test_bad_tokens_are_none(self, service: SecurityService) -> None:
        """What is not a token, or was changed, or is for another installation, is not valid."""
        token = (await service.generate_jwt_token("my_service")).token
        for bad in ("", "invalid.token.here", token[:-4] + "AAAA", token + "x", "x" * 100_000):
            assert await service.validate_jwt_token(bad) is None

    async def test_nothing_beyond_the_maximum_is_granted(self, service: SecurityService) -> None:
        """A service that nobody registered gets no more than read and write."""
        token = await service.generate_jwt_token("my_service", ["admin"])
        assert set(token.permissions) == {"read", "write"}
        with pytest.raises(PermissionDeniedError):
            await service.generate_jwt_token("my_service", ["credentials:issue"])

    async def test_secrets(self, service: SecurityService) -> None:
        """A secret is read as it was stored, a missing one is None, a bad path an error."""
        value = {"api_key": "k", "limits": {"per_second": 10}, "on": True}
        assert await service.store_secret("api_keys/binance", value) is True
        assert await service.retrieve_secret("api_keys/binance") == value
        assert await service.retrieve_secret("api_keys/nowhere") is None
        with pytest.raises(InvalidInputError):
            await service.store_secret("../outside", value)

    async def test_secrets_are_encrypted_on_disk(self, service: SecurityService) -> None:
        """Neither a stored value nor a token can be found in any file."""
        await service.store_secret("api_keys/binance", {"key": "plain-to-see-4711"})
        token = await service.generate_jwt_token("my_service")
        assert b"plain-to-see-4711" not in everything_written()
        assert token.token.encode() not in everything_written()

    async def test_health(self, service: SecurityService) -> None:
        """Health has TradPal's keys, and says stopped once it is."""
        health = await service.health_check()
        assert health["service"] == "security_service"
        assert health["status"] == "healthy"
        assert health["components"] == {"mtls": True, "jwt": True, "vault": False, "storage": True, "audit": True}
        await service.stop()
        stopped = await service.health_check()
        assert stopped["status"] == "stopped"
        assert stopped.keys() == health.keys()

    async def test_what_is_turned_off_raises(self) -> None:
        """With ENABLE_MTLS or ENABLE_JWT false the call says so, and the rest works."""
        service = SecurityService(SecurityConfig(enable_mtls=False, enable_jwt=False))
        await service.start()
        with pytest.raises(FeatureDisabledError, match="ENABLE_MTLS"):
            await service.issue_service_credentials("my_service")
        with pytest.raises(FeatureDisabledError, match="ENABLE_JWT"):
            await service.generate_jwt_token("my_service")
        with pytest.raises(FeatureDisabledError, match="ENABLE_JWT"):
            await service.validate_jwt_token("a.b.c")
        assert await service.store_secret("a/b", {"works": True})
        await service.stop()

    async def test_vault_without_address_falls_back_to_the_local_store(self) -> None:
        """In development ENABLE_VAULT alone keeps secrets here; with an address they go there or nowhere."""
        service = SecurityService(SecurityConfig(enable_vault=True))
        await service.start()
        assert await service.store_secret("a/b", {"works": True})
        await service.stop()
        configured = SecurityConfig(enable_vault=True, vault_url="http://127.0.0.1:1", vault_token=STRONG)
        service = SecurityService(configured)
        await service.start()
        with pytest.raises(UnavailableError, match="Vault is not available"):
            await service.store_secret("a/b", {"works": True})
        await service.stop()


class TestSecurityServiceIntegration:
    """Several calls, several services, several starts."""

    async def test_lifecycle(self) -> None:
        """What one run stored and issued, the next run reads and accepts."""
        first = SecurityService(SecurityConfig())
        await first.start()
        token = await first.generate_jwt_token("integration_test")
        await first.store_secret("my/secret", {"key": "value"})
        await first.stop()
        second = SecurityService(SecurityConfig())
        await second.start()
        assert await second.validate_jwt_token(token.token) == token
        assert await second.retrieve_secret("my/secret") == {"key": "value"}
        assert second.active_tokens == {}
        await second.stop()

    async def test_two_services_share_one_directory(self, service: SecurityService) -> None:
        """A second service on the same directory sees what the first wrote, at once."""
        other = SecurityService(SecurityConfig())
        await other.start()
        await service.store_secret("my/secret", {"key": "value"})
        assert await other.retrieve_secret("my/secret") == {"key": "value"}
        token = await other.generate_jwt_token("my_service")
        assert await service.validate_jwt_token(token.token) == token
        await other.stop()

    async def test_everything_is_audited(self, service: SecurityService) -> None:
        """Every call is in the log afterwards, the refused token among them, and no secret is."""
        await service.store_secret("my/secret", {"key": "plain-to-see-4711"})
        await service.validate_jwt_token("a.b.c")
        await service.issue_service_credentials("my_service")
        await service.stop()
        await service.start()
        seen = await service.warden.local.audit.search()
        found = {(entry["event_type"], entry["action"], entry["result"]) for entry in seen}
        assert ("secret_access", "write", "success") in found
        assert ("token", "validate", "denied") in found
        assert ("certificate", "issue", "success") in found
        mine = [entry for entry in seen if entry["event_type"] in ("secret_access", "token", "certificate")]
        assert {entry["user"] for entry in mine} == {f"local:{os.getuid()}"}
        assert "plain-to-see-4711" not in repr(seen)

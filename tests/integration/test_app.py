"""The composition root: what may be started on, what is refused, and the rooms for this very process."""

from __future__ import annotations

import shutil
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from tradewarden import Warden, load_settings
from tradewarden.app import initialise, new_admin_token
from tradewarden.audit.query import Filter
from tradewarden.errors import (
    ConfigurationError,
    ConflictError,
    FeatureDisabledError,
    NotFoundError,
    PermissionDeniedError,
    ProviderUnavailableError,
    SecretNotFoundError,
    TokenError,
)
from tradewarden.policies import warnings

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.settings import Settings

KEY = b64encode(bytes(range(32))).decode()
OTHER_KEY = b64encode(bytes(range(32, 64))).decode()


def settings_of(directory: Path, **more: str) -> Settings:
    """Return the settings of an installation in `directory`."""
    return load_settings({"TRADEWARDEN_DATA_DIR": str(directory / "data"), **more})


def production(directory: Path, **more: str) -> Settings:
    """Return settings that production accepts."""
    return settings_of(directory, ALPHAPULSE_ENV="production", TRADEWARDEN_ROOT_KEY="env:TEST_ROOT_KEY", **more)


async def audited(warden: Warden, result: str = "", resource: str = "") -> list[dict[str, object]]:
    """Return the log's entries that fit, once everything so far is numbered."""
    await warden.clerk.run_once(last=True)
    return await warden.local.audit.search(Filter(result=result, resource=resource))


async def test_a_first_start_is_explicit_outside_development(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Production refuses an empty directory and writes nothing; `init` makes it, once; then it starts."""
    monkeypatch.setenv("TEST_ROOT_KEY", KEY)
    settings = production(tmp_path)
    with pytest.raises(ConfigurationError, match="tradewarden init"):
        await Warden.start(settings)
    assert not (tmp_path / "data").exists()
    token = await initialise(settings)
    assert token.read_text().startswith("twa_")
    with pytest.raises(ConfigurationError, match="initialised already"):
        await initialise(settings)
    await (await Warden.start(settings)).close()


@pytest.mark.parametrize("lost", ["secrets", "ca"])
async def test_remains_are_never_taken_for_a_first_start(tmp_path: Path, lost: str) -> None:
    """A root key, CA and journals without their database, or a database without its CA, stop the start (decision 6)."""
    settings = settings_of(tmp_path)
    await (await Warden.start(settings)).close()
    shutil.rmtree(settings.data_dir / lost)
    before = sorted(str(path) for path in settings.data_dir.rglob("*") if path.suffix in {".pem", ".key", ".token"})
    with pytest.raises(ConfigurationError) as raised:
        await Warden.start(settings)
    assert str(settings.data_dir) in str(raised.value)
    after = sorted(str(path) for path in settings.data_dir.rglob("*") if path.suffix in {".pem", ".key", ".token"})
    assert after == before


async def test_a_wrong_root_key_is_recognised_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, nothing is written, and with the right one everything is there again."""
    monkeypatch.setenv("TEST_ROOT_KEY", KEY)
    settings = production(tmp_path)
    await initialise(settings)
    monkeypatch.setenv("TEST_ROOT_KEY", OTHER_KEY)
    with pytest.raises(ConfigurationError, match="is not the root key"):
        await Warden.start(settings)
    monkeypatch.setenv("TEST_ROOT_KEY", KEY)
    await (await Warden.start(settings)).close()


async def test_the_root_key_is_not_rotated_to_where_the_next_start_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside development a rotation to a file is refused, as a start with one is."""
    monkeypatch.setenv("TEST_ROOT_KEY", KEY)
    settings = production(tmp_path)
    await initialise(settings)
    warden = await Warden.start(settings)
    with pytest.raises(ConfigurationError, match="refused outside development"):
        warden.root_source(f"file:{tmp_path}/root.key")
    assert warden.root_source("env:TEST_ROOT_KEY").uri == "env:TEST_ROOT_KEY"
    await warden.close()


async def test_another_admin_token_voids_the_one_before(tmp_path: Path) -> None:
    """It needs an installation, is written to the same file, and is recorded."""
    settings = settings_of(tmp_path)
    with pytest.raises(ConfigurationError, match="holds no Tradewarden data"):
        await new_admin_token(settings)
    await (await Warden.start(settings)).close()
    first = (settings.data_dir / "admin.token").read_text()
    assert (await new_admin_token(settings)).read_text() != first
    async with Warden.open(settings) as warden:
        created = await audited(warden, resource="admin_token")
        assert [each["event_type"] for each in created] == ["authentication", "authentication"]


async def test_the_rooms_work_in_process(tmp_path: Path) -> None:
    """Secrets, services, tokens and certificates, each with the errors of its room and an audit entry."""
    async with Warden.open(settings_of(tmp_path)) as warden:
        rooms = warden.local
        await rooms.secrets.put("bots/a", {"key": "one"})
        await rooms.secrets.put("bots/a", {"key": "two"}, cas=1)
        with pytest.raises(ConflictError):
            await rooms.secrets.put("bots/a", {"key": "three"}, cas=1)
        await rooms.secrets.rollback("bots/a", 1)
        assert (await rooms.secrets.get("bots/a")).value() == {"key": "one"}
        assert (await rooms.secrets.get("bots/a", 2)).value() == {"key": "two"}
        assert await rooms.secrets.list("bots/") == ["bots/a"]
        await rooms.secrets.delete("bots/a")
        with pytest.raises(SecretNotFoundError, match="Secret 'bots/a' not found"):
            await rooms.secrets.get("bots/a")
        await rooms.secrets.undelete("bots/a", [3])
        await rooms.secrets.destroy("bots/a", [1])
        assert [each.destroyed for each in (await rooms.secrets.metadata("bots/a")).versions] == [True, False, False]

        await rooms.services.register("bot", ["secrets:read:bots/*"])
        assert [each.service_name for each in await rooms.services.list()] == ["bot"]
        token = await rooms.tokens.issue("bot", ["read"])
        assert token.permissions == ("secrets:read:bots/*",)
        assert (await rooms.tokens.validate(token.token)).service_name == "bot"
        with pytest.raises(PermissionDeniedError):
            await rooms.tokens.issue("bot", ["credentials:issue"])
        assert [each.revoked for each in await rooms.tokens.list("bot")] == [False]
        assert await rooms.tokens.revoke(token=token.token)
        with pytest.raises(TokenError):
            await rooms.tokens.validate(token.token)
        await rooms.services.remove("bot")
        with pytest.raises(NotFoundError):
            await rooms.services.remove("bot")

        made = await rooms.credentials.issue("bot", dns_names=["bot.internal"])
        assert made.certificate_chain.startswith(made.certificate)
        assert rooms.credentials.ca_certificate() == made.ca_certificate
        assert (await rooms.credentials.revoke(made.serial_number)).state == "revoked"

        denied = await audited(warden, result="denied")
        assert {each["user"] for each in denied} == {str(denied[0]["user"])}
        assert str(denied[0]["user"]).startswith("local:")
        assert {(each["event_type"], each["action"]) for each in denied} == {("token", "issue"), ("token", "validate")}
        everything = await audited(warden)
        assert not [each for each in everything if each["action"] == "audit.integrity"]
        assert "one" not in str([each for each in everything if each["event_type"] == "secret_access"])


@pytest.mark.parametrize(
    ("variable", "value", "call"),
    [
        ("ENABLE_JWT", "false", "tokens"),
        ("ENABLE_MTLS", "false", "credentials"),
    ],
)
async def test_what_is_turned_off_raises(tmp_path: Path, variable: str, value: str, call: str) -> None:
    """The call says which variable did it; the other rooms go on."""
    async with Warden.open(settings_of(tmp_path, **{variable: value})) as warden:
        rooms = warden.local
        calls = {"tokens": rooms.tokens.issue("a", ["read"]), "credentials": rooms.credentials.issue("a")}
        refused = calls.pop(call)
        for other in calls.values():
            other.close()
        with pytest.raises(FeatureDisabledError, match=variable):
            await refused


async def test_secrets_never_go_elsewhere_when_vault_is_away(tmp_path: Path) -> None:
    """Nobody is at the address: reading, writing and readiness say so, and the local store stays empty."""
    vault = {"ENABLE_VAULT": "true", "VAULT_URL": "http://127.0.0.1:1", "VAULT_TOKEN": "t" * 40}
    async with Warden.open(settings_of(tmp_path, **vault)) as warden:
        for call in (warden.local.secrets.put("a", {}), warden.local.secrets.get("a"), warden.local.secrets.list()):
            with pytest.raises(ProviderUnavailableError, match="nobody takes connections"):
                await call
        assert "vault: Vault is not available: nobody" in " ".join((await warden.readiness()).reasons)
        assert {each["action"] for each in await audited(warden, resource="a")} == {"write.intent", "write", "read"}
    async with Warden.open(settings_of(tmp_path)) as warden:
        assert await warden.local.secrets.list() == []


async def test_vault_without_an_address_uses_the_local_store_in_development(tmp_path: Path) -> None:
    """It says so at the start; outside development it is not ready, and says what is missing."""
    async with Warden.open(settings_of(tmp_path, ENABLE_VAULT="true")) as warden:
        assert "VAULT_URL and VAULT_TOKEN" in warnings(warden.settings)[0]
        await warden.local.secrets.put("a", {})
        assert not (await warden.readiness()).reasons


async def test_vault_without_an_address_is_not_ready_in_production(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secrets are refused and readiness names the variables."""
    monkeypatch.setenv("TEST_ROOT_KEY", KEY)
    settings = production(tmp_path, ENABLE_VAULT="true", VAULT_URL="https://vault.example")
    await initialise(settings)
    async with Warden.open(settings) as warden:
        assert "VAULT_TOKEN" in " ".join((await warden.readiness()).reasons)
        with pytest.raises(FeatureDisabledError, match="set VAULT_TOKEN"):
            await warden.local.secrets.put("a", {})

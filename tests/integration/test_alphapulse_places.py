"""AlphaPulse's providers against what they stand for: moto's server for AWS, a real Vault.

Moto differs from AWS: it asks nobody for a password, and never throttles.
"""

from __future__ import annotations

import pytest

from alpha_pulse.utils.secrets_manager import AWSSecretsManagerProvider, HashiCorpVaultProvider, create_secrets_manager
from tests.support.providers import aws_url, fresh
from tests.support.service import free_port
from tests.support.vault import Place, vault
from tradewarden.errors import ProviderRefusedError, ProviderUnavailableError

__all__ = ["aws_url", "vault"]


@pytest.fixture
def aws(aws_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Moto's server, where boto3 looks for AWS by itself."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws_url)
    return aws_url


def test_aws_keeps_texts_and_dicts(aws: str) -> None:
    """What is set is read, also by another provider, listed, and gone once deleted; a missing secret is None."""
    provider, name = AWSSecretsManagerProvider(), fresh()
    assert provider.get_secret(name) is None
    assert provider.set_secret(name, {"key": "value", "nested": {"data": 123}}) is True
    assert AWSSecretsManagerProvider("us-east-1").get_secret(name) == {"key": "value", "nested": {"data": 123}}
    assert provider.set_secret(name, "text") is True
    assert provider.get_secret(name) == "text"
    assert name in provider.list_secrets()
    assert provider.delete_secret(name) is True
    assert provider.get_secret(name) is None
    assert provider.delete_secret(name) is False


def test_aws_is_asked_once_until_the_cache_is_cleared(aws: str) -> None:
    """A value is kept for `cache_ttl`, 0 keeps nothing, and the manager's `clear_cache` reaches what is kept here."""
    name, writer = fresh(), AWSSecretsManagerProvider(cache_ttl=0)
    writer.set_secret(name, "one")
    kept, unkept = AWSSecretsManagerProvider(cache_ttl=300), AWSSecretsManagerProvider(cache_ttl=0)
    manager = create_secrets_manager("production")
    assert [each.get_secret(name) for each in (kept, unkept, manager)] == ["one"] * 3
    writer.set_secret(name, "two")
    assert [each.get_secret(name) for each in (kept, unkept, manager)] == ["one", "two", "one"]
    kept.clear_cache()
    manager.clear_cache()
    assert [each.get_secret(name) for each in (kept, manager)] == ["two", "two"]


def test_an_aws_that_does_not_answer_is_no_missing_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Production goes on with a variable for a credential, and stops for a key."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALPHAPULSE_POLYGON_API_KEY", "from-a-variable")
    monkeypatch.setenv("ALPHAPULSE_JWT_SECRET", "from-a-variable-too-and-long-enough")
    manager = create_secrets_manager("production")
    assert manager.get_api_key("polygon") == "from-a-variable"
    with pytest.raises(ProviderUnavailableError):
        manager.get_jwt_secret()


def test_vault_keeps_texts_and_dicts(vault: Place) -> None:
    """As the others; a folder is listed one level deep, and a token that Vault does not know is refused."""
    mount, name = vault.mounted(), fresh()
    provider = HashiCorpVaultProvider(vault.url, vault.root, mount_point=mount)
    assert provider.get_secret(name) is None
    assert provider.set_secret(name, "text") is True
    assert provider.get_secret(name) == "text"
    assert provider.set_secret(f"tenants/1/{name}", {"key": "value"}) is True
    assert provider.get_secret(f"tenants/1/{name}") == {"key": "value"}
    assert provider.list_secrets() == [name, f"tenants/1/{name}"]
    assert provider.list_secrets("tenants") == ["1/"]
    assert vault.ask("GET", f"{mount}/data/alphapulse/tenants/1/{name}")["data"]["data"] == {"key": "value"}
    assert provider.delete_secret(name) is True
    assert provider.get_secret(name) is None
    assert provider.delete_secret(name) is False
    with pytest.raises(ProviderRefusedError):
        HashiCorpVaultProvider(vault.url, "no-such-token", mount).get_secret(name)
    with pytest.raises(ProviderUnavailableError):
        HashiCorpVaultProvider(f"http://127.0.0.1:{free_port()}", "t").get_secret(name)

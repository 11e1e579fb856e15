"""AlphaPulse's names for secrets, over Tradewarden's providers and chain. New code: `tradewarden.PlatformSecrets`.

Always true here: None and False mean *missing* (or, for the environment, *cannot be written*), and nothing else. What
is not allowed raises `ProviderRefusedError`, what does not answer `ProviderUnavailableError`, what is damaged
`IntegrityError`: a platform must not trade on without its keys because a network broke.

`logging.getLogger("alpha_pulse.utils.secrets_manager").setLevel(logging.DEBUG)` shows what is asked and answered, never
a value.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import structs

from alpha_pulse.utils.adapted_provider import Adapted, NotTakenError
from alpha_pulse.utils.secret_providers import (
    DOORS,
    DOTENV,
    REGION,
    AWSSecretsManagerProvider,
    EnvironmentSecretProvider,
    HashiCorpVaultProvider,
    LocalEncryptedFileProvider,
    SecretProvider,
    Translated,
    below,
    log,
)
from tradewarden.clock import rfc3339
from tradewarden.errors import ConfigurationError, SecretNotFoundError
from tradewarden.secrets import naming
from tradewarden.secrets.chain.access import Action
from tradewarden.secrets.chain.access_log import AccessLog
from tradewarden.secrets.chain.chain import Chain
from tradewarden.secrets.chain.policy import ChainPolicy
from tradewarden.secrets.credentials import DataProviderCredentials, EncryptionKey, SigningKey
from tradewarden.secrets.credentials.asking import Asked, made_of
from tradewarden.secrets.credentials.stored_key import however_weak
from tradewarden.secrets.platform import policy_of, recorder_of
from tradewarden.secrets.providers.opening import open_providers
from tradewarden.settings import load_provider_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from alpha_pulse.utils.secret_providers import Content
    from tradewarden.secrets.chain.access import Access

__all__ = [
    "AWSSecretsManagerProvider",
    "EnvironmentSecretProvider",
    "HashiCorpVaultProvider",
    "LocalEncryptedFileProvider",
    "SecretProvider",
    "SecretsManager",
    "create_secrets_manager",
]

_DATABASE_DEFAULTS: Final[dict[str, object]] = {
    "host": "localhost",
    "port": "5432",
    "user": "",
    "password": "",
    "database": "alphapulse",
}
_ACTIONS: Final = {Action.READ: "get", Action.WRITE: "set", Action.DELETE: "delete", Action.LIST: "list"}


class SecretsManager:
    """Reads from the first provider that has a secret, as Tradewarden's chain does (see `docs/secrets.md`)."""

    def __init__(
        self,
        primary_provider: SecretProvider,
        fallback_providers: Sequence[SecretProvider] | None = None,
        *,
        policy: ChainPolicy | None = None,
        access_log: Path | None = None,
    ) -> None:
        self.primary_provider = primary_provider
        self.fallback_providers = list(fallback_providers or ())
        providers = [primary_provider, *self.fallback_providers]
        # A missing name is asked for each time: what is written past the manager is there at once.
        kept = structs.replace(policy or ChainPolicy(), negative_seconds=0.0)
        self._accesses = AccessLog(logger=log)
        self._chain = Chain([Adapted(each) for each in providers], kept, record=recorder_of(access_log, self._accesses))
        for each in providers:
            if isinstance(each, Translated):
                each.read_by(self.clear_cache)

    def get_secret(self, secret_name: str) -> Content | None:
        """Return a text or a dict; None when no provider has it."""
        try:
            return self._chain.get(secret_name).content
        except SecretNotFoundError as error:
            log.warning("%s (%s)", error.detail, error.reason)
            return None

    def set_secret(self, secret_name: str, secret_value: Content) -> bool:
        """Write a secret to the primary provider; False when that one takes none."""
        try:
            self._chain.put(secret_name, secret_value)
        except NotTakenError:
            return False
        return True

    def delete_secret(self, secret_name: str) -> bool:
        """Delete a secret at the primary provider; False when it has none."""
        try:
            self._chain.delete(secret_name)
        except (SecretNotFoundError, NotTakenError):
            return False
        return True

    def list_secrets(self, path: str = "") -> list[str]:
        """Return every provider's names, or what is directly below `path`; a name with more below ends in `/`."""
        return below(self._chain.names(f"{path.strip('/')}/" if path else ""), path)

    def get_database_credentials(self) -> dict[str, object]:
        """Return host, port, user, password and database; raises `SecretNotFoundError` when there is nothing of it."""
        return self._object(naming.DATABASE, _DATABASE_DEFAULTS)

    def get_exchange_credentials(self, exchange: str) -> dict[str, object]:
        """Return an exchange's `api_key`, `api_secret` and more; raises `SecretNotFoundError` when there is nothing."""
        return self._object(naming.exchange_secret(exchange), {})

    def get_api_key(self, service: str) -> str | None:
        """Return a data provider's key; None when there is none."""
        for name in (naming.api_key_secret(service), f"api_key_{service}"):
            try:
                answer = self._chain.get(name)
            except SecretNotFoundError as error:
                log.warning("%s (%s)", error.detail, error.reason)
            else:
                return made_of(
                    Asked(name, partial(DataProviderCredentials.from_content, name)), answer
                ).api_key.reveal()
        return None

    def get_jwt_secret(self) -> str:
        """Return the secret that signs tokens; raises `SecretNotFoundError`."""
        return self._key(naming.JWT_SECRET, SigningKey)

    def get_encryption_key(self) -> bytes:
        """Return the key that encrypts, as it is stored; raises `SecretNotFoundError`."""
        return self._key(naming.ENCRYPTION_KEY, EncryptionKey).encode()

    def get_audit_log(self) -> list[dict[str, object]]:
        """Return the last accesses, oldest first: timestamp, action, secret_name, success, provider, result, count."""
        return [_entry(access) for access in self._accesses.last()]

    def clear_cache(self, secret_name: str | None = None) -> None:
        """Ask the providers anew for the next secret; a name narrows it to that one."""
        self._chain.forget(secret_name)
        for each in (self.primary_provider, *self.fallback_providers):
            if secret_name is None and isinstance(each, Translated):
                each.clear_cache()

    def close(self) -> None:
        """Let go of connections and threads."""
        self._chain.close()

    def _object(self, name: str, defaults: dict[str, object]) -> dict[str, object]:
        """Return a secret of several fields: one object, or each field as a secret of its own (`db_host`, …).

        `defaults` stand for what variables and secrets of their own leave out.
        """
        try:
            answer = self._chain.get(name)
        except SecretNotFoundError as error:
            fields = {field: each.lower() for field, each in naming.field_variables(name, prefix="").items()}
            found = self._chain.get_many(fields.values())
            if not found:
                log.error("%s (%s)", error.detail, error.reason)
                raise
            return defaults | {field: found[each].content for field, each in fields.items() if each in found}
        content = answer.content
        if isinstance(content, str):
            raise ConfigurationError(f"Secret '{name}' is a text, and an object with named fields is needed")
        return defaults | content if answer.provider == EnvironmentSecretProvider.__name__ else content

    def _key(self, name: str, kind: type[SigningKey | EncryptionKey]) -> str:
        content = self._chain.get(name).content
        try:
            return kind.from_content(name, content).reveal()
        except ConfigurationError as error:
            log.warning(
                "%s", error.detail
            )  # AlphaPulse would put a key of its own source code in the place of a weak one
            return however_weak(name, content).reveal()


def create_secrets_manager(environment: str | None = None) -> SecretsManager:
    """Return the manager for `development`, `staging` or `production` (by default `ALPHAPULSE_ENV`).

    What else the environment says about providers counts too (`docs/configuration.md`). Raises `ConfigurationError`
    that lists every mistake.
    """
    settings = load_provider_settings(os.environ, DOTENV, environment)
    settings = replace(settings, aws_region=settings.aws_region or REGION)
    log.info("Secrets come from %s (%s)", ", ".join(settings.providers), settings.environment)
    opened = open_providers(settings, os.environ, DOTENV)
    providers = [DOORS[each.name].around(each, settings.cache_seconds) for each in opened]
    return SecretsManager(providers[0], providers[1:], policy=policy_of(settings), access_log=settings.access_log)


def _entry(access: Access) -> dict[str, object]:
    success = access.result == "success"
    return {
        "timestamp": rfc3339(access.at),
        "action": _ACTIONS[access.action],
        "secret_name": access.name,
        "success": success,
        "provider": access.provider if success else "none",
        "result": access.outcome.value,
        "count": access.count,
    }

"""AlphaPulse's providers of secrets, each over one of Tradewarden's."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeAlias
from weakref import WeakMethod

from tradewarden.errors import SecretNotFoundError
from tradewarden.secrets import naming
from tradewarden.secrets.chain.access_log import AccessLog
from tradewarden.secrets.chain.chain import Chain
from tradewarden.secrets.chain.policy import ChainPolicy
from tradewarden.secrets.providers.environment import EnvironmentProvider
from tradewarden.secrets.providers.opening import open_providers
from tradewarden.settings import Secret, load_provider_settings
from tradewarden.settings.library import named_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.secrets.chain.answer import Answer
    from tradewarden.secrets.providers.provider import Held, Provider

Content: TypeAlias = str | dict[str, object]
Forget: TypeAlias = Callable[[str], None]
DOTENV: Final = Path(".env")
REGION: Final = "us-east-1"
log = logging.getLogger("alpha_pulse.utils.secrets_manager")


class SecretProvider(ABC):
    """One place that holds secrets; a platform may write its own."""

    @abstractmethod
    def get_secret(self, secret_name: str) -> Content | None:
        """Return a text or a dict; None when there is no such secret."""

    @abstractmethod
    def set_secret(self, secret_name: str, secret_value: Content) -> bool:
        """Write a secret; False when this place takes none."""

    @abstractmethod
    def delete_secret(self, secret_name: str) -> bool:
        """Delete a secret; False when there was none."""

    @abstractmethod
    def list_secrets(self) -> list[str]:
        """Return the names of all secrets."""


class Place(Protocol):
    """What is translated: a provider of Tradewarden's, or a chain."""

    def get(self, name: str) -> Held | Answer:
        """Return the secret; raises `SecretNotFoundError`."""
        ...

    def put(self, name: str, content: Content) -> str:
        """Write a version."""
        ...

    def delete(self, name: str) -> None:
        """Delete it; raises `SecretNotFoundError`."""
        ...

    def names(self, prefix: str = "") -> list[str]:
        """Return the names that start with `prefix`."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class Translated(SecretProvider):
    """A provider of Tradewarden's under AlphaPulse's conventions."""

    _place: Place

    def _keep(self, place: Place) -> None:
        self._place = place
        self._readers: list[WeakMethod[Forget]] = []

    @classmethod
    def around(cls, provider: Provider, seconds: float) -> Self:  # noqa: ARG003 - for those that keep values
        """Return one around a provider of Tradewarden's; `seconds` is how long one that keeps values does so."""
        made = cls.__new__(cls)
        made._keep(provider)  # noqa: SLF001 - of this class
        return made

    def get_secret(self, secret_name: str) -> Content | None:
        """Return a text or a dict; None when there is no such secret."""
        try:
            found = self._place.get(secret_name)
        except SecretNotFoundError as error:
            log.debug("%s: %s", error.detail, error.reason)
            return None
        log.debug("Secret %r found by %s", secret_name, type(self).__name__)
        return found.content

    def set_secret(self, secret_name: str, secret_value: Content) -> bool:
        """Write a secret; the managers that read from here read it anew."""
        try:
            self._place.put(secret_name, secret_value)
        finally:
            self._changed(secret_name)
        return True

    def delete_secret(self, secret_name: str) -> bool:
        """Delete a secret; False when there was none."""
        try:
            self._place.delete(secret_name)
        except SecretNotFoundError:
            return False
        finally:
            self._changed(secret_name)
        return True

    def list_secrets(self, path: str = "") -> list[str]:
        """Return the names of all secrets, or what is directly below `path`; a name with more below ends in `/`."""
        return below(self._place.names(f"{path.strip('/')}/" if path else ""), path)

    def clear_cache(self) -> None:
        """Forget what is kept here; most providers keep nothing."""

    def close(self) -> None:
        """Let go of connections."""
        self._place.close()

    def read_by(self, forget: Forget) -> None:
        """Have a manager's `clear_cache` called with the name of what is changed here, for as long as it exists."""
        self._readers.append(WeakMethod(forget))

    def _changed(self, name: str) -> None:
        for reader in self._readers:
            forget = reader()
            if forget is not None:
                forget(name)


class EnvironmentSecretProvider(Translated):
    """The variables of the process, then those of `.env`: `jwt_secret` is `ALPHAPULSE_JWT_SECRET`."""

    def __init__(self, prefix: str = naming.PREFIX) -> None:
        self._keep(EnvironmentProvider(os.environ, prefix=prefix, dotenv=DOTENV))

    def get_secret(self, secret_name: str) -> Content | None:
        """Return a text or a dict; None when no variable is set. Variables know no case."""
        return super().get_secret(secret_name.lower())

    def set_secret(self, secret_name: str, secret_value: Content) -> bool:  # noqa: ARG002 - the interface
        """Return False: what a process sets for itself is gone with it."""
        log.warning("Secret %r was not written: variables are set where the process is started", secret_name)
        return False

    def delete_secret(self, secret_name: str) -> bool:
        """Return False, as `set_secret`."""
        log.warning("Secret %r was not deleted: variables are set where the process is started", secret_name)
        return False


class AWSSecretsManagerProvider(Translated):
    """AWS Secrets Manager of a region, with boto3's own credentials; a value is kept for `cache_ttl` seconds."""

    _chain: Chain | None = None

    def __init__(self, region_name: str = REGION, cache_ttl: float = 300) -> None:
        from tradewarden.secrets.providers.aws.aws import AwsProvider

        self._keep_for(AwsProvider(region=region_name), cache_ttl)

    @classmethod
    def around(cls, provider: Provider, seconds: float) -> Self:
        """Return one around a provider of Tradewarden's."""
        made = cls.__new__(cls)
        made._keep_for(provider, seconds)  # noqa: SLF001 - of this class
        return made

    def _keep_for(self, provider: Provider, seconds: float) -> None:
        if seconds > 0:
            policy = ChainPolicy(ttl_seconds=float(seconds), refresh_ahead=1.0, stale_seconds=0.0, negative_seconds=0.0)
            self._chain = Chain([provider], policy, record=AccessLog(logger=log))
        self._keep(self._chain or provider)

    def clear_cache(self) -> None:
        """Ask AWS anew for the next secret."""
        if self._chain is not None:
            self._chain.forget()


class HashiCorpVaultProvider(Translated):
    """Vault's KV engine, version 2, at `mount_point`; secrets stand below `alphapulse/`."""

    def __init__(self, vault_url: str, vault_token: str, mount_point: str = "secret") -> None:
        from tradewarden.secrets.providers.vault.config import TokenLogin, VaultConfig
        from tradewarden.secrets.providers.vault.provider import VaultProvider

        config = VaultConfig(
            url=vault_url,
            login=TokenLogin(Secret(vault_token)),
            mount=mount_point,
            plain_http=named_environment(os.environ) == "development",
        )
        self._keep(VaultProvider(config))


class LocalEncryptedFileProvider(Translated):
    """Encrypted files under a Fernet key: the given one, `ALPHAPULSE_ENCRYPTION_KEY`, in development one made here."""

    def __init__(self, secrets_dir: str | Path = ".secrets", encryption_key: str | bytes | None = None) -> None:
        given = encryption_key.decode("ascii", "replace") if isinstance(encryption_key, bytes) else encryption_key
        names = ("ALPHAPULSE_ENCRYPTION_KEY", "ALPHAPULSE_ENCRYPTION_KEY_FILE")
        own = {names[0]: given} if given else {name: os.environ[name] for name in names if name in os.environ}
        chosen = {"TRADEWARDEN_SECRET_PROVIDERS": "files", "TRADEWARDEN_SECRETS_DIR": str(secrets_dir)}
        settings = load_provider_settings({**own, **chosen}, None if given else DOTENV, named_environment(os.environ))
        (provider,) = open_providers(settings, os.environ)
        self._keep(provider)


class OtherSecretProvider(Translated):
    """A provider that AlphaPulse has no name for."""


DOORS: Final[dict[str, type[Translated]]] = {
    "aws": AWSSecretsManagerProvider,
    "environment": EnvironmentSecretProvider,
    "files": LocalEncryptedFileProvider,
    "vault": HashiCorpVaultProvider,
    "tradewarden": OtherSecretProvider,
}


def below(names: Sequence[str], path: str) -> list[str]:
    """Return the names, or what is directly below `path`; a name with more below ends in `/`."""
    if not path:
        return list(names)
    start = f"{path.strip('/')}/"
    rest = (name.removeprefix(start).partition("/") for name in names if name.startswith(start))
    return sorted({head + slash for head, slash, _ in rest})

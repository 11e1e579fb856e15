"""Opens a Vault, with the packages that this needs; they are loaded only here."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from tradewarden.errors import ExtraMissingError

if TYPE_CHECKING:
    from tradewarden.secrets.providers.vault.client import Client
    from tradewarden.secrets.providers.vault.config import VaultConfig
    from tradewarden.secrets.providers.vault.engine import Engine


def require_extra() -> None:
    """Raise `ConfigurationError` without the packages of the extra `vault`."""
    if find_spec("hvac") is None:
        raise ExtraMissingError("Vault needs the package hvac", "vault")


def connect(config: VaultConfig) -> tuple[Client, Engine]:
    """Return a client and its engine; nothing is asked yet. `ConfigurationError` for files that cannot be read."""
    require_extra()
    from tradewarden.secrets.providers.vault.client import Client
    from tradewarden.secrets.providers.vault.engine import Engine

    client = Client(config)
    return client, Engine(client)

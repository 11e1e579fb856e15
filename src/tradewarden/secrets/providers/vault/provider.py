"""Vault as a provider of secrets: `VaultProvider(VaultConfig(url=…, login=…))`.

A secret is one object of the KV engine (`secret/alphapulse/<name>`); a text is kept as its field `value` alone.
Deleting a secret hides its current version, as `vault kv delete` does; `vault kv undelete` brings it back.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import msgspec

from tradewarden.errors import SecretNotFoundError
from tradewarden.secrets.path import path_prefix
from tradewarden.secrets.providers.content import as_object, as_text, from_object, held_text, settled
from tradewarden.secrets.providers.provider import Content, Held
from tradewarden.secrets.providers.vault.connect import connect, require_extra
from tradewarden.secrets.providers.vault.numbers import is_exact
from tradewarden.secrets.providers.vault.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.secrets.providers.vault.client import Client
    from tradewarden.secrets.providers.vault.config import VaultConfig
    from tradewarden.secrets.providers.vault.engine import Engine, Metadata

_VERSION = re.compile(r"[1-9][0-9]{0,14}")
_decode = msgspec.json.Decoder(dict[str, object]).decode
_encode = msgspec.json.Encoder().encode


class VaultProvider:
    """A `Provider` over one KV v2 engine. Nothing is loaded, opened or asked before the first call.

    Raises `ConfigurationError` without the extra `vault`, and for certificates that cannot be read.
    """

    name = "vault"

    def __init__(self, config: VaultConfig) -> None:
        require_extra()
        if config.ca_file is not None or config.client_certificate is not None:
            tls_context(config)
        self._config = config
        self._lock = threading.Lock()
        self._open: tuple[Client, Engine] | None = None

    @property
    def _engine(self) -> Engine:
        opened = self._open
        if opened is None:
            with self._lock:
                self._open = opened = self._open or connect(self._config)
        return opened[1]

    def get(self, name: str, version: str = "") -> Held:
        """Return the current version, or the one named."""
        found = self._engine.read(name, _number(name, version))
        return Held(name, content_of(_decode(found.data), f"Secret '{name}'"), str(found.version.number))

    def get_many(self, names: Sequence[str]) -> dict[str, Held]:
        """Return those of `names` that exist; KV has no call for several, so each is read by itself."""
        found: dict[str, Held] = {}
        for name in dict.fromkeys(names):
            try:
                found[name] = self.get(name)
            except SecretNotFoundError:
                continue
        return found

    def put(self, name: str, content: Content) -> str:
        """Write a new version."""
        return str(self._engine.write(name, _encode(object_of(settled(content)))).number)

    def delete(self, name: str) -> None:
        """Hide the current version."""
        found = self._engine.metadata(name)
        current = found.version(found.current)
        if current is None or not is_shown(found):
            raise SecretNotFoundError(name, reason="vault: its current version is deleted")
        self._engine.delete(name, [current.number])

    def names(self, prefix: str = "") -> list[str]:
        """Return every name that starts with `prefix`, sorted."""
        return list(self._engine.names(path_prefix(prefix)))

    def close(self) -> None:
        """End our token and close the connections."""
        with self._lock:
            opened, self._open = self._open, None
        if opened is not None:
            opened[0].close()


def is_shown(found: Metadata) -> bool:
    """Tell whether the current version can be read."""
    current = found.version(found.current)
    return current is not None and not current.deleted_at and not current.destroyed


def object_of(content: Content) -> dict[str, object]:
    """Return what Vault keeps of a settled content; an object with numbers that it would round is kept as its text."""
    found = as_object(content)
    return found if is_exact(found) else as_object(as_text(found))


def content_of(held: dict[str, object], name: str) -> Content:
    """Return the content that Vault keeps so; raises `IntegrityError`."""
    found = from_object(held)
    return held_text(found, name) if isinstance(found, str) else found


def _number(name: str, version: str) -> int | None:
    if not version:
        return None
    if not _VERSION.fullmatch(version):
        raise SecretNotFoundError(name, reason="vault: versions are positive numbers")
    return int(version)

"""Tradewarden in this process: the rooms that hold the root key, for callers that cannot await.

One portal thread; a call waits 30 seconds at most and is not repeated. Nothing goes over a network.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

from tradewarden.errors import (
    FeatureDisabledError,
    InvalidInputError,
    PermissionDeniedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
    UnavailableError,
)
from tradewarden.secrets.path import path_prefix, secret_path
from tradewarden.secrets.providers.content import as_object, from_object, settled
from tradewarden.secrets.providers.portal import Inside, Portal
from tradewarden.secrets.providers.provider import Held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from tradewarden.secrets.commands import SecretMetadata, SecretRead, SecretWritten
    from tradewarden.secrets.providers.provider import Content


class StoredSecrets(Protocol):
    """Versioned secrets, as `Warden.local.secrets` has them."""

    async def put(self, path: str, data: Mapping[str, object]) -> SecretWritten:
        """Write a new version."""
        ...

    async def get(self, path: str, version: int | None = None) -> SecretRead:
        """Return a version; None: the current one."""
        ...

    async def metadata(self, path: str) -> SecretMetadata:
        """Return all that is known of a secret but its values."""
        ...

    async def list(self, prefix: str = "") -> list[str]:
        """Return every path that starts with `prefix`."""
        ...

    async def delete(self, path: str) -> None:
        """Hide the current version."""
        ...


class LocalProvider:
    """The secrets of an installation that is opened (`opening`) with the first call, and closed with the provider.

    `portal` is the thread that it lives in: one of its own when none is given.
    """

    name: Final = "tradewarden"

    def __init__(
        self, opening: Callable[[], AbstractAsyncContextManager[StoredSecrets]], portal: Portal | None = None
    ) -> None:
        self._opening = opening
        self._portal = portal or Portal()
        self._own = portal is None
        self._lock = threading.Lock()
        self._inside: Inside[StoredSecrets] | None = None

    def __repr__(self) -> str:
        return "LocalProvider()"

    def get(self, name: str, version: str = "") -> Held:
        """Return the current version, or the one numbered `version`."""
        wanted = version_number(secret_path(name), version)
        with _told(name):
            found = self._portal.run(self._stored().get(name, wanted))
        return Held(name, from_object(found.value()), str(found.version))

    def get_many(self, names: Sequence[str]) -> dict[str, Held]:
        """Return those that exist, one after the other."""
        found: dict[str, Held] = {}
        for name in names:
            with suppress(SecretNotFoundError):
                found[name] = self.get(name)
        return found

    def put(self, name: str, content: Content) -> str:
        """Write a new version."""
        data = as_object(settled(content))
        with _told(secret_path(name)):
            return str(self._portal.run(self._stored().put(name, data)).version)

    def delete(self, name: str) -> None:
        """Hide the current version until it is undeleted; raises `SecretNotFoundError` when it is hidden already."""
        with _told(secret_path(name)):
            known = self._portal.run(self._stored().metadata(name))
            if any(each.version == known.current_version and each.deleted_at for each in known.versions):
                raise SecretNotFoundError(name, reason="the current version is deleted")
            self._portal.run(self._stored().delete(name))

    def names(self, prefix: str = "") -> list[str]:
        """Return every path that starts with `prefix`, those whose current version is deleted among them."""
        with _told(path_prefix(prefix)):
            return sorted(self._portal.run(self._stored().list(prefix)))

    def close(self) -> None:
        """Close what was opened here."""
        with self._lock:
            inside, self._inside = self._inside, None
        if inside is not None:
            inside.leave()
        if self._own:
            self._portal.close()

    def _stored(self) -> StoredSecrets:
        with self._lock:
            if self._inside is None:
                self._inside = self._portal.enter(self._opening())
            return self._inside.value


def version_number(name: str, version: str) -> int | None:
    """Return a version of Tradewarden's, None for the current one; raises `SecretNotFoundError` for what is none."""
    if not version:
        return None
    if not version.isascii() or not version.isdigit() or len(version) > 15 or not int(version):  # noqa: PLR2004
        raise SecretNotFoundError(name, reason=f"{version[:40]!r} is no version of Tradewarden's")
    return int(version)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Say in a provider's errors what a room says in its own."""
    try:
        yield
    except (SecretNotFoundError, InvalidInputError, ProviderUnavailableError):
        raise
    except PermissionDeniedError as error:
        raise ProviderRefusedError(f"Tradewarden refuses '{name}': {error.detail}", reason=error.reason) from error
    except (UnavailableError, FeatureDisabledError) as error:
        raise ProviderUnavailableError(f"Tradewarden: {error.detail}", reason=error.reason) from error

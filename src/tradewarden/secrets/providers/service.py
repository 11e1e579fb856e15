"""A service of Tradewarden, over HTTP with a bearer token or over mTLS.

At most 8 connections, 5 seconds to connect, 15 for each step of an answer and 30 for the whole, 5 to wait for a free
connection; above that `ProviderUnavailableError`. A read that breaks off is asked once more on a new connection, a
change never is.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from tradewarden.errors import ProviderRefusedError, ProviderUnavailableError, SecretNotFoundError
from tradewarden.secrets.path import path_prefix, secret_path
from tradewarden.secrets.providers.content import as_object, from_object, settled
from tradewarden.secrets.providers.local import version_number
from tradewarden.secrets.providers.provider import Held
from tradewarden.secrets.providers.service_calls import CONNECTIONS, ServiceCalls

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from tradewarden.secrets.providers.provider import Content

_PAGE: Final = 1000


class _Value(msgspec.Struct, frozen=True):
    path: str
    data: dict[str, object]
    version: int


class _Version(msgspec.Struct, frozen=True):
    version: int
    deleted_at: str | None = None


class _Metadata(msgspec.Struct, frozen=True):
    current_version: int
    versions: tuple[_Version, ...]


class _Stored(msgspec.Struct, frozen=True):
    version: int


class _Names(msgspec.Struct, frozen=True):
    keys: tuple[str, ...]
    next: str | None = None


class ServiceProvider:
    """One service. `token` is a bearer token, or what returns the one to send (asked at each call: it may change).

    `context` is what the server's certificate is checked against and, for mTLS, our own certificate:
    `ServiceIdentity.client_context()`. Without it the system's authorities are trusted.
    """

    name: Final = "tradewarden"

    def __init__(
        self,
        url: str,
        *,
        token: str | Callable[[], str] = "",
        context: ssl.SSLContext | None = None,
        connections: int = CONNECTIONS,
    ) -> None:
        self._calls = ServiceCalls(url, token if callable(token) else lambda: token, context, connections)

    def __repr__(self) -> str:
        return f"ServiceProvider({self._calls.url!r})"

    def get(self, name: str, version: str = "") -> Held:
        """Return the current version, or the one numbered `version`."""
        number = version_number(secret_path(name), version)
        query = "" if number is None else f"?version={number}"
        found = self._calls.ask("GET", f"/secrets/{quote(name)}{query}", name, _Value)
        if found.path != name:
            raise ProviderUnavailableError(f"{self._calls.url} answered with another secret than '{name}'")
        return Held(name, from_object(found.data), str(found.version))

    def get_many(self, names: Sequence[str]) -> dict[str, Held]:
        """Return those that exist: one call each, on one connection."""
        found: dict[str, Held] = {}
        for name in names:
            with suppress(SecretNotFoundError):
                found[name] = self.get(name)
        return found

    def put(self, name: str, content: Content) -> str:
        """Write a new version."""
        body = {"path": secret_path(name), "data": as_object(settled(content))}
        return str(self._calls.ask("POST", "/secrets/store", name, _Stored, msgspec.json.encode(body)).version)

    def delete(self, name: str) -> None:
        """Hide the current version until it is undeleted; raises `SecretNotFoundError` when it is hidden already."""
        path = f"/secrets/{quote(secret_path(name))}"
        with suppress(ProviderRefusedError):  # who may delete and not read deletes unseen
            known = self._calls.ask("GET", f"{path}?metadata=true", name, _Metadata)
            if any(each.version == known.current_version and each.deleted_at for each in known.versions):
                raise SecretNotFoundError(name, reason="the current version is deleted")
        self._calls.ask("DELETE", path, name, dict[str, object])

    def names(self, prefix: str = "") -> list[str]:
        """Return the paths that we may see, those whose current version is deleted among them."""
        found: list[str] = []
        after: str | None = ""
        start = f"/secrets?limit={_PAGE}&prefix={quote(path_prefix(prefix), safe='')}&after="
        while after is not None:
            page = self._calls.ask("GET", start + quote(after, safe=""), prefix, _Names)
            found += page.keys
            after = page.next
        return sorted(found)

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

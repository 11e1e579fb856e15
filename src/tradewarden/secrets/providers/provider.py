"""What a provider of secrets is: one place that holds named secrets, and the three ways in which it gives none.

Always true here: *not found*, *not allowed* and *not reachable* are three errors and never one in place of another
(`SecretNotFoundError`, `ProviderRefusedError`, `ProviderUnavailableError`); a foreign library's exception never leaves
a provider; nothing that is printed holds a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

Content: TypeAlias = str | dict[str, object]
"""A secret's value: a text, or a JSON object."""


class Held(msgspec.Struct, frozen=True):
    """A secret as a provider holds it. `version` is the provider's own name for it, empty where it has none."""

    name: str
    content: Content
    version: str = ""

    def __repr__(self) -> str:
        return f"Held(name={self.name!r}, version={self.version!r})"


class Provider(Protocol):
    """One place that holds secrets. Calls block and may come from any thread.

    A name is a secret path (`tradewarden.secrets.path`). Every call may raise `ProviderUnavailableError` (nobody
    answered, or not in time) and `ProviderRefusedError` (we are not allowed); `InvalidInputError` for a name or a
    content that the place cannot hold.
    """

    @property
    def name(self) -> str:
        """What logs, audit entries and metrics call it: `environment`, `files`, `vault`, `aws`, `tradewarden`."""
        ...

    def get(self, name: str, version: str = "") -> Held:
        """Return the current version, or the one named; raises `SecretNotFoundError`."""
        ...

    def get_many(self, names: Sequence[str]) -> dict[str, Held]:
        """Return those of `names` that exist, in as few calls as the place allows."""
        ...

    def put(self, name: str, content: Content) -> str:
        """Create the secret or write a new version of it, durable on return; returns the version."""
        ...

    def delete(self, name: str) -> None:
        """Delete the secret; raises `SecretNotFoundError` when there is none."""
        ...

    def names(self, prefix: str = "") -> list[str]:
        """Return every name that starts with `prefix`, sorted; never values.

        A place that can bring deleted secrets back may still name them.
        """
        ...

    def close(self) -> None:
        """Let go of connections and threads; the provider is of no use afterwards."""
        ...

"""A provider of AlphaPulse's, ours or a platform's own, as Tradewarden's chain asks it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from alpha_pulse.utils.secret_providers import Translated
from tradewarden.errors import (
    IntegrityError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
    TradewardenError,
)
from tradewarden.secrets.providers.provider import Held

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alpha_pulse.utils.secret_providers import Content, SecretProvider


class NotTakenError(ProviderRefusedError):
    """A provider said that it takes no such change."""


class Adapted:
    """A provider of AlphaPulse's, ours or the platform's own, as the chain asks it."""

    def __init__(self, provider: SecretProvider) -> None:
        self._provider = provider
        self.name = type(provider).__name__

    def get(self, name: str, version: str = "") -> Held:
        """Ask; None is *not found*."""
        with _Border(self.name, name):
            content = self._provider.get_secret(name)
            if content is None or version:
                raise SecretNotFoundError(name)
            if not isinstance(content, str | dict):
                raise IntegrityError(f"{self.name} gave Secret '{name}' as neither a text nor a dict")
        return Held(name, content)

    def get_many(self, names: Sequence[str]) -> dict[str, Held]:
        """Ask for each."""
        found = {}
        for name in names:
            with suppress(SecretNotFoundError):
                found[name] = self.get(name)
        return found

    def put(self, name: str, content: Content) -> str:
        """Write; False is *not taken*."""
        with _Border(self.name, name):
            if not self._provider.set_secret(name, content):
                raise NotTakenError(f"{self.name} does not take Secret '{name}'")
        return ""

    def delete(self, name: str) -> None:
        """Delete; False is *not found*."""
        with _Border(self.name, name):
            if not self._provider.delete_secret(name):
                raise SecretNotFoundError(name)

    def names(self, prefix: str = "") -> list[str]:
        """List."""
        with _Border(self.name, prefix):
            return sorted(name for name in self._provider.list_secrets() if name.startswith(prefix))

    def close(self) -> None:
        """Close what can be closed."""
        if isinstance(self._provider, Translated):
            self._provider.close()


class _Border:
    """Turns what a platform's own provider raises into one of our errors, without its text: that may quote a value."""

    def __init__(self, provider: str, name: str) -> None:
        self._provider = provider
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PermissionError):
            raise ProviderRefusedError(f"{self._provider} does not allow '{self._name}'") from None
        if isinstance(error, Exception) and not isinstance(error, TradewardenError):
            what = f"{self._provider} failed for '{self._name}' ({type(error).__name__})"
            raise ProviderUnavailableError(what) from None

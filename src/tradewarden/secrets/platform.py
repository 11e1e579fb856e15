"""A trading platform's secrets, typed: what a bot or a service imports.

    with PlatformSecrets.from_environment() as secrets:
        exchange = ccxt.binance(secrets.exchange("binance").ccxt())

Always true here: this names secrets and types them, and nothing else; where they come from, what is kept for how long
and what is recorded is the chain's. Every method that reads raises the chain's errors (`SecretNotFoundError`,
`ProviderRefusedError`, `ProviderUnavailableError`, …), and `ConfigurationError` naming secret and field when what is
stored is not usable.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar

import msgspec

from tradewarden.errors import ConfigurationError
from tradewarden.secrets import naming
from tradewarden.secrets.chain.access_log import AccessLog
from tradewarden.secrets.chain.audit_file import AuditFile
from tradewarden.secrets.chain.chain import Chain
from tradewarden.secrets.chain.policy import ChainPolicy
from tradewarden.secrets.chain.recorders import Recorders
from tradewarden.secrets.credentials import asking
from tradewarden.secrets.providers.opening import open_providers
from tradewarden.settings.library import load_provider_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, MutableMapping
    from types import TracebackType
    from typing import Any

    from tradewarden.secrets.chain.answer import Answer
    from tradewarden.secrets.chain.station import ProviderStatus
    from tradewarden.secrets.chain.subscription import Subscription
    from tradewarden.secrets.credentials import (
        ApiToken,
        DatabaseCredentials,
        DataProviderCredentials,
        EncryptionKey,
        ExchangeCredentials,
        SigningKey,
    )
    from tradewarden.secrets.credentials.asking import Asked
    from tradewarden.secrets.providers.provider import Content
    from tradewarden.settings.library import ProviderSettings

T = TypeVar("T")
DOTENV: Final = Path(".env")
_log = logging.getLogger("tradewarden.secrets")


class Health(msgspec.Struct, frozen=True):
    """Whether secrets can be read: `healthy` while no provider failed or refused when it was last asked."""

    healthy: bool
    providers: tuple[ProviderStatus, ...]


class PlatformSecrets:
    """The secrets of a platform, for callers that do not await. Any thread may call; close it, or use `with`."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    @classmethod
    def from_environment(
        cls,
        environ: MutableMapping[str, str] | None = None,
        dotenv: Path | None = DOTENV,
        *,
        environment: str | None = None,
    ) -> Self:
        """Read settings, open the providers they choose; no provider is called yet.

        `environ` is by default the process's own, `dotenv` a file below it (None: no file). `environment` takes the
        place of `ALPHAPULSE_ENV`. Raises `ConfigurationError` that lists every mistake.
        """
        return cls(_chain(os.environ if environ is None else environ, dotenv, environment))

    def database(self, name: str = naming.DATABASE) -> DatabaseCredentials:
        """Return the login to the platform's database, or to that of another secret."""
        return self._read(asking.database(name))

    def exchange(self, exchange: str) -> ExchangeCredentials:
        """Return the key to an account at an exchange: `binance`."""
        return self._read(asking.exchange(exchange))

    def data_provider(self, provider: str) -> DataProviderCredentials:
        """Return the key to a provider of market data: `polygon`."""
        return self._read(asking.data_provider(provider))

    def signing_key(self, name: str = naming.JWT_SECRET) -> SigningKey:
        """Return the key that signs the platform's tokens, or another that signs."""
        return self._read(asking.signing_key(name))

    def encryption_key(self, name: str = naming.ENCRYPTION_KEY) -> EncryptionKey:
        """Return the key that encrypts the platform's data, or another that encrypts."""
        return self._read(asking.encryption_key(name))

    def api_token(self, user: str) -> ApiToken:
        """Return a user's API token."""
        return self._read(asking.api_token(user))

    def get(self, name: str) -> Answer:
        """Return any secret as it is stored: `.content`, where it came from, and whether it is `.stale`."""
        return self._chain.get(name)

    def names(self, prefix: str = "") -> list[str]:
        """Return every name that any provider has, sorted."""
        return self._chain.names(prefix)

    def put(self, name: str, content: Content) -> str:
        """Write a secret to the first provider; returns its version there."""
        return self._chain.put(name, content)

    def delete(self, name: str) -> None:
        """Delete a secret at the first provider."""
        self._chain.delete(name)

    def forget(self, name: str | None = None) -> None:
        """Read a secret, or all, anew the next time."""
        self._chain.forget(name)

    def subscribe(
        self, name: str, callback: Callable[[Answer], None], *, gone: Callable[[], None] | None = None
    ) -> Subscription:
        """Have `callback` called with every changed value as it is stored; see `Chain.subscribe`."""
        return self._chain.subscribe(name, callback, gone=gone)

    def on_change(self, name: str, callback: Callable[[Any], None]) -> Subscription:
        """Have `callback` called with the new credentials whenever they change, so that no restart is needed.

        It gets what the name stands for: `ExchangeCredentials` for `binance_credentials`, `DatabaseCredentials`,
        `DataProviderCredentials`, `SigningKey`, `EncryptionKey`, `ApiToken`, and the content of any other secret. A
        new value that is not usable is logged and not handed on: what is in use stays.
        """
        return self._chain.subscribe(name, _typed(name, callback))

    def health(self) -> Health:
        """Return what is known of the providers, without asking them."""
        return _health(self._chain)

    def close(self) -> None:
        """Close providers and recorders."""
        self._chain.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PlatformSecrets({self._chain!r})"

    def _read(self, asked: Asked[T]) -> T:
        return asking.made_of(asked, self._chain.get(asked.name))


class AsyncPlatformSecrets:
    """As `PlatformSecrets`, with `await`; any event loop may use it."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    @classmethod
    def from_environment(
        cls,
        environ: MutableMapping[str, str] | None = None,
        dotenv: Path | None = DOTENV,
        *,
        environment: str | None = None,
    ) -> Self:
        """Read settings, open the providers they choose; no provider is called yet (see `PlatformSecrets`)."""
        return cls(_chain(os.environ if environ is None else environ, dotenv, environment))

    async def database(self, name: str = naming.DATABASE) -> DatabaseCredentials:
        """Return the login to the platform's database, or to that of another secret."""
        return await self._read(asking.database(name))

    async def exchange(self, exchange: str) -> ExchangeCredentials:
        """Return the key to an account at an exchange: `binance`."""
        return await self._read(asking.exchange(exchange))

    async def data_provider(self, provider: str) -> DataProviderCredentials:
        """Return the key to a provider of market data: `polygon`."""
        return await self._read(asking.data_provider(provider))

    async def signing_key(self, name: str = naming.JWT_SECRET) -> SigningKey:
        """Return the key that signs the platform's tokens, or another that signs."""
        return await self._read(asking.signing_key(name))

    async def encryption_key(self, name: str = naming.ENCRYPTION_KEY) -> EncryptionKey:
        """Return the key that encrypts the platform's data, or another that encrypts."""
        return await self._read(asking.encryption_key(name))

    async def api_token(self, user: str) -> ApiToken:
        """Return a user's API token."""
        return await self._read(asking.api_token(user))

    async def get(self, name: str) -> Answer:
        """Return any secret as it is stored: `.content`, where it came from, and whether it is `.stale`."""
        return await self._chain.aio.get(name)

    async def names(self, prefix: str = "") -> list[str]:
        """Return every name that any provider has, sorted."""
        return await self._chain.aio.names(prefix)

    async def put(self, name: str, content: Content) -> str:
        """Write a secret to the first provider; returns its version there."""
        return await self._chain.aio.put(name, content)

    async def delete(self, name: str) -> None:
        """Delete a secret at the first provider."""
        await self._chain.aio.delete(name)

    def forget(self, name: str | None = None) -> None:
        """Read a secret, or all, anew the next time."""
        self._chain.forget(name)

    def subscribe(self, name: str) -> AsyncIterator[Answer]:
        """Return an iterator over the current value as it is stored and every changed one; see `AsyncChain.watch`."""
        return self._chain.aio.watch(name)

    def on_change(self, name: str, callback: Callable[[Any], None]) -> Subscription:
        """As `PlatformSecrets.on_change`; `callback` (no coroutine) is called in the event loop that runs now."""
        import asyncio  # a tenth of what a start takes, and sync programs need none of it

        loop = asyncio.get_running_loop()

        def hand_over(made: object) -> None:
            with suppress(RuntimeError):  # the loop has ended, and its callbacks with it
                loop.call_soon_threadsafe(callback, made)

        return self._chain.subscribe(name, _typed(name, hand_over))

    def health(self) -> Health:
        """Return what is known of the providers, without asking them."""
        return _health(self._chain)

    async def close(self) -> None:
        """Close providers and recorders, without holding up the loop."""
        await self._chain.aio.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncPlatformSecrets({self._chain!r})"

    async def _read(self, asked: Asked[T]) -> T:
        return asking.made_of(asked, await self._chain.aio.get(asked.name))


def _chain(environ: MutableMapping[str, str], dotenv: Path | None, environment: str | None) -> Chain:
    settings = load_provider_settings(environ, dotenv, environment)
    record = recorder_of(settings.access_log, AccessLog())
    return Chain(open_providers(settings, environ, dotenv), policy_of(settings), record=record)


def policy_of(settings: ProviderSettings) -> ChainPolicy:
    """Return how long things are kept by these settings."""
    return ChainPolicy(ttl_seconds=float(settings.cache_seconds), stale_seconds=float(settings.stale_seconds))


def recorder_of(file: Path | None, log: AccessLog) -> Recorders:
    """Return what records accesses: the audit file first, so that nothing is logged as given that was not."""
    return Recorders(log) if file is None else Recorders(AuditFile(file), log)


def _typed(name: str, callback: Callable[[Any], None]) -> Callable[[Answer], None]:
    asked = asking.by_name(name)

    def changed(answer: Answer) -> None:
        try:
            made = asking.made_of(asked, answer)
        except ConfigurationError as error:
            _log.error("A changed secret is not usable, what is in use stays: %s", error.detail)
            return
        callback(made)

    return changed


def _health(chain: Chain) -> Health:
    providers = tuple(chain.status())
    return Health(all(map(_well, providers)), providers)


def _well(status: ProviderStatus) -> bool:
    return status.breaker.value == "closed" and status.last_outcome in ("", "found", "not_found")

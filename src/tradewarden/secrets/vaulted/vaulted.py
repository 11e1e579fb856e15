"""The secrets room over Vault: the same checks, commands and answers as over our own store.

Always true here: what the grant does not allow never reaches Vault; a change has an entry in the journal before Vault
is asked for it, and the outcome in another one afterwards; a change goes to Vault or fails, never elsewhere. Only
values are read from memory while Vault cannot be reached, marked as stale; what Vault refuses or does not have is
forgotten.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from tradewarden.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
    TradewardenError,
    UnavailableError,
)
from tradewarden.secrets import rules
from tradewarden.secrets.commands import (
    PickVersions,
    PutSecret,
    RollbackSecret,
    SecretMetadata,
    SecretNames,
    SecretRead,
    SecretSettings,
    SecretsPicked,
    SecretWritten,
    SetSecretMetadata,
)
from tradewarden.secrets.listing import MAX_PAGE, visible_parts
from tradewarden.secrets.path import path_prefix, secret_path
from tradewarden.secrets.providers.vault.numbers import is_exact
from tradewarden.secrets.secrets import SecretLimits
from tradewarden.secrets.value import parse_object
from tradewarden.secrets.vaulted.known import Known
from tradewarden.secrets.vaulted.outage import Outage
from tradewarden.secrets.vaulted.picking import check_custom, require_kept, shown
from tradewarden.secrets.vaulted.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock
    from tradewarden.secrets.providers.vault.client import Client
    from tradewarden.secrets.providers.vault.engine import Engine

T = TypeVar("T")
OUTCOMES: Final = ("success", "not_found", "refused", "conflict", "invalid", "unavailable", "stale")
"""What a use of Vault came to, as metrics count it; `stale`: a read that was answered from memory instead."""
_KINDS: Final = (
    (NotFoundError, "not_found"),
    (PermissionDeniedError, "refused"),
    (ConflictError, "conflict"),
    (InvalidInputError, "invalid"),
)


class VaultedSecrets:
    """Versioned secrets in Vault. Belongs to one event loop.

    Beside the errors of the room over our own store: `ProviderUnavailableError` (503) and `ProviderRefusedError` (403:
    Vault's policies do not allow us what the grant allows the caller).
    """

    def __init__(
        self,
        opened: tuple[Client, Engine],
        clock: Clock,
        stale_seconds: float,
        count: Callable[[str], None] = lambda _: None,
        limits: SecretLimits = SecretLimits(),  # noqa: B008  (frozen)
    ) -> None:
        self._client, self._engine = opened
        self._clock = clock
        self._count = count
        self._limits = limits
        self._known = Known(clock, stale_seconds)
        self._outage = Outage(clock)
        self._threads = Threads(self._client.config.connections, "tradewarden-vaulted")

    async def get(self, grant: Grant, path: str, version: int | None = None) -> SecretRead:
        """Return a version's value; the last known one, with `stale_since`, while Vault cannot be reached."""
        grant.require("secrets:read", path)
        secret_path(path)
        if version is not None:
            rules.check_version(version)
        lately, seen = self._outage.now(), self._known.changes
        if lately is not None:
            return self._last_known(path, version, lately)
        try:
            found = await self._ask(lambda: self._engine.read(path, version))
        except UnavailableError as error:
            if isinstance(error, ProviderUnavailableError):
                self._outage.began(error)
            return self._last_known(path, version, error)
        except SecretNotFoundError:
            self._known.forget(path, version)
            raise
        except ProviderRefusedError:
            self._known.forget_path(path)
            raise
        read = SecretRead(path, msgspec.Raw(found.data), found.version.number, found.version.created_at)
        if seen == self._known.changes:
            self._known.keep(path, version, read)
        return read

    def _last_known(self, path: str, version: int | None, error: UnavailableError) -> SecretRead:
        found = self._known.find(path, version)
        if found is None:
            raise error
        self._count("stale")
        return found

    async def metadata(self, grant: Grant, path: str) -> SecretMetadata:
        """Return all that Vault knows of a secret but its values; never from memory."""
        grant.require("secrets:read", path)
        secret_path(path)
        return shown(path, await self._ask(lambda: self._engine.metadata(path)), self._clock.now())

    async def list(self, grant: Grant, prefix: str = "", after: str = "", limit: int = 100) -> SecretNames:
        """Return one page of the paths that start with `prefix` and the grant may see, in order."""
        grant.require("secrets:list", grant.resource)
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"limit must be 1 to {MAX_PAGE}")
        path_prefix(prefix)
        path_prefix(after)

        def page() -> list[str]:
            return [name for name, _ in zip(self._visible(grant, prefix, after), range(limit + 1), strict=False)]

        keys = await self._ask(page)
        if len(keys) > limit:
            return SecretNames(tuple(keys[:limit]), keys[limit - 1])
        return SecretNames(tuple(keys), None)

    def _visible(self, grant: Grant, prefix: str, after: str) -> Iterator[str]:
        """Yield the names that the grant may see; folders without such names are not read."""
        for part in visible_parts(grant, prefix):
            for name in self._engine.names(part.text, after):
                if part.whole and name != part.text:
                    break  # names come in order, and the one that is wanted would have been the first
                if grant.sees(name):
                    yield name

    async def put(self, grant: Grant, command: PutSecret, entry: Entry) -> SecretWritten:
        """Write a new version; raises `ConflictError` when `cas` misses."""
        grant.require("secrets:write", command.path)
        path = secret_path(command.path)
        data = parse_object(bytes(command.data), self._limits.value_bytes)
        if not is_exact(msgspec.json.decode(data)):
            raise InvalidInputError("data holds a whole number beyond 2^53, which Vault may round; write it as a text")
        if command.custom is not None:
            check_custom(command.custom)
        written = await self._write(path, data, command.cas, entry)
        if command.custom is not None:
            await self._customise(path, written.version, command.custom)
        return written

    async def _customise(self, path: str, version: int, custom: dict[str, str]) -> None:
        try:
            await self._ask(lambda: self._engine.set_metadata(path, custom=custom))
        except TradewardenError as error:
            raise ProviderUnavailableError(
                f"Version {version} of '{path}' is stored, but not its custom metadata; set that again: {error.detail}",
                reason=error.reason,
            ) from error

    async def rollback(self, grant: Grant, command: RollbackSecret, entry: Entry) -> SecretWritten:
        """Write an old version's value again as the newest; raises `SecretNotFoundError`."""
        grant.require("secrets:write", command.path)
        path, version = secret_path(command.path), rules.check_version(command.version)
        found = await self._ask(lambda: self._engine.read(path, version))
        return await self._write(path, found.data, command.cas, entry)

    async def _write(self, path: str, data: bytes, cas: int | None, entry: Entry) -> SecretWritten:
        written = await self._change(path, entry, lambda: self._engine.write(path, data, cas))
        entry.reason = f"version {written.number} in Vault"
        return SecretWritten(path, written.number, written.created_at)

    async def delete(self, grant: Grant, command: PickVersions, entry: Entry) -> SecretsPicked:
        """Hide versions until they are undeleted; none named: the current one."""
        grant.require("secrets:delete", command.path)
        path = secret_path(command.path)
        if command.versions:
            return await self._pick(command, self._engine.delete, entry)
        found = await self._ask(lambda: self._engine.metadata(path))
        if not found.current:
            raise SecretNotFoundError(path, reason="vault: it has metadata and no version")
        return await self._pick(PickVersions(path, (found.current,)), self._engine.delete, entry)

    async def undelete(self, grant: Grant, command: PickVersions, entry: Entry) -> SecretsPicked:
        """Show deleted versions again; a destroyed one is a `SecretNotFoundError`."""
        grant.require("secrets:write", command.path)
        return await self._pick(command, self._engine.undelete, entry)

    async def destroy(self, grant: Grant, command: PickVersions, entry: Entry) -> SecretsPicked:
        """Erase the values of versions for good."""
        grant.require("secrets:write", command.path)
        return await self._pick(command, self._engine.destroy, entry, destroyed_too=True)

    async def _pick(
        self,
        command: PickVersions,
        act: Callable[[str, Sequence[int]], None],
        entry: Entry,
        *,
        destroyed_too: bool = False,
    ) -> SecretsPicked:
        path, versions = secret_path(command.path), rules.check_picked(command.versions)
        found = await self._ask(lambda: self._engine.metadata(path))
        require_kept(found, path, versions, destroyed_too=destroyed_too)
        await self._change(path, entry, lambda: act(path, versions))
        return SecretsPicked(path, versions)

    async def set_metadata(self, grant: Grant, command: SetSecretMetadata, entry: Entry) -> SecretSettings:
        """Change custom metadata or how many versions are kept (fewer: Vault drops the oldest at the next write)."""
        grant.require("secrets:write", command.path)
        path, custom, kept = secret_path(command.path), command.custom, command.max_versions
        if kept is not None:
            rules.check_kept(kept)
        if custom is not None:
            check_custom(custom)
        found = await self._ask(lambda: self._engine.metadata(path))
        await self._change(path, entry, lambda: self._engine.set_metadata(path, custom=custom, max_versions=kept))
        return SecretSettings(
            path,
            found.max_versions if kept is None else kept,
            found.custom if custom is None else custom,
            self._clock.now(),
        )

    async def fault(self) -> str:
        """Return why secrets cannot be had just now, in words; empty when they can. Asks Vault."""
        fault = await asyncio.to_thread(self._engine.fault)
        return fault.replace(f" at {self._client.config.place}", "")

    async def close(self) -> None:
        """End our token and let threads and connections go."""
        self._threads.close()
        await asyncio.to_thread(self._client.close)

    async def _change(self, path: str, entry: Entry, call: Callable[[], T]) -> T:
        """Change something in Vault, once the journal says that we are about to."""
        await entry.intend()
        done = await self._ask(call)
        self._known.forget_path(path)
        return done

    def _without_place(self, error: TradewardenError) -> TradewardenError:
        """Return the error as a caller of the service may see it: where Vault is, is in the reason only."""
        place = self._client.config.place
        if place not in error.detail:
            return error
        return type(error)(error.detail.replace(f" at {place}", ""), reason=f"{error.reason} ({place})")

    async def _ask(self, call: Callable[[], T]) -> T:
        """Make one use of Vault off the loop, and count what it came to."""
        try:
            done = await self._threads.run(call)
        except TradewardenError as error:
            self._count(next((kind for family, kind in _KINDS if isinstance(error, family)), "unavailable"))
            if not isinstance(error, UnavailableError):
                self._outage.over()
            raise self._without_place(error) from error.__cause__
        self._count("success")
        self._outage.over()
        return done

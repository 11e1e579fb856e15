"""A secrets room for tests: real keys, a clock that is set by hand, and entries that are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.keys import keyring
from tradewarden.access.grant import ANY, Grant, authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.entry import Auditor, Entry, EventType, Origin
from tradewarden.clock import system_randomness
from tradewarden.secrets.commands import PutSecret
from tradewarden.secrets.rewrap import Rewrap
from tradewarden.secrets.secrets import SecretLimits, Secrets
from tradewarden.secrets.value import raw_object

if TYPE_CHECKING:
    from tradewarden.keys.port import Keys
    from tradewarden.secrets.commands import SecretWritten
    from tradewarden.secrets.store import SecretStore

BOT = Principal(Kind.SERVICE, "trading_bot")


class HandClock:
    """Stands still until it is moved."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        """Return the time that was set."""
        return self.time

    def monotonic(self) -> float:
        """Return the time that was set."""
        return self.time


class Journal:
    """Keeps what was recorded."""

    def __init__(self) -> None:
        self.events: list[bytes] = []

    async def record(self, event: bytes) -> None:
        """Keep an event."""
        self.events.append(event)


class Room:
    """A `Secrets` with all that a test needs around it."""

    def __init__(self, store: SecretStore, keys: Keys, limits: SecretLimits | None = None) -> None:
        self.store = store
        self.keys = keys
        self.clock = HandClock()
        self.journal = Journal()
        self.auditor = Auditor(self.journal, self.clock)
        self.secrets = Secrets(store, keys, self.clock, system_randomness, limits or SecretLimits())
        self.rewrap = Rewrap(store, keys)

    def entry(self, action: str = "test") -> Entry:
        """Return a new audit entry."""
        return self.auditor.entry(EventType.SECRET_ACCESS, action, Origin())

    async def put(self, path: str, value: dict[str, object], cas: int | None = None) -> SecretWritten:
        """Write a value as an admin."""
        command = PutSecret(path, raw_object(value), cas)
        return await self.secrets.put(may("secrets:write", path), command, self.entry())

    async def value(self, path: str, version: int | None = None) -> dict[str, object]:
        """Read a value as an admin."""
        return (await self.secrets.get(may("secrets:read", path), path, version)).value()


def may(action: str, resource: str = ANY, *permissions: str) -> Grant:
    """Return a grant of one action, from the named permissions (none named: everything)."""
    return authorize(BOT, PermissionSet(permissions or ("admin",)), action, resource)


async def room(store: SecretStore, limits: SecretLimits | None = None) -> Room:
    """Return a room over a store, with a keyring of its own."""
    return Room(store, await keyring(), limits)

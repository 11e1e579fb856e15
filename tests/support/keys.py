"""A real keyring over memory, with a fixed root key and no key stretching: fast enough for every test."""

from __future__ import annotations

from base64 import b64encode

from tradewarden.access.grant import ANY, Grant, authorize
from tradewarden.access.permission import ALL
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.entry import Auditor, Entry, EventType, Origin
from tradewarden.clock import Clock, Randomness, SystemClock, system_randomness
from tradewarden.keys.keyring import Keyring
from tradewarden.keys.source import RootSources
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_keys import MemoryKeyStore

ROOT_KEY = bytes(range(100, 132))
ENVIRONMENT = {"TEST_ROOT_KEY": b64encode(ROOT_KEY).decode()}


async def keyring(
    database: MemoryDatabase | None = None,
    *,
    randomness: Randomness = system_randomness,
    clock: Clock | None = None,
) -> Keyring:
    """Return a keyring of its own, whose first entry and revision are in `database` when that is given."""
    store = MemoryKeyStore(database or MemoryDatabase())
    sources = RootSources("env:TEST_ROOT_KEY", ENVIRONMENT)
    return await Keyring.open(store, sources, randomness, clock or SystemClock())


class Unrecorded:
    """A journal for entries that a change commits itself; it keeps what reaches it."""

    def __init__(self) -> None:
        self.events: list[bytes] = []

    async def record(self, event: bytes) -> None:
        """Keep the event."""
        self.events.append(event)


def key_entry(action: str = "rotate") -> Entry:
    """Return an open audit entry for a change to keys."""
    return Auditor(Unrecorded(), SystemClock()).entry(EventType.KEY, action, Origin())


def key_grant(action: str, resource: str = ANY) -> Grant:
    """Return an administrator's grant."""
    return authorize(Principal(Kind.LOCAL, "0"), ALL, action, resource)

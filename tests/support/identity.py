"""A register of services over memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.keys import keyring
from tests.support.tokens import Journal, MovedClock
from tradewarden.audit.entry import Auditor, Entry, EventType, Origin
from tradewarden.clock import system_randomness
from tradewarden.identity.admin import AdminToken
from tradewarden.identity.services import Services
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_identity import MemoryServiceStore

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.identity.store import ServiceStore
    from tradewarden.keys.port import Keys


@dataclass
class IdentityRoom:
    """The identity room and everything around it."""

    services: Services
    store: ServiceStore
    keys: Keys
    clock: MovedClock
    database: MemoryDatabase
    journal: Journal
    auditor: Auditor

    def entry(self, action: str = "test") -> Entry:
        """Return a fresh audit entry."""
        origin = Origin("127.0.0.1", "test", "r-1")
        return self.auditor.entry(EventType.CONFIGURATION_CHANGE, action, origin)

    def admin_token(self, directory: Path) -> AdminToken:
        """Return the admin token of a directory, as one process holds it."""
        return AdminToken(self.store, self.keys, directory, self.clock, system_randomness)


async def identity_room(store: ServiceStore | None = None, revisions: object = None) -> IdentityRoom:
    """Return an identity room over memory, or over the given store."""
    database, clock, journal = MemoryDatabase(), MovedClock(), Journal()
    keys = await keyring(clock=clock)
    store = store or MemoryServiceStore(database)
    services = Services(store, keys, clock, system_randomness, revisions or database.revisions)  # type: ignore[arg-type]
    auditor = Auditor(journal, clock)
    return IdentityRoom(services, store, keys, clock, database, journal, auditor)

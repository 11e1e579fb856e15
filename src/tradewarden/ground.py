"""What every room stands on: database, keys, journal, clock and time floor, opened from settings and closed again.

Order matters: the directory is judged, and what a first start needs is checked, before anything is written; the root
key is recognised before anything is decrypted; the journal stands before anything is answered.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tradewarden.access.grant import ANY
from tradewarden.audit.entry import Auditor, Entry, EventType, Origin
from tradewarden.audit.journal import Journal
from tradewarden.audit.seal import InboxSeal
from tradewarden.clock import Clock, Randomness, SystemClock, system_randomness
from tradewarden.crypto.keyfile import private_directory
from tradewarden.crypto.pkcs11 import release
from tradewarden.datadir import require_data, require_init
from tradewarden.errors import ConfigurationError
from tradewarden.keys.keyring import Keyring
from tradewarden.keys.purpose import Purpose
from tradewarden.local import local_principal
from tradewarden.pki.cas.founding import require_foundable
from tradewarden.policies import pki_policy, root_sources
from tradewarden.secrets.providers.vault.config import vault_config
from tradewarden.secrets.providers.vault.connect import connect
from tradewarden.storage.beginning import Stage, reached
from tradewarden.storage.migration import migrate_sqlite
from tradewarden.storage.sql_keys import SqlKeyStore
from tradewarden.storage.sql_timefloor import SqlFloorStore
from tradewarden.storage.sqlite import SqliteDatabase
from tradewarden.timefloor.clock import FlooredClock
from tradewarden.timefloor.floor import FloorReset, TimeFloor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tradewarden.keys.source import RootSources
    from tradewarden.secrets.providers.vault.client import Client
    from tradewarden.secrets.providers.vault.engine import Engine
    from tradewarden.settings import Settings

_HERE = Origin()


class Ground(NamedTuple):
    """What every room stands on. `first`: no first start was completed before; `vault`: None when secrets stay here."""

    database: SqliteDatabase
    keyring: Keyring
    journal: Journal
    seal: InboxSeal
    auditor: Auditor
    clock: FlooredClock
    floor: TimeFloor
    randomness: Randomness
    first: bool
    vault: tuple[Client, Engine] | None

    def entry(self, event: EventType, action: str, resource: str = ANY) -> Entry:
        """Return the audit entry of something that this process does by itself, holding the root key."""
        entry = self.auditor.entry(event, action, _HERE)
        entry.user, entry.method, entry.resource = str(local_principal()), "local", resource
        return entry

    async def close(self) -> None:
        """Write what waits, let everything go; the rooms that stand on it are closed before."""
        await self.keyring.close()
        await self.journal.close()
        await self.database.close()
        await asyncio.to_thread(release)  # a process that forks next must not leave its tokens open to its children


async def lay_ground(
    settings: Settings, machine: Clock, randomness: Randomness, *, create: bool, follow: bytes | None
) -> Ground:
    """Open database, keys and journal, in this order; raises `ConfigurationError`.

    The clock is that of the machine until the time floor is loaded.
    """
    vault = connect(vault_config(settings)) if settings.enable_vault and not settings.vault_missing else None
    path = settings.database_path
    found = await asyncio.to_thread(require_init, settings.data_dir, path, development=settings.development or create)
    sources, first = root_sources(settings), found is not Stage.INITIALISED
    await asyncio.to_thread(_foresee, settings, sources, found, machine.now())
    await asyncio.to_thread(_take_directory, settings.data_dir)
    await asyncio.to_thread(migrate_sqlite, path)
    database, clock = SqliteDatabase(path), FlooredClock(machine)
    try:
        with _hopeful(settings, found):
            store = SqlKeyStore(database)
            keyring = await Keyring.open(store, sources, randomness, clock, follow=follow, first_start=first)
        await keyring.reserve(Purpose.AUDIT)
        audit = settings.data_dir / "audit"
        sync = settings.audit_sync == "full"
        journal = Journal(audit, clock, randomness, keyring.cipher(Purpose.AUDIT), sync)
    except BaseException:
        await database.close()
        raise
    seal = InboxSeal(keyring.derive(Purpose.AUDIT, "inbox"))
    auditor = Auditor(journal, clock, seal)
    floor = TimeFloor(SqlFloorStore(database), keyring.sealer(Purpose.AUDIT), clock)
    return Ground(database, keyring, journal, seal, auditor, clock, floor, randomness, first=first, vault=vault)


def _take_directory(data_dir: Path) -> None:
    """Make the data directory, or see that it can be written; raises `ConfigurationError` naming its setting."""
    elsewhere = "or name another directory as TRADEWARDEN_DATA_DIR"
    try:
        private_directory(data_dir)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error.detail}; {elsewhere}") from error
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{data_dir} cannot be written by user {os.geteuid()}; let it, {elsewhere}")


def _foresee(settings: Settings, sources: RootSources, found: Stage, now: float) -> None:
    """Raise what a first start would trip over later, before anything of it is made."""
    try:
        if found < Stage.KEYED:
            sources.configured.examine()
        if found < Stage.FOUNDED:
            require_foundable(settings.data_dir, pki_policy(settings), now)
    except ConfigurationError:
        if reached(settings.database_path) is found:
            raise
        # Another process makes the first start meanwhile: what it made was in the way.


@contextmanager
def _hopeful(settings: Settings, found: Stage) -> Iterator[None]:
    """Say of a root key that does not fit a first start which was cut off what can be done without the right one."""
    try:
        yield
    except ConfigurationError as error:
        if found not in (Stage.KEYED, Stage.FOUNDED):
            raise
        raise ConfigurationError(
            f"{error.detail}. The first start on {settings.data_dir} was cut off, so nothing is kept there yet: you may"
            " also move it away and begin anew"
        ) from error


async def reset_time_floor(settings: Settings, machine: Clock | None = None) -> FloorReset:
    """Put the time floor to what this machine's clock shows (ADR 31); running processes keep theirs until a restart.

    Raises `ConflictError`, having changed nothing, when the floor is not ahead of the clock.
    """
    require_data(settings.data_dir, settings.database_path)
    ground = await lay_ground(settings, machine or SystemClock(), system_randomness, create=False, follow=None)
    try:
        async with ground.entry(EventType.CONFIGURATION_CHANGE, "reset", "time_floor") as entry:
            return await ground.floor.reset(entry, ground.randomness)
    finally:
        await ground.close()

"""The audit log read beside a running service, or without one: nothing is written, made or migrated.

Whoever holds the root key may; `tradewarden audit verify` and `export` do.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tradewarden.access.grant import authorize
from tradewarden.access.permission import ALL
from tradewarden.audit.log import AuditLog
from tradewarden.audit.verify import verify_installation
from tradewarden.clock import Clock, SystemClock, system_randomness
from tradewarden.crypto.signers import Signer, Verifier
from tradewarden.datadir import require_data
from tradewarden.keys.keyring import Keyring
from tradewarden.keys.purpose import Purpose
from tradewarden.local import local_principal
from tradewarden.policies import root_sources
from tradewarden.storage.frozen import opened_for_reading
from tradewarden.storage.sql_audit import SqlAuditStore
from tradewarden.storage.sql_keys import SqlKeyStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tradewarden.audit.examine import Report
    from tradewarden.settings import Settings


class Records:
    """The audit log of an installation, for whoever holds its root key; made by `open_for_reading`."""

    def __init__(self, store: SqlAuditStore, signer: Signer, clock: Clock) -> None:
        self._store = store
        self._signer = signer
        self._log = AuditLog(store, signer, clock)

    async def verify(self, verifier: Verifier | None = None, kept: bytes | None = None) -> Report:
        """Verify the live log with a public key from elsewhere, or our own; `kept` is a checkpoint from elsewhere."""
        return await verify_installation(self._store, verifier or Verifier(self._signer.public_key), kept)

    async def export(self, write: Callable[[str, bytes], None]) -> None:
        """Give the whole log to `write(file name, next bytes)`, as `AuditLog.export` does."""
        await self._log.export(authorize(local_principal(), ALL, "audit:read"), write)


@asynccontextmanager
async def open_for_reading(settings: Settings) -> AsyncIterator[Records]:
    """Open the audit log of an installation.

    Raises `ConfigurationError` when there is no installation, when the root key is not its own, or when the place that
    it stands in cannot be read without writing there.
    """
    require_data(settings.data_dir, settings.database_path)
    async with opened_for_reading(settings.database_path) as database:
        clock = SystemClock()
        keyring = await Keyring.open(
            SqlKeyStore(database), root_sources(settings), system_randomness, clock, first_start=False
        )
        yield Records(SqlAuditStore(database), checkpoint_signer(keyring), clock)
        await keyring.close()


def checkpoint_signer(keyring: Keyring) -> Signer:
    """Return what signs the log's checkpoints."""
    return Signer(keyring.derive(Purpose.AUDIT, "checkpoint"))

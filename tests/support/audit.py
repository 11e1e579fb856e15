"""An audit room in a directory: journal, clerk, log, over a real SQLite file or in memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tradewarden.audit.checkpointing import Checkpointer
from tradewarden.audit.clerk import Clerk
from tradewarden.audit.entry import Auditor, EventType, Origin
from tradewarden.audit.journal import Journal
from tradewarden.audit.log import AuditLog
from tradewarden.audit.seal import InboxSeal
from tradewarden.audit.shipping import Shipper
from tradewarden.clock import SystemClock
from tradewarden.crypto.keyset import Cipher
from tradewarden.crypto.signers import Signer, Verifier
from tradewarden.storage.migration import migrate_sqlite
from tradewarden.storage.sql_audit import SqlAuditStore
from tradewarden.storage.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.storage.database import Transaction

KEY = bytes(range(32))
SEAL = InboxSeal(bytes(range(1, 33)))
SIGNER = Signer(bytes(range(2, 34)))
VERIFIER = Verifier(SIGNER.public_key)
ORIGIN = "tradewarden.test/audit"


def cipher(budget: int = 1000) -> Cipher:
    """Return an audit cipher that every room of these tests shares the key of."""
    made = Cipher()
    made.install({1: KEY}, 1, budget)
    return made


class TestClock(SystemClock):
    """The real clocks, moved forward by the test: checkpoints need no waiting."""

    __test__ = False

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        """Return the moved time."""
        return SystemClock.now() + self.ahead

    def monotonic(self) -> float:
        """Return the moved time."""
        return SystemClock.monotonic() + self.ahead


class Room:
    """Everything of one process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.journals = directory / "audit"
        self.path = directory / "secrets" / "tradewarden.db"
        self.clock = TestClock()
        migrate_sqlite(self.path)
        self.database = SqliteDatabase(self.path)
        self.store = SqlAuditStore(self.database)
        self.journal = Journal(self.journals, self.clock, os.urandom, cipher())
        self.auditor = Auditor(self.journal, self.clock, SEAL)
        self.log = AuditLog(self.store, SIGNER, self.clock)
        self.clerk = self.another_clerk()

    def another_clerk(self) -> Clerk:
        """Return a clerk that knows nothing of the first one."""
        shipper = Shipper(self.journals, self.store, cipher(), SEAL, self.clock)
        signing = Checkpointer(self.store, SIGNER, ORIGIN, self.clock)
        return Clerk(self.store, shipper, signing, SEAL, self.clock, os.urandom)

    async def read(self, resource: str, user: str = "service:bot") -> None:
        """Record a read through the journal."""
        origin = Origin("10.0.0.1", "tests", f"r-{resource}")
        async with self.auditor.entry(EventType.SECRET_ACCESS, "secrets:read", origin) as entry:
            entry.user, entry.resource = user, resource

    async def change(self, resource: str, user: str = "service:bot") -> None:
        """Record a change in a transaction of its own."""
        origin = Origin("10.0.0.1", "tests", f"w-{resource}")
        async with self.auditor.entry(EventType.SECRET_ACCESS, "secrets:write", origin) as entry:
            entry.user, entry.resource = user, resource
            draft = entry.draft("ab" * 32)

            async def work(transaction: Transaction) -> None:
                await transaction.record(draft)

            await self.database.transact(work)
            entry.commit()

    async def settle(self) -> None:
        """Ship, number and sign all there is."""
        self.clock.ahead += 2
        progress = await self.clerk.run_once()
        assert progress.faults == ()

    async def close(self) -> None:
        """Close in order."""
        await self.journal.close()
        await self.database.close()

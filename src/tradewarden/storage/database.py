"""What an SQL database gives to the stores: reads, transactions, revisions.

A transaction's work is an `async def` over a `Transaction`. PostgreSQL awaits in it; SQLite drives
it to its end on the writer thread, where nothing ever suspends. So each store is written once, for
both. Work must not await anything else, and must not catch what its transaction raises.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

Value = str | int | float | bytes | None
Row = tuple[Value, ...]
C = TypeVar("C")
T = TypeVar("T")


class Revisions(msgspec.Struct, frozen=True):
    """Counters that move when something a cache may hold was changed, in any process."""

    tokens: int = 0
    certificates: int = 0
    services: int = 0
    keys: int = 0
    authorities: int = 0


class Transaction(Protocol):
    """An open write transaction. Everything in it stands or falls together."""

    async def one(self, sql: str, *args: Value) -> Row | None:
        """Return the first row, or None."""
        ...

    async def all(self, sql: str, *args: Value) -> list[Row]:
        """Return all rows."""
        ...

    async def run(self, sql: str, *args: Value) -> int:
        """Execute and return how many rows were changed."""
        ...

    async def run_many(self, sql: str, rows: Iterable[Row]) -> None:
        """Execute once for each row."""
        ...

    async def record(self, *entries: bytes) -> None:
        """Put the audit entries of what this transaction changes into the audit inbox."""
        ...

    async def bump(self, *kinds: str) -> None:
        """Move the revision of each kind; raises `AttributeError` for an unknown kind."""
        ...


Making = Callable[[Transaction, Sequence[C]], Coroutine[None, None, Sequence[T | Exception]]]
"""Makes many changes of one kind in few statements: the outcome of each, its answer or why it was not made."""


class Database(Protocol):
    """One database, seen from one process. Every failure is a `StorageUnavailableError`.

    Values of a row have the types that are stored, whatever they are: who has changed the database may have put
    others there. Who reads a row checks its seal, or its types at the store's door.
    """

    async def one(self, sql: str, *args: Value) -> Row | None:
        """Return the first row, or None. For point look-ups."""
        ...

    async def all(self, sql: str, *args: Value) -> list[Row]:
        """Return all rows. May be long: never runs on the event loop's thread."""
        ...

    async def transact(self, work: Callable[[Transaction], Coroutine[None, None, T]]) -> T:
        """Run `work` in a transaction of its own and return its answer once that is durable.

        What `work` raises rolls it back and comes out here; a row that already exists is a
        `ConflictError`. Cancelling the caller does not stop the work.
        """
        ...

    async def make(self, making: Making[C, T], change: C) -> T:
        """Make one change as `transact` does, in one go with others that wait for the same `making`.

        They are made in the order of the calls. A change whose outcome is an exception has written nothing; one that
        cannot be written takes no other with it: `making` then runs again for each alone.
        """
        ...

    async def mark(self) -> int:
        """Return what stays the same for as long as nobody, in any process, commits anything."""
        ...

    async def revisions(self) -> Revisions:
        """Return the revisions as of now, with all that any process committed before this call."""
        ...

    async def close(self) -> None:
        """Finish what was handed in, then close."""
        ...

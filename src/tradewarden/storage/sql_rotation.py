"""Rotations of secrets in SQL."""

# ruff: noqa: S608  (statements are put together from column names that stand in this file)

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import astuple

from tradewarden.secrets.rotation.store import Change, PolicyRow, RunRow, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.storage.database import Database, Row, Transaction

T = TypeVar("T")

_POLICY = PolicyRow.__struct_fields__
_RUN = RunRow.__struct_fields__
_BOTH = ", ".join([*(f"p.{name}" for name in _POLICY), *(f"r.{name}" for name in _RUN)])
_JOINED = f"SELECT {_BOTH} FROM rotation_policies p LEFT JOIN rotation_runs r ON r.path = p.path"
_READ = f"{_JOINED} WHERE p.path = ?"
_PAGE = f"{_JOINED} WHERE p.path > ? AND p.path >= ? AND p.path < ? ORDER BY p.path LIMIT ?"
_WAITING = "SELECT path FROM rotation_policies WHERE next_at > 0 AND next_at <= ? ORDER BY next_at LIMIT ?"
_OVERDUE = (
    "SELECT path FROM rotation_policies WHERE automatic = 1 AND due_at > 0 AND due_at < ? ORDER BY due_at LIMIT ?"
)
_LAST = "\U0010ffff"


def _put(table: str, columns: tuple[str, ...]) -> str:
    values = ", ".join("?" * len(columns))
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "path")
    names = ", ".join(columns)
    return f"INSERT INTO {table} ({names}) VALUES ({values}) ON CONFLICT (path) DO UPDATE SET {updates}"


_PUT_POLICY, _PUT_RUN = _put(PolicyRow.table, _POLICY), _put(RunRow.table, _RUN)
_DROP_POLICY, _DROP_RUN = [f"DELETE FROM {table} WHERE path = ?" for table in (PolicyRow.table, RunRow.table)]


class SqlRotationStore:
    """A `RotationStore` over any `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, path: str) -> State:
        """Return what stands of one path."""
        return _state(await self._database.one(_READ, path))

    async def page(self, prefix: str, after: str, limit: int) -> list[State]:
        """Return up to `limit` policies, and their runs, whose paths start with `prefix` and follow `after`."""
        return [_state(row) for row in await self._database.all(_PAGE, after, prefix, prefix + _LAST, limit)]

    async def waiting(self, now: float, limit: int) -> list[str]:
        """Return paths whose time to be looked at has come."""
        return [str(path) for (path,) in await self._database.all(_WAITING, now, limit)]

    async def overdue(self, before: float, limit: int) -> list[str]:
        """Return paths of automatic policies that could have run before `before`."""
        return [str(path) for (path,) in await self._database.all(_OVERDUE, before, limit)]

    async def change(self, path: str, decide: Callable[[State], Change[T]]) -> T:
        """Load, decide, write and record; return the answer when it is durable."""

        async def work(transaction: Transaction) -> T:
            before = _state(await transaction.one(_READ, path))
            change = decide(before)
            await _write(transaction, path, before, change.after)
            await transaction.record(change.entry)
            return change.answer

        return await self._database.transact(work)


async def _write(transaction: Transaction, path: str, before: State, after: State) -> None:
    pairs = (
        (before.policy, after.policy, _PUT_POLICY, _DROP_POLICY),
        (before.run, after.run, _PUT_RUN, _DROP_RUN),
    )
    for old, new, put, drop in pairs:
        if new is not None and new is not old:
            await transaction.run(put, *astuple(new))
        elif new is None and old is not None:
            await transaction.run(drop, path)


def _state(row: Row | None) -> State:
    if row is None:
        return State()
    policy, run = row[: len(_POLICY)], row[len(_POLICY) :]
    return State(PolicyRow(*policy), None if run[0] is None else RunRow(*run))  # type: ignore[arg-type]

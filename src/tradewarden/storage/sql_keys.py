"""Keys in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from tradewarden.errors import IntegrityError
from tradewarden.keys.store import KeyBudget, KeyState, PurposeKey, RootRecord, applied

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.keys.store import KeyChange
    from tradewarden.storage.database import Database, Row, Transaction

R = TypeVar("R", bound=msgspec.Struct)

_ROOT = "id, generation, check_value, uri, salt, iterations, lanes, memory_cost, purposes, created_at, seal"
_KEY = "purpose, version, state, wrapped, created_at, seal"
_BUDGET = "purpose, version, leased, seal"
# One statement, so that what it returns is of one moment; a missing key or budget shows as NULL.
_STATE = (
    "SELECT r.id, r.generation, r.check_value, r.uri, r.salt, r.iterations, r.lanes, r.memory_cost, r.purposes,"
    " r.created_at, r.seal, k.purpose, k.version, k.state, k.wrapped, k.created_at, k.seal,"
    " b.purpose, b.version, b.leased, b.seal FROM root_keys r LEFT JOIN purpose_keys k ON r.id = 1"
    " LEFT JOIN key_budgets b ON b.purpose = k.purpose AND b.version = k.version WHERE r.id = 1"
    " ORDER BY k.purpose, k.version"
)
_ANY_KEY = "SELECT 1 FROM purpose_keys LIMIT 1"
_ROOT_WIDTH = len(RootRecord.__struct_fields__)
_KEY_END = _ROOT_WIDTH + len(PurposeKey.__struct_fields__)
_PUT_ROOT = (
    f"INSERT INTO root_keys ({_ROOT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"  # noqa: S608
    " generation = excluded.generation, check_value = excluded.check_value, uri = excluded.uri, salt = excluded.salt,"
    " iterations = excluded.iterations, lanes = excluded.lanes, memory_cost = excluded.memory_cost,"
    " purposes = excluded.purposes, created_at = excluded.created_at, seal = excluded.seal"
)
_PUT_KEY = (
    f"INSERT INTO purpose_keys ({_KEY}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
    " ON CONFLICT (purpose, version) DO UPDATE SET state = excluded.state, wrapped = excluded.wrapped,"
    " created_at = excluded.created_at, seal = excluded.seal"
)
_PUT_BUDGET = (
    f"INSERT INTO key_budgets ({_BUDGET}) VALUES (?, ?, ?, ?)"  # noqa: S608
    " ON CONFLICT (purpose, version) DO UPDATE SET leased = excluded.leased, seal = excluded.seal"
)


class SqlKeyStore:
    """A `KeyStore` over any `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> KeyState:
        """Return everything, as of one moment."""
        return _state(await self._database.all(_STATE))

    async def change(self, decide: Callable[[KeyState], KeyChange]) -> KeyState:
        """Decide and write in one transaction."""

        async def work(transaction: Transaction) -> KeyState:
            state = _state(await transaction.all(_STATE))
            if state.root is None and await transaction.one(_ANY_KEY) is not None:
                raise IntegrityError("The root record is gone from the database; restore it from a backup")
            change = decide(state)
            if change.root is not None:
                await transaction.run(_PUT_ROOT, *msgspec.structs.astuple(change.root))
            await transaction.run_many(_PUT_KEY, [msgspec.structs.astuple(row) for row in change.keys])
            await transaction.run_many(_PUT_BUDGET, [msgspec.structs.astuple(row) for row in change.budgets])
            if change.entry:
                await transaction.record(change.entry)
            if change.bump:
                await transaction.bump("keys")
            return applied(state, change)

        return await self._database.transact(work)


def _state(rows: list[Row]) -> KeyState:
    """Return the state that the rows of `_STATE` hold; raises `IntegrityError` for values of a foreign type."""
    if not rows:
        return KeyState()
    try:
        keys = [_record(PurposeKey, row[_ROOT_WIDTH:_KEY_END]) for row in rows if row[_ROOT_WIDTH] is not None]
        budgets = [_record(KeyBudget, row[_KEY_END:]) for row in rows if row[_KEY_END] is not None]
        return KeyState(_record(RootRecord, rows[0][:_ROOT_WIDTH]), tuple(keys), tuple(budgets))
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise IntegrityError(
            "The key tables were changed outside Tradewarden and are refused; restore the database from a backup",
            reason=str(error),
        ) from error


def _record(kind: type[R], row: Row) -> R:
    return msgspec.convert(dict(zip(kind.__struct_fields__, row, strict=True)), kind)

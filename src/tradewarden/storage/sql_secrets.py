"""Secrets in SQL."""

# ruff: noqa: S608  (statements are put together from column names that stand in this file)

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from msgspec.structs import astuple

from tradewarden.crypto.keyset import changed_outside
from tradewarden.secrets.store import SecretChange, SecretHead, SecretState, SecretVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tradewarden.storage.database import Database, Row, Transaction

T = TypeVar("T")

_HEAD = "path, incarnation, current, oldest, max_versions, custom, created_at, updated_at, seal"
_VERSION = "path, version, incarnation, created_at, created_by, deleted_at, destroyed, seal"
_BOTH = (
    ", ".join(f"s.{name}" for name in _HEAD.split(", "))
    + ", "
    + ", ".join(f"v.{name}" for name in _VERSION.split(", "))
)
_VERSION_OF = f"SELECT {_VERSION} FROM secret_versions WHERE path = ? AND version = ?"
_READ_CURRENT = (
    f"SELECT {_BOTH}, v.value FROM secrets s LEFT JOIN secret_versions v"
    " ON v.path = s.path AND v.version = s.current WHERE s.path = ?"
)
_READ_ONE = (
    f"SELECT {_BOTH}, v.value FROM secrets s LEFT JOIN secret_versions v"
    " ON v.path = s.path AND v.version = ? WHERE s.path = ?"
)
_HISTORY = (
    f"SELECT {_BOTH} FROM secrets s LEFT JOIN secret_versions v ON v.path = s.path WHERE s.path = ? ORDER BY v.version"
)
_HEADS = f"SELECT {_HEAD} FROM secrets WHERE path > ? AND path >= ? AND path < ? ORDER BY path LIMIT ?"
_PUT_HEAD = (
    f"INSERT INTO secrets ({_HEAD}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (path) DO UPDATE SET incarnation = excluded.incarnation, current = excluded.current,"
    " oldest = excluded.oldest, max_versions = excluded.max_versions, custom = excluded.custom,"
    " created_at = excluded.created_at, updated_at = excluded.updated_at, seal = excluded.seal"
)
_PUT_VERSION = (
    f"INSERT INTO secret_versions ({_VERSION}, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (path, version) DO UPDATE SET incarnation = excluded.incarnation,"
    " created_at = excluded.created_at, created_by = excluded.created_by,"
    " deleted_at = excluded.deleted_at, destroyed = excluded.destroyed, seal = excluded.seal,"
    " value = coalesce(excluded.value, secret_versions.value)"
)
_DROP = "DELETE FROM secret_versions WHERE path = ? AND version < ?"
# A seal begins with its key version, an envelope with its format and then its key version.
_OUTDATED = (
    "SELECT path, version FROM ("
    " SELECT path, 0 AS version FROM secrets WHERE path > ? AND substr(seal, 1, 4) < ?"
    " UNION ALL"
    " SELECT path, version FROM secret_versions WHERE (path, version) > (?, ?)"
    " AND (substr(seal, 1, 4) < ? OR (destroyed = 0 AND substr(value, 2, 4) < ?))"
    ") AS found ORDER BY path, version LIMIT ?"
)
_HEAD_WIDTH = len(SecretHead.__struct_fields__)
_BOTH_WIDTH = _HEAD_WIDTH + len(SecretVersion.__struct_fields__)
_LAST = "\U0010ffff"
_KEY_VERSION = struct.Struct(">I")


class _Wanted(NamedTuple):
    path: str
    versions: Sequence[int]
    decide: Callable[[SecretState | None], SecretChange[Any]]


class SqlSecretStore:
    """A `SecretStore` over any `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, path: str, version: int | None) -> tuple[SecretHead, SecretVersion | None, bytes] | None:
        """Return head, one version (None: the current one) and its value; None without a head."""
        if version is None:
            row = await self._database.one(_READ_CURRENT, path)
        else:
            row = await self._database.one(_READ_ONE, version, path)
        if row is None:
            return None
        value = row[_BOTH_WIDTH]
        if value is None:
            value = b""
        elif type(value) is not bytes:
            raise changed_outside(SecretVersion.table, f"a value is stored as {type(value).__name__}")
        return _head(row), _version(row[_HEAD_WIDTH:_BOTH_WIDTH]), value

    async def mark(self) -> int:
        """Return what stays the same until the next commit of anybody."""
        return await self._database.mark()

    async def history(self, path: str) -> SecretState | None:
        """Return the head and every kept version, as they stood at one moment."""
        rows = await self._database.all(_HISTORY, path)
        if not rows:
            return None
        versions = [_version(row[_HEAD_WIDTH:]) for row in rows]
        return SecretState(_head(rows[0]), {each.version: each for each in versions if each})

    async def heads(self, prefix: str, after: str, limit: int) -> list[SecretHead]:
        """Return up to `limit` heads whose paths start with `prefix` and follow `after`."""
        rows = await self._database.all(_HEADS, after, prefix, prefix + _LAST, limit)
        return [_head(row) for row in rows]

    async def change(
        self,
        path: str,
        versions: Sequence[int],
        decide: Callable[[SecretState | None], SecretChange[T]],
    ) -> T:
        """Load the head and the named versions, decide, write and record; return the answer."""
        return await self._database.make(_make, _Wanted(path, versions, decide))

    async def outdated(self, below_key_version: int, after: tuple[str, int], limit: int) -> list[tuple[str, int]]:
        """Return (path, version) of what is sealed or encrypted under an older key version."""
        below = _KEY_VERSION.pack(below_key_version)
        path, version = after
        args = (path, below, path, version, below, below, limit)
        return await self._database.all(_OUTDATED, *args)  # type: ignore[return-value]


def _head(row: Row) -> SecretHead:
    return SecretHead(*row[:_HEAD_WIDTH])  # type: ignore[arg-type]


def _version(row: Row | None) -> SecretVersion | None:
    return None if row is None or row[0] is None else SecretVersion(*row)  # type: ignore[arg-type]


async def _make(transaction: Transaction, wanted: Sequence[_Wanted]) -> list[Any]:
    """Make changes in their order, in few statements; return the answer of each, or why it was decided against."""
    outcomes: list[Any] = []
    for together in _rounds(wanted):
        states = await _states(transaction, together)
        decided: list[SecretChange[Any]] = []
        for each in together:
            try:
                change = each.decide(states.get(each.path))
            except Exception as error:  # noqa: BLE001  (for its caller; nothing of it is written)
                outcomes.append(error)
            else:
                decided.append(change)
                outcomes.append(change.answer)
        if decided:
            await _put(transaction, decided)
    return outcomes


def _rounds(wanted: Sequence[_Wanted]) -> Iterator[list[_Wanted]]:
    """Divide changes so that each path stands once in a round: who comes later sees what was written before."""
    together: dict[str, _Wanted] = {}
    for each in wanted:
        if each.path in together:
            yield list(together.values())
            together = {}
        together[each.path] = each
    yield list(together.values())


async def _states(transaction: Transaction, wanted: Sequence[_Wanted]) -> dict[str, SecretState]:
    rows = await transaction.all(_heads_of(len(wanted)), *[each.path for each in wanted])
    states = {head.path: SecretState(head, {}) for head in map(_head, rows)}
    for path, versions, _ in wanted:
        if versions and path in states:
            found = [_version(await transaction.one(_VERSION_OF, path, version)) for version in versions]
            states[path] = SecretState(states[path].head, {row.version: row for row in found if row})
    return states


@cache
def _heads_of(number: int) -> str:
    return f"SELECT {_HEAD} FROM secrets WHERE path IN ({', '.join('?' * number)})"


async def _put(transaction: Transaction, changes: Sequence[SecretChange[Any]]) -> None:
    await transaction.run_many(_PUT_HEAD, [astuple(change.head) for change in changes])
    versions = [(*astuple(row), change.values.get(row.version)) for change in changes for row in change.versions]
    if versions:
        await transaction.run_many(_PUT_VERSION, versions)
    dropped = [(change.head.path, change.drop_below) for change in changes if change.drop_below]
    if dropped:
        await transaction.run_many(_DROP, dropped)
    await transaction.record(*[change.entry for change in changes])

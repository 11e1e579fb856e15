"""Secrets in SQL."""

# ruff: noqa: S608  (statements are put together from column names that stand in this file)

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import astuple

from tradewarden.secrets.store import SecretChange, SecretHead, SecretState, SecretVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tradewarden.storage.database import Database, Row, Transaction

T = TypeVar("T")

_HEAD = "path, incarnation, current, oldest, max_versions, custom, created_at, updated_at, seal"
_VERSION = "path, version, incarnation, created_at, created_by, deleted_at, destroyed, seal"
_BOTH = (
    ", ".join(f"s.{name}" for name in _HEAD.split(", "))
    + ", "
    + ", ".join(f"v.{name}" for name in _VERSION.split(", "))
)
_HEAD_OF = f"SELECT {_HEAD} FROM secrets WHERE path = ?"
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
_MOVE_HEAD = (
    "UPDATE secrets SET incarnation = ?, current = ?, oldest = ?, max_versions = ?, custom = ?, created_at = ?,"
    " updated_at = ?, seal = ? WHERE path = ?"
)
_NEW_HEAD = f"INSERT INTO secrets ({_HEAD}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
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
        value: bytes = row[_BOTH_WIDTH] or b""  # type: ignore[assignment]
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

        async def work(transaction: Transaction) -> T:
            state = await _state(transaction, path, versions)
            change = decide(state)
            head = astuple(change.head)
            if state is None:
                await transaction.run(_NEW_HEAD, *head)
            else:
                await transaction.run(_MOVE_HEAD, *head[1:], path)
            for row in change.versions:
                value = change.values.get(row.version)
                await transaction.run(_PUT_VERSION, *astuple(row), value)
            if change.drop_below:
                await transaction.run(_DROP, path, change.drop_below)
            await transaction.record(change.entry)
            return change.answer

        return await self._database.transact(work)

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


async def _state(transaction: Transaction, path: str, versions: Sequence[int]) -> SecretState | None:
    head = await transaction.one(_HEAD_OF, path)
    if head is None:
        return None
    found = {}
    for version in versions:
        row = _version(await transaction.one(_VERSION_OF, path, version))
        if row is not None:
            found[version] = row
    return SecretState(_head(head), found)

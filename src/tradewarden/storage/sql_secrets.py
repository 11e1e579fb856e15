"""Secrets in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from tradewarden.secrets.store import SecretChange, SecretHead, SecretState, SecretVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tradewarden.storage.database import Database, Transaction

T = TypeVar("T")

_HEAD = "path, incarnation, current, oldest, max_versions, custom, created_at, updated_at, seal"
_VERSION = "path, version, incarnation, created_at, created_by, deleted_at, destroyed, value, seal"
_HEAD_OF = f"SELECT {_HEAD} FROM secrets WHERE path = ?"  # noqa: S608
_VERSION_OF = f"SELECT {_VERSION} FROM secret_versions WHERE path = ? AND version = ?"  # noqa: S608
_CURRENT = (
    "SELECT s.path, s.incarnation, s.current, s.oldest, s.max_versions, s.custom, s.created_at, s.updated_at, s.seal,"
    " v.path, v.version, v.incarnation, v.created_at, v.created_by, v.deleted_at, v.destroyed, v.value, v.seal"
    " FROM secrets s LEFT JOIN secret_versions v ON v.path = s.path AND v.version = s.current WHERE s.path = ?"
)
_HISTORY = f"SELECT {_VERSION} FROM secret_versions WHERE path = ? ORDER BY version"  # noqa: S608
_HEADS = f"SELECT {_HEAD} FROM secrets WHERE path > ? AND path >= ? AND path < ? ORDER BY path LIMIT ?"  # noqa: S608
_PUT_HEAD = (
    f"INSERT INTO secrets ({_HEAD}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET"  # noqa: S608
    " incarnation = excluded.incarnation, current = excluded.current, oldest = excluded.oldest,"
    " max_versions = excluded.max_versions, custom = excluded.custom, created_at = excluded.created_at,"
    " updated_at = excluded.updated_at, seal = excluded.seal"
)
_PUT_VERSION = (
    f"INSERT INTO secret_versions ({_VERSION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
    " ON CONFLICT (path, version) DO UPDATE SET incarnation = excluded.incarnation, deleted_at = excluded.deleted_at,"
    " created_at = excluded.created_at, created_by = excluded.created_by, destroyed = excluded.destroyed,"
    " value = excluded.value, seal = excluded.seal"
)
_DROP = "DELETE FROM secret_versions WHERE path = ? AND version < ?"
_HEAD_WIDTH = len(SecretHead.__struct_fields__)
_LAST = "\U0010ffff"


class SqlSecretStore:
    """A `SecretStore` over any `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, path: str, version: int | None) -> tuple[SecretHead, SecretVersion | None] | None:
        if version is None:
            row = await self._database.one(_CURRENT, path)
            if row is None:
                return None
            return SecretHead(*row[:_HEAD_WIDTH]), _version(row[_HEAD_WIDTH:])  # type: ignore[arg-type]
        head = await self._database.one(_HEAD_OF, path)
        if head is None:
            return None
        row = await self._database.one(_VERSION_OF, path, version)
        return SecretHead(*head), _version(row)  # type: ignore[arg-type]

    async def history(self, path: str) -> SecretState | None:
        head = await self._database.one(_HEAD_OF, path)
        if head is None:
            return None
        rows = await self._database.all(_HISTORY, path)
        versions = [SecretVersion(*row) for row in rows]  # type: ignore[arg-type]
        return SecretState(SecretHead(*head), {each.version: each for each in versions})  # type: ignore[arg-type]

    async def heads(self, prefix: str, after: str, limit: int) -> list[SecretHead]:
        rows = await self._database.all(_HEADS, after, prefix, prefix + _LAST, limit)
        return [SecretHead(*row) for row in rows]  # type: ignore[arg-type]

    async def change(
        self, path: str, versions: Sequence[int], decide: Callable[[SecretState | None], SecretChange[T]]
    ) -> T:
        async def work(transaction: Transaction) -> T:
            change = decide(await _state(transaction, path, versions))
            await transaction.run(_PUT_HEAD, *msgspec.structs.astuple(change.head))
            await transaction.run_many(_PUT_VERSION, [msgspec.structs.astuple(each) for each in change.versions])
            if change.drop_below:
                await transaction.run(_DROP, path, change.drop_below)
            await transaction.record(change.entry)
            return change.answer

        return await self._database.transact(work)


def _version(row: tuple[object, ...] | None) -> SecretVersion | None:
    return None if row is None or row[0] is None else SecretVersion(*row)  # type: ignore[arg-type]


async def _state(transaction: Transaction, path: str, versions: Sequence[int]) -> SecretState | None:
    head = await transaction.one(_HEAD_OF, path)
    if head is None:
        return None
    rows = [await transaction.one(_VERSION_OF, path, version) for version in versions]
    found = [each for each in map(_version, rows) if each is not None]
    return SecretState(SecretHead(*head), {each.version: each for each in found})  # type: ignore[arg-type]

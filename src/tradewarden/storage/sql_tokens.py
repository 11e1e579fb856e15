"""Tokens in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from tradewarden.tokens.store import (
    FamilyRow,
    RefreshRow,
    Row,
    SigningKeyRow,
    SubjectRow,
    TokenChange,
    TokenRow,
    TokenState,
    Wanted,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.storage.database import Database, Transaction

T = TypeVar("T")
R = TypeVar("R", TokenRow, SubjectRow, FamilyRow, RefreshRow)

_KEYS: dict[type[Row], str] = {
    TokenRow: "digest",
    SubjectRow: "subject",
    FamilyRow: "family",
    RefreshRow: "digest",
    SigningKeyRow: "kid",
}


def _select(kind: type[Row], rest: str) -> str:
    return f"SELECT {', '.join(kind.__struct_fields__)} FROM {kind.table} {rest}"  # noqa: S608


def _put(kind: type[Row]) -> str:
    columns = kind.__struct_fields__
    key = _KEYS[kind]
    updates = ", ".join(f"{each} = excluded.{each}" for each in columns if each != key)
    return (
        f"INSERT INTO {kind.table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
        f" ON CONFLICT ({key}) DO UPDATE SET {updates}"
    )


_BY_KEY = {kind: _select(kind, f"WHERE {key} = ?") for kind, key in _KEYS.items()}
_PUT = {kind: _put(kind) for kind in _KEYS}
_BY_JTI = _select(TokenRow, "WHERE jti = ?")
_ALL_KEYS = _select(SigningKeyRow, "ORDER BY kind, version")
_PAGE = _select(TokenRow, "WHERE jti > ? ORDER BY jti LIMIT ?")
_PAGE_OF = _select(TokenRow, "WHERE subject = ? AND jti > ? ORDER BY jti LIMIT ?")
_ACTIVE = (
    "SELECT count(*) FROM tokens t LEFT JOIN token_subjects s ON s.subject = t.subject"
    " LEFT JOIN token_families f ON f.family = t.family WHERE t.expires_at > ? AND t.revoked_at = 0"
    " AND t.generation = coalesce(s.generation, 0)"
    " AND (t.family = '' OR coalesce(f.ended_at, 1) = 0)"
)
_SWEEP_TOKENS = "DELETE FROM tokens WHERE digest IN (SELECT digest FROM tokens WHERE expires_at < ? LIMIT ?)"
_SWEEP_REFRESH = (
    "DELETE FROM refresh_tokens WHERE digest IN (SELECT r.digest FROM refresh_tokens r"
    " JOIN token_families f ON f.family = r.family WHERE f.expires_at < ? LIMIT ?)"
)
_SWEEP_FAMILIES = (
    "DELETE FROM token_families WHERE family IN (SELECT family FROM token_families"
    " WHERE expires_at < ? AND NOT EXISTS (SELECT 1 FROM refresh_tokens r"
    " WHERE r.family = token_families.family) LIMIT ?)"
)
_SWEEP_KEYS = (
    "DELETE FROM signing_keys WHERE retired_at > 0 AND retired_at < ?"
    " AND NOT EXISTS (SELECT 1 FROM tokens t WHERE t.kid = signing_keys.kid)"
)


class SqlTokenStore:
    """A `TokenStore` over any `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, wanted: Wanted) -> TokenState:
        """Return what stands of the wanted rows."""
        return await _load(self._database, wanted)

    async def change(self, wanted: Wanted, decide: Callable[[TokenState], TokenChange[T]]) -> T:
        """Load, decide, write, record, bump; return the answer when it is durable."""

        async def work(transaction: Transaction) -> T:
            change = decide(await _load(transaction, wanted))
            if change.entry:
                for row in change.rows:
                    await transaction.run(_PUT[type(row)], *msgspec.structs.astuple(row))
                await transaction.record(change.entry)
                await transaction.bump(*change.bump)
            return change.answer

        return await self._database.transact(work)

    async def page(self, subject: str, after: str, limit: int) -> list[TokenRow]:
        """Return up to `limit` tokens by `jti`, after `after`; of one subject, or of all."""
        if subject:
            rows = await self._database.all(_PAGE_OF, subject, after, limit)
        else:
            rows = await self._database.all(_PAGE, after, limit)
        return [TokenRow(*row) for row in rows]  # type: ignore[arg-type]

    async def count_active(self, now: int) -> int:
        """Return how many tokens would be accepted at `now`."""
        ((count,),) = await self._database.all(_ACTIVE, now)
        return int(count or 0)

    async def sweep(self, before: int, limit: int) -> int:
        """Forget what ended before `before`."""

        async def work(transaction: Transaction) -> int:
            gone = 0
            for statement in (_SWEEP_TOKENS, _SWEEP_REFRESH, _SWEEP_FAMILIES):
                gone += await transaction.run(statement, before, limit)
            dropped = await transaction.run(_SWEEP_KEYS, before)
            if dropped:
                await transaction.bump("keys")
            return gone + dropped

        return await self._database.transact(work)


async def _load(source: Database | Transaction, wanted: Wanted) -> TokenState:
    token = await _one(source, TokenRow, wanted.token)
    if wanted.jti:
        row = await source.one(_BY_JTI, wanted.jti)
        token = None if row is None else TokenRow(*row)  # type: ignore[arg-type]
    refresh = await _one(source, RefreshRow, wanted.refresh)
    family = await _one(source, FamilyRow, _family_of(token, refresh))
    subject = await _one(source, SubjectRow, _subject_of(wanted, token, family))
    keys = await source.all(_ALL_KEYS) if wanted.keys else []
    return TokenState(token, refresh, family, subject, tuple(SigningKeyRow(*row) for row in keys))  # type: ignore[arg-type]


async def _one(source: Database | Transaction, kind: type[R], key: bytes | str) -> R | None:
    if not key:
        return None
    row = await source.one(_BY_KEY[kind], key)
    return None if row is None else kind(*row)  # type: ignore[arg-type]


def _family_of(token: TokenRow | None, refresh: RefreshRow | None) -> str:
    if token is not None:
        return token.family
    return refresh.family if refresh is not None else ""


def _subject_of(wanted: Wanted, token: TokenRow | None, family: FamilyRow | None) -> str:
    found = token or family
    return wanted.subject or (found.subject if found is not None else "")

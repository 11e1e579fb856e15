"""Tokens in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

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

    from tradewarden.storage.memory import MemoryDatabase

T = TypeVar("T")


class MemoryTokenStore:
    """A `TokenStore` over dictionaries."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._tokens: dict[bytes, TokenRow] = {}
        self._by_jti: dict[str, bytes] = {}
        self._subjects: dict[str, SubjectRow] = {}
        self._families: dict[str, FamilyRow] = {}
        self._refreshes: dict[bytes, RefreshRow] = {}
        self._keys: dict[str, SigningKeyRow] = {}

    async def read(self, wanted: Wanted) -> TokenState:
        """Return what stands of the wanted rows."""
        return self._load(wanted)

    async def change(self, wanted: Wanted, decide: Callable[[TokenState], TokenChange[T]]) -> T:
        """Load, decide, write, record, bump; return the answer."""
        change = decide(self._load(wanted))
        if change.entry:
            for row in change.rows:
                self._put(row)
            self._database.record(change.entry)
            self._database.bump(*change.bump)
        return change.answer

    async def page(self, subject: str, after: str, limit: int) -> list[TokenRow]:
        """Return up to `limit` tokens by `jti`, after `after`; of one subject, or of all."""
        found = [row for row in self._tokens.values() if row.jti > after and (not subject or row.subject == subject)]
        return sorted(found, key=lambda row: row.jti)[:limit]

    async def count_active(self, now: int) -> int:
        """Return how many tokens would be accepted at `now`."""
        return sum(self._is_active(row, now) for row in self._tokens.values())

    async def sweep(self, before: int, limit: int) -> int:
        """Forget what ended before `before`."""
        tokens = [row for row in self._tokens.values() if row.expires_at < before][:limit]
        for token in tokens:
            del self._tokens[token.digest], self._by_jti[token.jti]
        over = {row.family for row in self._families.values() if row.expires_at < before}
        refreshes = [row for row in self._refreshes.values() if row.family in over][:limit]
        for refresh in refreshes:
            del self._refreshes[refresh.digest]
        families = sorted(over - {row.family for row in self._refreshes.values()})[:limit]
        for family in families:
            del self._families[family]
        dropped = self._drop_keys(before)
        return len(tokens) + len(refreshes) + len(families) + dropped

    def _load(self, wanted: Wanted) -> TokenState:
        token = self._tokens.get(self._by_jti.get(wanted.jti, b"") or wanted.token)
        refresh = self._refreshes.get(wanted.refresh)
        line = token.family if token is not None else refresh.family if refresh is not None else ""
        family = self._families.get(line)
        found = token or family
        subject = wanted.subject or (found.subject if found is not None else "")
        keys = sorted(self._keys.values(), key=lambda row: (row.kind, row.version))
        return TokenState(
            token,
            refresh,
            family,
            self._subjects.get(subject),
            tuple(keys) if wanted.keys else (),
        )

    def _put(self, row: Row) -> None:
        match row:
            case TokenRow():
                self._tokens[row.digest] = row
                self._by_jti[row.jti] = row.digest
            case SubjectRow():
                self._subjects[row.subject] = row
            case FamilyRow():
                self._families[row.family] = row
            case RefreshRow():
                self._refreshes[row.digest] = row
            case SigningKeyRow():
                self._keys[row.kid] = row

    def _is_active(self, row: TokenRow, now: int) -> bool:
        subject = self._subjects.get(row.subject)
        family = self._families.get(row.family)
        return (
            row.expires_at > now
            and not row.revoked_at
            and row.generation == (subject.generation if subject else 0)
            and (not row.family or (family is not None and not family.ended_at))
        )

    def _drop_keys(self, before: int) -> int:
        used = {row.kid for row in self._tokens.values()}
        gone = [row.kid for row in self._keys.values() if 0 < row.retired_at < before and row.kid not in used]
        for kid in gone:
            del self._keys[kid]
        if gone:
            self._database.bump("keys")
        return len(gone)

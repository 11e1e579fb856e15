"""Authorities, certificates and CRLs in SQL."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import msgspec

from tradewarden.crypto.keyset import changed_outside
from tradewarden.errors import ConflictError
from tradewarden.pki.store import AuthorityRow, CertificateRow, CrlRow, Role, Standing, Tally, moved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tradewarden.pki.store import CertificateQuery, Revocation
    from tradewarden.storage.database import Database, Transaction

_AUTHORITY = "role, fingerprint, issuer, state, certificate, key, created_at, active_from, ended_at, seal"
_ROW = (
    "serial, service_name, profile, spiffe_id, issuer, fingerprint, certificate, not_before, not_after, issued_at,"
    " issued_by, revocation, revoked_at, reason, incarnation, seal"
)
_CRL = "issuer, shard, number, revocation, this_update, next_update, list_index, crl, seal"
_AUTHORITIES = f"SELECT {_AUTHORITY} FROM authorities ORDER BY role, fingerprint"  # noqa: S608
_PUT_AUTHORITY = (
    f"INSERT INTO authorities ({_AUTHORITY}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
    " ON CONFLICT (role, fingerprint) DO UPDATE SET state = excluded.state, active_from = excluded.active_from,"
    " ended_at = excluded.ended_at, seal = excluded.seal"
)
_ADD = f"INSERT INTO certificates ({_ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_OF = f"SELECT {_ROW} FROM certificates WHERE serial = ?"  # noqa: S608
_PAGE = (
    f"SELECT {_ROW} FROM certificates WHERE not_after >= ? AND not_after < ? AND (not_after, serial) > (?, ?)"  # noqa: S608
    " AND revocation >= ? AND revocation <= ? ORDER BY not_after, serial LIMIT ?"
)
_PAGE_OF_SERVICE = _PAGE.replace("WHERE", "WHERE service_name = ? AND")
_LAST_REVOCATION = "SELECT coalesce(max(revocation), 0) FROM certificates WHERE revocation > 0"
_REVOKE = "UPDATE certificates SET revocation = ?, revoked_at = ?, reason = ?, seal = ? WHERE serial = ?"
_TALLY = (
    "SELECT count(*), coalesce(min(not_after), 0) FROM certificates"
    " WHERE not_after > ? AND revocation = 0 AND service_name <> ?"
)
_ACTIVE = (
    "SELECT issuer, count(*) FROM certificates"
    " WHERE not_after > ? AND revocation = 0 AND service_name <> ? AND issued_at < ? GROUP BY issuer"
)
_LAST_END = "SELECT not_after FROM certificates WHERE issuer = ? AND profile <> ? ORDER BY not_after DESC LIMIT 1"
# `revocation > 0` is what lets the planner take the partial index.
_REVOCATIONS = (
    f"SELECT {_ROW} FROM certificates"  # noqa: S608
    " WHERE revocation > 0 AND revocation > ? AND issuer = ? ORDER BY revocation LIMIT ?"
)
_CRL_OF = f"SELECT {_CRL} FROM crls WHERE issuer = ? AND shard = ? AND number > ?"  # noqa: S608
_PUBLISH = (
    f"INSERT INTO crls ({_CRL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (issuer, shard) DO UPDATE SET"  # noqa: S608
    " number = excluded.number, revocation = excluded.revocation, this_update = excluded.this_update,"
    " next_update = excluded.next_update, list_index = excluded.list_index, crl = excluded.crl, seal = excluded.seal"
    " WHERE crls.number < excluded.number"
)
_MOST = 1 << 62


class SqlPkiStore:
    """A `PkiStore` over any `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: CertificateRow, entry: bytes) -> None:
        """Write a new certificate and its audit entry."""
        await self._database.make(_add, (row, entry))

    async def find(self, serial: str) -> CertificateRow | None:
        """Return one certificate."""
        return _certificate(await self._database.one(_OF, serial))

    async def page(self, query: CertificateQuery) -> list[CertificateRow]:
        """Return up to `query.limit` certificates in the order of (end, serial)."""
        least, most = (1 if query.revoked else 0), (0 if query.revoked is False else _MOST)
        bounds = (query.ends_from, query.ends_before, *query.after, least, most, query.limit)
        if query.service_name:
            rows = await self._database.all(_PAGE_OF_SERVICE, query.service_name, *bounds)
        else:
            rows = await self._database.all(_PAGE, *bounds)
        return [CertificateRow(*row) for row in rows]  # type: ignore[arg-type]

    async def revoke(self, serial: str, decide: Callable[[CertificateRow | None, int], Revocation]) -> CertificateRow:
        """Load, decide, write, record and bump in one transaction."""

        async def work(transaction: Transaction) -> CertificateRow:
            found = _certificate(await transaction.one(_OF, serial))
            last = await transaction.one(_LAST_REVOCATION)
            revocation = decide(found, int(last[0]) if last else 0)  # type: ignore[arg-type]
            row = revocation.row
            if revocation.changed:
                await transaction.run(_REVOKE, row.revocation, row.revoked_at, row.reason, row.seal, row.serial)
                await transaction.bump("certificates")
            await transaction.record(revocation.entry)
            return row

        return await self._database.transact(work)

    async def tally(self, now: float, without: str, revoked: Sequence[str] = ()) -> Tally:
        """Count what is valid now, one name and some issuers left out."""
        others = f" AND issuer NOT IN ({', '.join('?' * len(revoked))})" if revoked else ""
        (row,) = await self._database.all(_TALLY + others, now, without, *revoked)
        return Tally(*row)  # type: ignore[arg-type]

    async def last_end(self, issuer: str, without: str) -> int:
        """Return when the last certificate of a CA ends, one profile left out."""
        rows = await self._database.all(_LAST_END, issuer, without)
        return int(rows[0][0]) if rows else 0  # type: ignore[arg-type]

    async def active(self, now: float, without: str, issued_before: float = inf) -> dict[str, int]:
        """Return how many certificates of each CA are valid now; one name, and those issued since, left out."""
        rows = await self._database.all(_ACTIVE, now, without, min(issued_before, _MOST))
        return {str(issuer): int(count) for issuer, count in rows}  # type: ignore[arg-type]

    async def authorities(self) -> list[AuthorityRow]:
        """Return the CAs that are ours."""
        return [_authority(row) for row in await self._database.all(_AUTHORITIES)]

    async def change_authorities(
        self, seen: Sequence[AuthorityRow], rows: Sequence[AuthorityRow], entry: bytes
    ) -> None:
        """Write rows and entry and bump, in one transaction, when what stands is what was seen."""

        async def work(transaction: Transaction) -> None:
            if [_authority(row) for row in await transaction.all(_AUTHORITIES)] != list(seen):
                raise ConflictError("The certificate authorities were changed meanwhile; look at them and try again")
            await transaction.run_many(_PUT_AUTHORITY, [msgspec.structs.astuple(row) for row in rows])
            if entry:
                await transaction.record(entry)
            await transaction.bump(*moved(rows))

        await self._database.transact(work)

    async def revocations(self, issuer: str, after: int, limit: int) -> list[CertificateRow]:
        """Return revoked certificates of one issuer after a number, in its order."""
        rows = await self._database.all(_REVOCATIONS, after, issuer, limit)
        return [CertificateRow(*row) for row in rows]  # type: ignore[arg-type]

    async def crl(self, issuer: str, shard: int = -1, above: int = 0) -> CrlRow | None:
        """Return the CRL that stands, when its number is higher than `above`."""
        rows = await self._database.all(_CRL_OF, issuer, shard, above)
        return CrlRow(*rows[0]) if rows else None  # type: ignore[arg-type]

    async def publish(self, row: CrlRow) -> bool:
        """Let a CRL stand when its number is higher; tell whether it does."""

        async def work(transaction: Transaction) -> bool:
            return await transaction.run(_PUBLISH, *msgspec.structs.astuple(row)) > 0

        return await self._database.transact(work)

    async def revision(self) -> int:
        """Return the counter that moves with every revocation."""
        return (await self._database.revisions()).certificates


async def _add(transaction: Transaction, new: Sequence[tuple[CertificateRow, bytes]]) -> list[None]:
    """Write new certificates together with their audit entries."""
    await transaction.run_many(_ADD, [msgspec.structs.astuple(row) for row, _ in new])
    await transaction.record(*[entry for _, entry in new])
    return [None] * len(new)


def _certificate(row: tuple[object, ...] | None) -> CertificateRow | None:
    return None if row is None else CertificateRow(*row)  # type: ignore[arg-type]


def _authority(row: tuple[object, ...]) -> AuthorityRow:
    """Return a row of `authorities`; raises `IntegrityError` for a role or state that there is not."""
    role, fingerprint, issuer, state, *rest = row
    try:
        return AuthorityRow(Role(role), fingerprint, issuer, Standing(state), *rest)  # type: ignore[arg-type]
    except ValueError as error:
        raise changed_outside(AuthorityRow.table, "no such role or state") from error

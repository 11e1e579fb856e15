"""Reads accounts and external account keys, and says whether they are still good for anything.

Always true here: a row's seal is checked before it counts, and neither outlives the registration of its service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.acme.problem import AcmeProofError, Kind
from tradewarden.errors import IntegrityError

if TYPE_CHECKING:
    from tradewarden.acme.ports import Register
    from tradewarden.acme.store import AccountRow, AcmeStore, KeyRow
    from tradewarden.clock import Clock
    from tradewarden.crypto.keyset import Sealer

VALID, DEACTIVATED, REVOKED = "valid", "deactivated", "revoked"
"""States of an account; the second is its own doing, the third an administrator's."""


class Standing:
    """Who stands for an account key, as of now."""

    def __init__(self, store: AcmeStore, sealer: Sealer, register: Register, clock: Clock) -> None:
        self._store = store
        self._sealer = sealer
        self._register = register
        self._clock = clock

    async def account(self, account_id: str) -> AccountRow:
        """Return an account that may act; raises `AcmeProofError`."""
        row = await self._store.account(account_id)
        if row is None or self._sealer.check(row).id != account_id:
            raise AcmeProofError(Kind.ACCOUNT_DOES_NOT_EXIST, "There is no such account")
        await self.require_good(row)
        return row

    async def holder(self, thumbprint: str) -> AccountRow | None:
        """Return the account of a key, whatever its state; None when the key has none."""
        row = await self._store.holder(thumbprint)
        if row is not None and self._sealer.check(row).thumbprint != thumbprint:
            raise IntegrityError("An account's row stands under another key")
        return row

    async def require_good(self, row: AccountRow) -> None:
        """Raise `AcmeProofError` for an account that was ended, or whose service is gone."""
        if row.status != VALID:
            raise _ended(f"The account is {row.status}")
        await self._require_registered(row.service_name, row.incarnation)

    async def key(self, key_id: str) -> KeyRow:
        """Return an external account key that no account was opened with yet; raises `AcmeProofError`."""
        row = await self._store.key(key_id)
        if row is None or self._sealer.check(row).id != key_id:
            raise _ended("The external account key is not good", "no such external account key")
        self.require_unused(row)
        await self._require_registered(row.service_name, row.incarnation)
        return row

    async def key_of(self, account: AccountRow) -> KeyRow:
        """Return the external account key that an account was opened with, whatever became of it."""
        row = await self._store.key(account.key_id)
        if row is None or self._sealer.check(row).id != account.key_id:
            raise IntegrityError("An account's external account key is gone", reason=f"key of {account.id}")
        return row

    def require_unused(self, row: KeyRow) -> None:
        """Raise `AcmeProofError` for an external account key that was used, or has ended."""
        if row.account or row.expires_at <= self._clock.now():
            why = "was used" if row.account else "has ended"
            raise _ended("The external account key is not good", f"the external account key {why}")

    async def _require_registered(self, service: str, incarnation: str) -> None:
        found = await self._register.registered(service)
        if found is None or found.incarnation != incarnation:
            raise _ended(f"The service {service!r} is not registered any more")


def _ended(detail: str, reason: str = "") -> AcmeProofError:
    return AcmeProofError(Kind.UNAUTHORIZED, detail, reason=reason)

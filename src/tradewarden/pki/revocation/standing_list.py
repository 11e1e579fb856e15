"""Lists that are not made when they are asked for: a root's, and those of CAs whose keys are not held in memory.

A root's list says which CAs below it are revoked. It needs the root's key, which may be offline. So it is made whenever
that key is there anyway (the first start, a rotation), and lives as long as the root itself: it never lapses for want
of the key. Other lists of a CA without a key are served for as long as they last.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from tradewarden.errors import NotFoundError, UnavailableError
from tradewarden.pki.revocation.crl import crl_of, this_update_after
from tradewarden.pki.revocation.crl_encoding import entry_der
from tradewarden.pki.revocation.crl_entries import WHOLE
from tradewarden.pki.revocation.crl_signing import Contents, signed
from tradewarden.pki.store import CrlRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.clock import Clock
    from tradewarden.crypto.keyset import Sealer
    from tradewarden.pki.certificate.issuer import Issuer
    from tradewarden.pki.credentials import Reason
    from tradewarden.pki.revocation.crl import Crl
    from tradewarden.pki.store import AuthorityStore

_TRIES = 5


class RevokedCa(NamedTuple):
    """A CA certificate that counts for nothing any more: its serial number, since when (seconds), and why."""

    serial: int
    at: int
    reason: Reason


class StandingList:
    """The lists of one CA, by its fingerprint, as they stand in the database."""

    def __init__(self, store: AuthorityStore, sealer: Sealer, issuer: str, clock: Clock) -> None:
        self._store = store
        self._sealer = sealer
        self._issuer = issuer
        self._clock = clock
        self._held: dict[int, CrlRow] = {}

    async def current(self, shard: int = WHOLE) -> Crl:
        """Return the list that stands; raises `NotFoundError`, `UnavailableError` when its time is over."""
        row = await self._row(shard)
        if row is None:
            raise NotFoundError("There is no such revocation list")
        if not row.this_update <= self._clock.now() < row.next_update:
            raise UnavailableError("This revocation list is past its time, and its CA's key is not here")
        return crl_of(row)

    async def lasts(self, seconds: float) -> bool:
        """Tell whether the complete list stands for so long at least."""
        row = await self._row(WHOLE)
        now = self._clock.now()
        return row is not None and row.this_update <= now and now + seconds < row.next_update

    async def _row(self, shard: int) -> CrlRow | None:
        held = self._held.get(shard)
        row = await self._store.crl(self._issuer, shard, held.number if held else 0)
        if row is None:
            return held
        self._held[shard] = await asyncio.to_thread(self._sealer.check, row)
        return row

    async def knows(self, revoked: Sequence[RevokedCa]) -> bool:
        """Tell whether a root's list stands and names all of these."""
        row = await self._row(WHOLE)
        return row is not None and row.revocation >= len(revoked)

    async def publish(self, root: Issuer, revoked: Sequence[RevokedCa]) -> None:
        """Sign a root's next list, about all of its CAs that were ever revoked, and let it stand.

        Raises `UnavailableError` when the key cannot be used, or other processes were faster again and again.
        """
        for _ in range(_TRIES):
            row = await asyncio.to_thread(_root_row, root, await self._row(WHOLE), revoked, int(self._clock.now()))
            if await self._store.publish(self._sealer.seal(row)):
                return
        raise UnavailableError("The root's revocation list cannot be made now; try again later")


def _root_row(root: Issuer, last: CrlRow | None, revoked: Sequence[RevokedCa], now: int) -> CrlRow:
    number = last.number + 1 if last else 1
    this_update = this_update_after(now, last)
    entries = [entry_der(each.serial, each.at, each.reason) for each in revoked]
    crl = signed(root, Contents(number, this_update, root.ends, entries))
    return CrlRow(root.fingerprint, WHOLE, number, len(revoked), this_update, root.ends, b"", crl)

"""Retired CAs whose key is not here: which they are, until when their lists stand, and what an operator can do.

Their certificates go on; what ends is that others can check them. A list is renewed by its CA's key alone, so without
it the last one lapses, and OCSP answers `tryLater`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tradewarden.pki.cas.ending import minute
from tradewarden.pki.certificate.profiles import OCSP
from tradewarden.pki.revocation.crl_entries import SHARDS, WHOLE
from tradewarden.pki.store import Standing

if TYPE_CHECKING:
    from tradewarden.pki.cas.authorities import Authorities, Ca
    from tradewarden.pki.cas.custody import Custody

_LISTS: Final = (WHOLE, *range(SHARDS))


class Keyless:
    """Looks at the retired CAs of one installation."""

    def __init__(self, custody: Custody) -> None:
        self._custody = custody
        self._lists: dict[tuple[str, int], tuple[int, int]] = {}
        self._ends: dict[str, int] = {}

    async def warnings(self, known: Authorities, now: float) -> tuple[str, ...]:
        """Return a warning for each retired CA without a key whose certificates are still in their time, in words."""
        found = []
        for ca in await asyncio.to_thread(self._away, known, now):
            last = await self._last_certificate(ca)
            if last > now:
                found.append(self._warning(ca, await self._list_end(ca.fingerprint), last, now))
        return tuple(found)

    def _away(self, known: Authorities, now: float) -> list[Ca]:
        retired = [ca for ca in known.met(now) if ca.row.state is Standing.RETIRED]
        return [ca for ca in retired if ca.linked is None or not self._custody.is_here(ca)]

    async def _last_certificate(self, ca: Ca) -> int:
        """Return when the last of its certificates ends; a retired CA makes no more, but those for OCSP."""
        if ca.fingerprint not in self._ends:
            self._ends[ca.fingerprint] = await self._custody.store.last_end(ca.fingerprint, OCSP.name)
        return self._ends[ca.fingerprint]

    async def _list_end(self, fingerprint: str) -> int:
        """Return when the first of a CA's lists ends, seconds since the epoch; 0 when there is none."""
        ends = [await self._end_of(fingerprint, shard) for shard in _LISTS]
        return min(filter(None, ends), default=0)

    async def _end_of(self, fingerprint: str, shard: int) -> int:
        number, end = self._lists.get((fingerprint, shard), (0, 0))
        row = await self._custody.store.crl(fingerprint, shard, number)
        if row is not None:
            await asyncio.to_thread(self._custody.sealer.check, row)
            self._lists[fingerprint, shard] = row.number, row.next_update
            end = row.next_update
        return end

    def _warning(self, ca: Ca, list_end: int, last: int, now: float) -> str:
        stands = f"stands until {minute(list_end)}" if list_end > now else f"ended at {minute(list_end)}"
        lists = f"its revocation list {stands}" if list_end else "it has no revocation list"
        place = self._custody.missing(ca)
        here = self._custody.is_here(ca)
        back = f"{place} is tried every five minutes, see the log" if here else f"bring {place} back"
        return (
            f"ca: the key of the retired {ca.certificate.subject.rfc4514_string()} is not here; {lists}, its last"
            f" certificate until {minute(last)}; {back}, or renew what was issued before {minute(ca.row.ended_at)}"
        )

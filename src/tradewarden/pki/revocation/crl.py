"""The CRLs of an issuing CA (RFC 5280 section 5): one complete list, and one for each shard of the serial numbers.

Numbered, served from memory, made anew when a revocation came or at half their life. Certificates point to their shard.

Always true here:
- A list is served only after its number and bytes stand in the database, so that two processes never show different
  lists under one number.
- It knows every revocation that was committed before it was asked for; when it cannot be signed, none is given.
- What was revoked stays on the lists until it was on one that was made after the certificate's end (section 3.3).

A process that has just started serves what stands. It takes over the entries, from the complete list that stands and
what came since, when it has to make a list for the first time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from msgspec.structs import replace

from tradewarden.errors import ConfigurationError, NotFoundError, UnavailableError
from tradewarden.pki.certificate.issuer import BACKDATED_SECONDS
from tradewarden.pki.certificate.profiles import extension
from tradewarden.pki.credentials import Reason
from tradewarden.pki.revocation.crl_encoding import entries_of, entry_der
from tradewarden.pki.revocation.crl_entries import SHARDS, WHOLE, Entries, Entry
from tradewarden.pki.revocation.crl_signing import Contents, signed
from tradewarden.pki.store import CrlRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.clock import Clock
    from tradewarden.crypto.keyset import Sealer
    from tradewarden.pki.certificate.issuer import Issuer
    from tradewarden.pki.certificate.pointers import Pointers
    from tradewarden.pki.certificate.profiles import Extension
    from tradewarden.pki.store import AuthorityStore, CertificateRow

_PAGE = 500
_TRIES = 5


class Crl(NamedTuple):
    """A list as it is served: DER, number, and its times in seconds since the epoch."""

    der: bytes
    number: int
    this_update: int
    next_update: int
    tag: str
    """Names this list and no other, for caches."""


def crl_of(row: CrlRow) -> Crl:
    """Return a row as it is served."""
    tag = f"{row.issuer[:16]}-{row.shard}-{row.number}"
    return Crl(row.crl, row.number, row.this_update, row.next_update, tag)


class _Served(NamedTuple):
    """A row, and the revision of the certificates up to which it is known to be the one."""

    row: CrlRow
    revision: int
    crl: Crl


class RevocationList:
    """The CRLs of one issuing CA, as this process serves them. `hours` is how long one lives.

    `pointers` are those of its certificates; without them there are no shards. `forerunner` is the fingerprint of the
    certificate under which the same CA, by name and key, was announced: its list goes on here, numbers and all.
    """

    def __init__(
        self,
        store: AuthorityStore,
        sealer: Sealer,
        issuer: Issuer,
        clock: Clock,
        hours: int,
        pointers: Pointers | None = None,
        forerunner: str = "",
    ) -> None:
        self._store = store
        self._sealer = sealer
        self.issuer = issuer
        self._clock = clock
        self._life = hours * 3600
        self._pointers = pointers
        self._forerunner = forerunner
        self._lock = asyncio.Lock()
        self._entries: Entries | None = None
        self._served: dict[int, _Served] = {}

    async def current(self, shard: int = WHOLE) -> Crl:
        """Return a list that knows every revocation committed before this call.

        Raises `NotFoundError` for a shard that there is none of, `UnavailableError` when a list is needed and cannot be
        signed or kept, `IntegrityError` for a row that was changed outside.
        """
        served = self._served.get(shard)
        if served is not None and served.revision == await self._store.revision() and self._young(served.row):
            return served.crl
        if shard != WHOLE and (self._pointers is None or not 0 <= shard < SHARDS):
            raise NotFoundError("There is no such revocation list")
        async with self._lock:
            return await self._renewed(shard)

    def held(self) -> Crl | None:
        """Return the complete list that this process gave last, however old."""
        served = self._served.get(WHOLE)
        return served.crl if served else None

    async def renew(self) -> Crl:
        """Make those lists anew that stand in the second half of their life; return the complete one."""
        for shard in range(SHARDS) if self._pointers else ():
            if shard in self._served or await self._latest(shard) is not None:
                await self.current(shard)
        return await self.current()

    # -- which list ----------------------------------------------------------------------------

    async def _renewed(self, shard: int) -> Crl:
        for _ in range(_TRIES):
            revision = await self._store.revision()
            last = await self._latest(shard)
            own = last is not None and last.issuer == self.issuer.fingerprint
            if last is not None and own and self._young(last) and not await self._behind(last):
                return self._serve(last, revision)
            row = await self._made(shard, last)
            if row is last or await self._store.publish(row):
                return self._serve(replace(row, index=b""), revision)
            # Another process was first; look at what it published.
        raise UnavailableError("The CRL cannot be made now; try again later", reason="other processes were faster")

    def _serve(self, row: CrlRow, revision: int) -> Crl:
        served = _Served(row, revision, crl_of(row))
        self._served[row.shard] = served
        return served.crl

    async def _latest(self, shard: int) -> CrlRow | None:
        """Return the list that stands, read only when it is newer than the one that is held."""
        held = self._served[shard].row if shard in self._served else None
        row = await self._store.crl(self.issuer.fingerprint, shard, held.number if held else 0)
        if row is None and held is None and self._forerunner:
            row = await self._store.crl(self._forerunner, shard)
        if row is None:
            return held
        return await asyncio.to_thread(self._sealer.check, row)

    async def _behind(self, row: CrlRow) -> bool:
        """Tell whether there are revocations for this list that it does not know."""
        if self._entries is None:
            if not await self._store.revocations(self.issuer.fingerprint, row.revocation, 1):
                return False
            self._entries = await self._taken_over()
        await self._learn(self._entries)
        return row.revocation < self._entries.last(row.shard)

    def _young(self, row: CrlRow) -> bool:
        """Tell whether a list is in the first half of its life, and not from the future (a clock that was set back)."""
        now = self._clock.now()
        return row.this_update <= now < row.next_update - self._life / 2

    # -- the entries ---------------------------------------------------------------------------

    async def _taken_over(self) -> Entries:
        """Return the entries of the complete list that stands; none when there is none."""
        row = await self._store.crl(self.issuer.fingerprint)
        return Entries() if row is None else await asyncio.to_thread(self._restored, row)

    def _restored(self, row: CrlRow) -> Entries:
        self._sealer.check(row)
        return Entries.restored(row.index, entries_of(row.crl), row.revocation) or Entries()

    async def _learn(self, entries: Entries) -> None:
        """Take in the revocations that came since the last time."""
        while rows := await self._store.revocations(self.issuer.fingerprint, entries.known, _PAGE):
            await asyncio.to_thread(self._take_in, entries, rows)

    def _take_in(self, entries: Entries, rows: Sequence[CertificateRow]) -> None:
        for row in rows:
            entries.add(self._entry(row))

    def _entry(self, row: CertificateRow) -> Entry:
        self._sealer.check(row)
        serial = int(row.serial, 16)
        der = entry_der(serial, int(row.revoked_at), Reason(row.reason))
        return Entry(serial, row.revocation, row.not_after, der)

    # -- making a list -------------------------------------------------------------------------

    async def _made(self, shard: int, last: CrlRow | None) -> CrlRow:
        """Return the next list, or the last one when the key is away and that one still tells the truth."""
        now = int(self._clock.now())
        this_update = this_update_after(now, last)
        since = self._since(shard, this_update, last)
        if self._entries is None:
            self._entries = await self._taken_over()
        if since < self._entries.floor:  # the clock was set back, or nobody made lists for long
            self._entries = Entries()
        entries = self._entries
        await self._learn(entries)
        try:
            return await asyncio.to_thread(self._build, entries, shard, last, (this_update, now + self._life, since))
        except (ConfigurationError, UnavailableError) as error:  # a token that is away, or does not let us in
            truthful = last is not None and last.revocation >= entries.last(shard)
            if last is not None and truthful and last.this_update <= now < last.next_update:
                return last
            if isinstance(error, UnavailableError):
                raise
            raise UnavailableError("The CRL cannot be signed now; look at the log", reason=error.reason) from error

    def _since(self, shard: int, this_update: int, last: CrlRow | None) -> int:
        """Return from which end on certificates are listed: those that no list was made after (RFC 5280 3.3).

        The complete list keeps them a life longer, so that a shard that is made later finds its entries there.
        """
        before = this_update if last is None else min(last.this_update, this_update)
        return min(before, this_update - self._life) if shard == WHOLE else before

    def _build(self, entries: Entries, shard: int, last: CrlRow | None, times: tuple[int, int, int]) -> CrlRow:
        """Sign the next list."""
        this_update, next_update, since = times
        if shard == WHOLE:
            entries.forget(since)
        number = last.number + 1 if last else 1
        listed = entries.since(shard, since)
        crl = signed(self.issuer, Contents(number, this_update, next_update, listed, self._scope(shard)))
        index = entries.index() if shard == WHOLE else b""
        known = entries.known
        return self._sealer.seal(
            CrlRow(self.issuer.fingerprint, shard, number, known, this_update, next_update, index, crl)
        )

    def _scope(self, shard: int) -> Sequence[Extension]:
        """Return what a shard says about which certificates it is for; a complete list says nothing (5.2.5)."""
        if shard == WHOLE or self._pointers is None:
            return ()
        place = [x509.UniformResourceIdentifier(self._pointers.crl_url(shard))]
        scope = x509.IssuingDistributionPoint(
            place, None, only_contains_user_certs=False, only_contains_ca_certs=False, only_some_reasons=None,
            indirect_crl=False, only_contains_attribute_certs=False,
        )  # fmt: skip
        return (extension(scope, critical=True),)


def this_update_after(now: int, last: CrlRow | None) -> int:
    """Return a time up to now and after the last list's (OpenSSL keeps the older of two equal ones).

    A last list from the future was made while the clock was ahead; nobody can use it, so it does not count.
    """
    if last is None or last.this_update > now:
        return now - BACKDATED_SECONDS
    return min(max(now - BACKDATED_SECONDS, last.this_update + 1), now)

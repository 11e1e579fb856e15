"""The clerk: ships, numbers and signs, in a process of its own beside the workers.

Always true here: shipping needs no lead; numbering and signing are done by one clerk at a time, whose
epoch every transaction of that work checks. A clerk whose lead is lost stops writing and asks again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from tradewarden.audit.sequencer import number
from tradewarden.errors import AuditUnavailableError, ConflictError, TradewardenError

if TYPE_CHECKING:
    from tradewarden.audit.checkpoint import Checkpoint
    from tradewarden.audit.checkpointing import Checkpointer
    from tradewarden.audit.seal import InboxSeal
    from tradewarden.audit.shipping import Shipper
    from tradewarden.audit.store import AuditStore, Leader
    from tradewarden.clock import Clock, Randomness

LEASE_SECONDS = 4.0
CHUNK_ENTRIES = 1024
_CHUNKS_A_ROUND = 128
_MOMENT_SECONDS = 0.05
_FINISH_SECONDS = 3.0  # less than the supervisor waits


class Progress(msgspec.Struct, frozen=True):
    """What one round did. `faults` are texts for the log and for readiness; empty when all went well."""

    shipped: int = 0
    numbered: int = 0
    checkpoint: Checkpoint | None = None
    leads: bool = False
    faults: tuple[str, ...] = ()


class Lag(msgspec.Struct, frozen=True):
    """How far the log is behind: bytes in journals, entries without number, age of the oldest in seconds."""

    unshipped_bytes: int
    unnumbered: int
    oldest_seconds: float


class Clerk:
    """Does the audit room's background work."""

    def __init__(
        self,
        store: AuditStore,
        shipper: Shipper,
        checkpointer: Checkpointer,
        seal: InboxSeal,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._shipper = shipper
        self._checkpointer = checkpointer
        self._seal = seal
        self._clock = clock
        self._holder = randomness(16).hex()
        self._leader: Leader | None = None
        self._idle_since = clock.monotonic()
        self._turn = asyncio.Lock()

    @property
    def leads(self) -> bool:
        """Whether this clerk has the lead, as far as it knows."""
        return self._leader is not None

    async def finish(self) -> None:
        """Do the last rounds, so that what was answered is in the log, and give the lead up.

        They end when nothing is left, a step fails or some seconds are over; what is left waits for the next clerk.
        """
        async with self._turn:  # to the end: who settles meanwhile reads journals that this would close
            until = self._clock.monotonic() + _FINISH_SECONDS
            while not (await self._round(last=True)).faults and await self._is_left():
                if self._clock.monotonic() > until:
                    break
                await asyncio.sleep(_MOMENT_SECONDS)
            await self.resign()
            self._shipper.close()

    async def run_once(self, *, last: bool = False) -> Progress:
        """Ship, number, sign. What fails becomes a fault; the other steps are still tried.

        The `last` round signs what it numbered, however short a time ago the last checkpoint was.
        """
        async with self._turn:
            return await self._round(last=last)

    async def settle(self, seconds: float = 10.0) -> None:
        """Return once all that was answered before this call has its number, whichever clerk gives it.

        Raises `AuditUnavailableError` when that takes longer, and what keeps a journal from being shipped.
        """
        async with self._turn:
            led, until = self._leader is not None, self._clock.monotonic() + seconds
            try:
                await self._ship_all(until)
                size = (await self._store.backlog()).entries + await self._store.size()
                while await self._store.size() < size and (await self._store.backlog()).entries:
                    self._require_time(until)
                    await self._help()
            finally:
                if not led:
                    self._shipper.close()
                    await self.resign()

    async def _ship_all(self, until: float) -> None:
        """Ship until the end of every journal was seen; another shipper may have been faster in between."""
        await self._shipper.run_once()
        while not self._shipper.caught_up:
            self._require_time(until)
            await asyncio.sleep(_MOMENT_SECONDS)
            await self._shipper.run_once()

    def _require_time(self, until: float) -> None:
        if self._clock.monotonic() > until:
            raise AuditUnavailableError("The audit log falls behind; try again when it has caught up")

    async def _is_left(self) -> bool:
        """Tell whether something that this clerk has to do is left after a round without faults."""
        if not self._shipper.caught_up:
            return True
        try:
            return self._leader is not None and (await self._store.backlog()).entries > 0
        except TradewardenError:
            return False

    async def _help(self) -> None:
        """Number what waits if nobody else leads; else give whoever does a moment."""
        try:
            leader = await self._lead()
            if leader is not None:
                await self._number(leader)
                return
        except ConflictError:
            self._leader = None
        await asyncio.sleep(_MOMENT_SECONDS)

    async def _round(self, *, last: bool) -> Progress:
        faults: list[str] = []
        shipped = numbered = 0
        checkpoint = None
        try:
            shipped = await self._shipper.run_once()
        except (TradewardenError, OSError) as error:
            faults.append(_text(error))
        try:
            leader = await self._lead()
            if leader is not None:
                numbered = await self._number(leader)
                checkpoint = await self._checkpointer.run_once(leader, at_once=last)
        except ConflictError as error:
            self._leader = None
            faults.append(_text(error))
        except (TradewardenError, OSError) as error:
            faults.append(_text(error))
        return Progress(shipped, numbered, checkpoint, self._leader is not None, tuple(faults))

    async def resign(self) -> None:
        """Give the lead up, so that the next clerk need not wait for its end."""
        if self._leader is not None:
            self._leader = None
            with suppress(TradewardenError):
                await self._store.lead(self._holder, self._clock.now() - LEASE_SECONDS, LEASE_SECONDS)

    async def lag(self) -> Lag:
        """Return how far the log is behind."""
        backlog = await self._store.backlog()
        unshipped = self._shipper.unshipped()
        now = self._clock.monotonic()
        if not backlog.entries and not unshipped:
            self._idle_since = now
        return Lag(unshipped, backlog.entries, now - self._idle_since)

    async def _lead(self) -> Leader | None:
        now = self._clock.now()
        leader = self._leader
        if leader is None or leader.expires_at - now < LEASE_SECONDS / 2:
            self._leader = await self._store.lead(self._holder, now, LEASE_SECONDS)
        return self._leader

    async def _number(self, leader: Leader) -> int:
        numbered = 0
        for _ in range(_CHUNKS_A_ROUND):
            pending = await self._store.pending(CHUNK_ENTRIES)
            if not pending.rows:
                break
            numbering = number(pending, self._seal, self._clock.now())
            await self._store.number(leader, numbering)
            numbered += len(numbering.entries)
            if len(numbering.entries) < CHUNK_ENTRIES:
                break  # what came meanwhile waits for the next round: few large transactions, not many small ones
        return numbered


def _text(error: Exception) -> str:
    return getattr(error, "reason", "") or f"{type(error).__name__}: {error}"

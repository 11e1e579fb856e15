"""Background work on orders: challenges are looked at, and what was finalized is issued.

Everything that waits stands in the database with the time at which it is due, so it survives any restart, and every
process may work on it. Whoever takes an order moves its time ahead and raises its epoch in one change; what was found
out is written only while that epoch still stands, so of two workers one is heard.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tradewarden.acme import order as rules
from tradewarden.acme.identifiers import subproblem
from tradewarden.acme.jwk import kept_key
from tradewarden.acme.order import LOOK_SECONDS, Status
from tradewarden.acme.problem import AcmeError, AcmeProofError, Kind
from tradewarden.acme.store import OrderChange, row_digest
from tradewarden.errors import TradewardenError
from tradewarden.log import Log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tradewarden.acme.finalization import Finalizer
    from tradewarden.acme.looks import Looks
    from tradewarden.acme.order import Order
    from tradewarden.acme.problem import Identifier
    from tradewarden.acme.rows import Opened, OrderRows
    from tradewarden.acme.standing import Standing
    from tradewarden.acme.store import AcmeStore, OrderRow
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock

    Entries = Callable[[str, str], Entry]
    """Makes the audit entry of an action on a resource."""

_log = Log("tradewarden.acme")
LEASE: Final = 3 * LOOK_SECONDS
ROUND_SECONDS: Final = 0.25
_AT_ONCE: Final = 16
_SWEEP_SECONDS: Final = 300.0
_KEPT_SECONDS: Final = 30 * 86_400


class Validator:
    """Works on what is due, for any process of an installation."""

    def __init__(
        self,
        store: AcmeStore,
        rows: OrderRows,
        finalizer: Finalizer,
        standing: Standing,
        looks: Callable[[], Looks],
        clock: Clock,
        entries: Entries,
    ) -> None:
        self._store = store
        self._rows = rows
        self._finalizer = finalizer
        self._standing = standing
        self._looks = looks
        self._clock = clock
        self._entries = entries
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._swept = clock.monotonic()

    async def run(self, stop: asyncio.Event, follow: Callable[[], Awaitable[object]]) -> None:
        """Work until `stop` is set; what is under way then is taken up by whoever comes next.

        `follow` takes over what other processes changed (keys, authorities, services) before each round.
        """
        try:
            while not stop.is_set():
                try:
                    await self._round(follow)
                except TradewardenError as error:
                    _log.warning("ACME orders have to wait", reason=error.reason)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), ROUND_SECONDS)
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def _round(self, follow: Callable[[], Awaitable[object]]) -> None:
        if await self._store.due(self._clock.now(), 1):
            await follow()
            await self.start_due()
        await self._sweep()

    async def work_off(self) -> None:
        """Work on all that is due now, and return when it is done."""
        await self.start_due()
        await asyncio.gather(*self._busy.values())

    async def start_due(self) -> None:
        """Start work on orders that are due, a few at a time."""
        free = _AT_ONCE - len(self._busy)
        if free <= 0:
            return
        for order_id in await self._store.due(self._clock.now(), _AT_ONCE):
            if order_id not in self._busy and len(self._busy) < _AT_ONCE:
                task = asyncio.create_task(self._work(order_id))
                self._busy[order_id] = task
                task.add_done_callback(partial(self._done, order_id))

    def _done(self, order_id: str, task: asyncio.Task[None]) -> None:
        del task
        self._busy.pop(order_id, None)

    async def _work(self, order_id: str) -> None:
        try:
            taken = await self._take(order_id)
            if taken is None:
                return
            if taken.status is Status.PROCESSING:
                await self._issue(taken)
            else:
                await self._look(taken)
        except TradewardenError as error:
            _log.warning("an ACME order could not be worked on; it is tried again", order=order_id, reason=error.reason)
        except Exception as error:  # noqa: BLE001  (logged; the order is due again when its lease ends)
            _log.failure("work on an ACME order failed", error, order=order_id)

    async def _take(self, order_id: str) -> Opened | None:
        """Lease an order; None when somebody else was faster, or nothing is left to do."""
        now = self._clock.now()

        def decide(found: OrderRow | None) -> OrderChange[Opened | None]:
            if found is None or not 0 < found.due_at <= now:
                return OrderChange(None)
            opened = self._rows.opened(found)
            over = opened.status not in (Status.PENDING, Status.PROCESSING)
            row = self._rows.sealed(replace(found, due_at=0.0 if over else now + LEASE, epoch=found.epoch + 1))
            return OrderChange(None if over else self._rows.opened(row), row)

        return await self._store.change_order(order_id, decide)

    async def _issue(self, taken: Opened) -> None:
        async with self._entries("issue", f"{taken.row.service_name}/{taken.row.id}") as entry:
            await self._finalizer.issue(taken, entry)

    async def _look(self, taken: Opened) -> None:
        """Look at every challenge of an order that is due, side by side."""
        now = self._clock.now()
        due = [
            (number, challenge.type)
            for number, part in enumerate(taken.order.authorizations)
            for challenge in part.challenges
            if 0 < challenge.due_at <= now
        ]
        await asyncio.gather(*(self._look_at(taken, number, kind) for number, kind in due))

    async def _look_at(self, taken: Opened, number: int, kind: str) -> None:
        part = taken.order.authorizations[number]
        identifier = part.identifier
        async with self._entries("validate", f"{taken.row.service_name}/{identifier.value}") as entry:
            error = await self._found(taken, number, kind)
            now = self._clock.now()
            if error is None:
                await self._note(taken, lambda order: rules.found_valid(order, number, kind, now), entry)
                return
            entry.fail(error)
            wanting = subproblem(error, identifier)
            await self._note(taken, lambda order: rules.found_wanting(order, number, kind, wanting, now), entry)

    async def _found(self, taken: Opened, number: int, kind: str) -> AcmeError | None:
        """Return why a challenge is not met; None when it is."""
        part = taken.order.authorizations[number]
        challenge = next(each for each in part.challenges if each.type == kind)
        try:
            account = await self._standing.account(taken.row.account)
            async with asyncio.timeout(LOOK_SECONDS):
                await self._looks().at(challenge, part.identifier, kept_key(account.jwk).thumbprint)
        except TimeoutError:
            return AcmeError(Kind.CONNECTION, f"{_shown(part.identifier)} does not answer within {LOOK_SECONDS:.0f} s")
        except AcmeProofError as error:
            return AcmeError(error.kind, error.detail, reason=error.reason)
        except AcmeError as error:
            return error
        return None

    async def _note(self, taken: Opened, change: Callable[[Order], Order], entry: Entry) -> None:
        """Write what was found out, unless somebody else took the order meanwhile."""

        def decide(found: OrderRow | None) -> OrderChange[bool]:
            if found is None or found.epoch != taken.row.epoch:
                return OrderChange(answer=False)
            opened = self._rows.opened(found)
            if opened.status is not Status.PENDING:
                return OrderChange(answer=False)
            order = change(opened.order)
            due = order.due_at()
            looking = 0 < due <= self._clock.now()  # at another challenge of this order, under the same lease
            fields = {"due_at": opened.row.due_at} if looking else {}
            row = self._rows.moved(opened.row, order, **fields)
            return OrderChange(answer=True, row=row, entry=entry.draft(row_digest(row)))

        if await self._store.change_order(taken.row.id, decide):
            entry.commit()

    async def _sweep(self) -> None:
        now = self._clock.monotonic()
        if now - self._swept > _SWEEP_SECONDS:
            self._swept = now
            today = int(self._clock.now())
            await self._store.sweep(today, today - _KEPT_SECONDS)


def _shown(identifier: Identifier) -> str:
    return identifier.value[:100]

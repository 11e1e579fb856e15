"""The rows of orders: opened with their seal checked, moved on, and written together with their audit entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from tradewarden.acme import order as rules
from tradewarden.acme.order import Order, Status
from tradewarden.acme.problem import AcmeError, Kind
from tradewarden.acme.store import OrderChange, OrderRow, row_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.access.grant import Grant
    from tradewarden.acme.store import AcmeStore
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock
    from tradewarden.crypto.keyset import Sealer


class Opened(msgspec.Struct, frozen=True):
    """An order's row, checked, with what stands in it, as of now."""

    row: OrderRow
    order: Order
    status: Status


class OrderRows:
    """Opens, seals and writes them, for all who work on orders."""

    def __init__(self, store: AcmeStore, sealer: Sealer, clock: Clock) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock

    def opened(self, row: OrderRow) -> Opened:
        """Return a row, checked, with its state as of now."""
        checked = self._sealer.check(row)
        status = Status(checked.status)
        waits = status in (Status.PENDING, Status.READY)
        late = waits and checked.expires_at <= self._clock.now()
        return Opened(checked, rules.decode(checked.state), Status.INVALID if late else status)

    def owned(self, grant: Grant, row: OrderRow | None) -> Opened:
        """Return a row so when it is of the account that signed the call; raises `AcmeError`."""
        mine = grant.credential.name if grant.credential else ""
        if row is None or self._sealer.check(row).account != mine:
            raise AcmeError(Kind.UNAUTHORIZED, "This account has no such order")
        return self.opened(row)

    def sealed(self, row: OrderRow) -> OrderRow:
        """Return a row with its seal."""
        return self._sealer.seal(row)

    def moved(self, row: OrderRow, order: Order, **fields: object) -> OrderRow:
        """Return a row with another state, sealed; its status follows from the authorizations."""
        status = rules.standing(order, Status(row.status))
        due = order.due_at() if status is Status.PENDING else 0.0
        changed = {"status": status.value, "due_at": due, **fields}
        return self._sealer.seal(replace(row, state=rules.encode(order), **changed))

    async def change(
        self, order_id: str, decide: Callable[[OrderRow | None], Opened | OrderRow], entry: Entry
    ) -> Opened:
        """Write the row that was decided on, its entry with it; an order that was opened stays as it is."""

        def written(found: OrderRow | None) -> OrderChange[tuple[Opened, bool]]:
            after = decide(found)
            if isinstance(after, Opened):
                return OrderChange((after, False))
            return OrderChange((self.opened(after), True), after, entry.draft(row_digest(after)))

        opened, changed = await self._store.change_order(order_id, written)
        if changed:
            entry.commit()
        return opened

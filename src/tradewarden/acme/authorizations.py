"""The authorizations of an order (RFC 8555 section 7.5), as its account answers or gives them up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.acme import order as rules
from tradewarden.acme.accounts import ORDER
from tradewarden.acme.order import Status
from tradewarden.acme.problem import AcmeError, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.access.grant import Grant
    from tradewarden.acme.order import Order
    from tradewarden.acme.rows import Opened, OrderRows
    from tradewarden.acme.store import OrderRow
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock


class Authorizations:
    """What an account does with them; each is one of its order's, by its number."""

    def __init__(self, rows: OrderRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    async def begin(self, grant: Grant, order_id: str, number: int, kind: str, entry: Entry) -> Opened:
        """Let a challenge be looked at, in the background; a second time changes nothing."""
        now = self._clock.now()
        return await self._change(grant, order_id, number, entry, lambda order: rules.begun(order, number, kind, now))

    async def give_up(self, grant: Grant, order_id: str, number: int, entry: Entry) -> Opened:
        """Deactivate an authorization (section 7.5.2)."""
        return await self._change(grant, order_id, number, entry, lambda order: rules.deactivated(order, number))

    async def _change(
        self, grant: Grant, order_id: str, number: int, entry: Entry, change: Callable[[Order], Order]
    ) -> Opened:
        grant.require(ORDER, grant.resource)

        def decide(found: OrderRow | None) -> Opened | OrderRow:
            before = self._rows.owned(grant, found)
            if number >= len(before.order.authorizations):
                raise AcmeError(Kind.MALFORMED, "This order has no such authorization")
            entry.resource = f"{before.row.service_name}/{before.order.authorizations[number].identifier.value}"
            after = change(before.order)
            if after == before.order or before.status is Status.INVALID:
                return before
            return self._rows.moved(before.row, after)

        return await self._rows.change(order_id, decide, entry)

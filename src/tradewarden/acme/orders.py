"""Orders (RFC 8555 section 7.4): asked for, shown, listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tradewarden.access import listing
from tradewarden.access.grant import ANY
from tradewarden.acme import order as rules
from tradewarden.acme.accounts import MAX_PAGE, ORDER, READ, new_id, new_token
from tradewarden.acme.bindings import names_listed
from tradewarden.acme.commands import OrderListed, OrderPage
from tradewarden.acme.identifiers import parts, require_listed, require_none, subproblem, supported
from tradewarden.acme.order import Authorization, Order, Status
from tradewarden.acme.predecessor import predecessor
from tradewarden.acme.problem import PREFIX, AcmeError, Kind, Subproblem
from tradewarden.acme.store import NewOrderRows, OrderRow, ReplacementRow, row_digest
from tradewarden.clock import rfc3339
from tradewarden.errors import ConflictError, InvalidInputError, PermissionDeniedError

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.acme.commands import NewOrder
    from tradewarden.acme.ports import RegistrationAuthority
    from tradewarden.acme.problem import Identifier
    from tradewarden.acme.rows import Opened, OrderRows
    from tradewarden.acme.standing import Standing
    from tradewarden.acme.store import AccountRow, AcmeStore, OrdersFound
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.crypto.keyset import Sealer

MAX_OPEN: Final = 300
"""Most orders of one account that wait for something."""
PAGE: Final = 50


class Orders:
    """The orders of an installation."""

    def __init__(
        self,
        store: AcmeStore,
        rows: OrderRows,
        sealer: Sealer,
        standing: Standing,
        authority: RegistrationAuthority,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._rows = rows
        self._sealer = sealer
        self._standing = standing
        self._authority = authority
        self._clock = clock
        self._randomness = randomness

    # -- asking --------------------------------------------------------------------------------

    async def new(self, grant: Grant, account: AccountRow, command: NewOrder, entry: Entry) -> Opened:
        """Make an order for names that the account's service may have; `AcmeError` tells of all that are refused."""
        grant.require(ORDER, grant.resource)
        if command.not_before or command.not_after:
            raise AcmeError(Kind.MALFORMED, "'notBefore' and 'notAfter' are not taken: the profile says how long")
        identifiers = supported(command.identifiers)
        profile = await self._permitted(account, identifiers)
        replaced = await predecessor(self._authority, command.replaces, account.service_name, identifiers)
        now = self._clock.now()
        if await self._store.open_orders(account.id, int(now)) >= MAX_OPEN:
            raise AcmeError(Kind.RATE_LIMITED, f"{MAX_OPEN} orders of this account are open; finish or wait for those")
        proofs = tuple(Authorization(each, rules.new_challenges(each, self._token)) for each in identifiers)
        row = self._row(account, Order(profile, proofs, replaces=command.replaces or ""), now)
        entry.resource = f"{account.service_name}/{row.id}"
        replacement = self._sealer.seal(ReplacementRow(replaced, row.id)) if replaced else None

        def decide(found: OrdersFound) -> NewOrderRows:
            if found.order is not None:
                raise ConflictError("This order exists already")
            self._require_unreplaced(found)
            digests = [row_digest(each) for each in (row, replacement) if each is not None]
            return NewOrderRows(row, replacement, entry.draft(*digests))

        await self._store.add_order(row.id, replaced, decide)
        entry.commit()
        return self._rows.opened(row)

    def _row(self, account: AccountRow, order: Order, now: float) -> OrderRow:
        return self._rows.sealed(
            OrderRow(
                id=new_id(now, self._randomness),
                account=account.id,
                service_name=account.service_name,
                status=Status.PENDING,
                state=rules.encode(order),
                created_at=int(now),
                expires_at=int(now) + rules.LIFETIME,
            )
        )

    def _require_unreplaced(self, found: OrdersFound) -> None:
        """Raise `AcmeError` when another order has the same predecessor and did not come to nothing."""
        if found.replacement is None:
            return
        self._sealer.check(found.replacement)
        if found.successor is not None and self._rows.opened(found.successor).status is not Status.INVALID:
            text = "The certificate that 'replaces' names is replaced by another order already"
            raise AcmeError(Kind.ALREADY_REPLACED, text)

    def _token(self) -> str:
        return new_token(self._randomness)

    async def _permitted(self, account: AccountRow, identifiers: tuple[Identifier, ...]) -> str:
        """Hold every name against the account's key and the authority's rule; return the profile of the key."""
        key = await self._standing.key_of(account)
        listed = names_listed(key)
        refused: list[Subproblem] = []
        for each in identifiers:
            try:
                require_listed(each, account.service_name, *listed)
                await self._authority.require_orderable(account.service_name, *parts([each]), vouched=any(listed))
            except AcmeError as error:
                refused.append(subproblem(error, each))
            except PermissionDeniedError as error:
                refused.append(Subproblem(PREFIX + Kind.REJECTED_IDENTIFIER, error.detail, each))
        require_none(refused)
        return key.profile

    # -- reading -------------------------------------------------------------------------------

    async def own(self, grant: Grant, order_id: str) -> Opened:
        """Return an order of the account that signed the call; raises `AcmeError`."""
        grant.require(ORDER, grant.resource)
        return self._rows.owned(grant, await self._store.order(order_id))

    async def of(self, grant: Grant, account_id: str, after: str) -> tuple[list[str], str]:
        """Return ids of an account's orders, oldest first, and where the following page starts."""
        grant.require(ORDER, grant.resource)
        rows = await self._store.orders(ANY, account_id, after, PAGE)
        return [self._sealer.check(row).id for row in rows], rows[-1].id if len(rows) == PAGE else ""

    async def list(self, grant: Grant, account: str = "", after: str = "", limit: int = 100) -> OrderPage:
        """Return orders in the order of their ids, those of services that the grant may see."""
        grant.require(READ, ANY)
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"limit must be from 1 to {MAX_PAGE}")
        rows, last = await listing.page(
            listing.names(grant),
            lambda name: self._store.orders(name, account, after, limit),
            lambda row: row.id,
            limit,
        )
        return OrderPage(tuple(_listed(self._rows.opened(row)) for row in rows), "" if last is None else last.id)


def _listed(opened: Opened) -> OrderListed:
    row, order = opened.row, opened.order
    challenges = [each for part in order.authorizations for each in part.challenges]
    errors = [each.error.detail for each in challenges if each.error is not None]
    why = order.error.detail if order.error else (errors or [""])[0]
    names = tuple(each.value for each in order.identifiers())
    times = rfc3339(float(row.created_at)), rfc3339(float(row.expires_at))
    return OrderListed(row.id, row.account, row.service_name, opened.status, names, row.serial, why, *times)

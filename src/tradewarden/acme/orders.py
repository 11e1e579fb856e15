"""Orders (RFC 8555 section 7.4): asked for, proven, finalized, issued.

Always true here: an order becomes one certificate, whatever dies in between. Finalizing first commits the CSR and the
serial number that the certificate will have, together with the state `processing`. Issuing under that number is tried
as often as it takes, by the call itself and by the background: the inventory has one row for a number, so the second
who issues finds the first one's certificate. Only then the order becomes `valid`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from cryptography import x509
from msgspec.structs import replace

from tradewarden.access.grant import ANY, authorize
from tradewarden.acme import order as rules
from tradewarden.acme.accounts import MAX_PAGE, ORDER, READ, new_id, new_token
from tradewarden.acme.bindings import names_listed
from tradewarden.acme.commands import OrderListed, OrderPage
from tradewarden.acme.identifiers import parts, require_listed, require_none, subproblem, supported
from tradewarden.acme.jwk import kept_key
from tradewarden.acme.order import Authorization, Order, Status
from tradewarden.acme.ports import Ordered
from tradewarden.acme.predecessor import predecessor
from tradewarden.acme.problem import PREFIX, AcmeError, Kind, Subproblem
from tradewarden.acme.rights import rights, service_principal
from tradewarden.acme.store import NewOrderRows, OrderChange, OrderRow, ReplacementRow, row_digest
from tradewarden.clock import rfc3339
from tradewarden.crypto.base64url import base64url, unbase64url
from tradewarden.errors import ConflictError, IntegrityError, InvalidInputError, PermissionDeniedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.access.grant import Grant
    from tradewarden.acme.commands import NewOrder
    from tradewarden.acme.ports import CertificateAuthority
    from tradewarden.acme.problem import Identifier
    from tradewarden.acme.store import AccountRow, AcmeStore, OrdersFound
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.crypto.keyset import Sealer

_ISSUE: Final = "credentials:issue"
MAX_OPEN: Final = 300
"""Most orders of one account that wait for something."""
PAGE: Final = 50
MAX_CSR_BYTES: Final = 16 * 1024
_RETRY_SECONDS: Final = 20.0
"""How long after finalizing the background looks whether the certificate came about."""


class Opened(msgspec.Struct, frozen=True):
    """An order's row, checked, with what stands in it, as of now."""

    row: OrderRow
    order: Order
    status: Status


class Orders:
    """The orders of an installation."""

    def __init__(
        self,
        store: AcmeStore,
        sealer: Sealer,
        authority: CertificateAuthority,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._sealer = sealer
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
        order = Order(
            profile,
            tuple(Authorization(each, rules.new_challenges(each, self._token)) for each in identifiers),
            replaces=command.replaces or "",
        )
        row = self._sealer.seal(
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
        return self.opened(row)

    def _require_unreplaced(self, found: OrdersFound) -> None:
        """Raise `AcmeError` when another order has the same predecessor and did not come to nothing."""
        if found.replacement is None:
            return
        self._sealer.check(found.replacement)
        if found.successor is not None and self.opened(found.successor).status is not Status.INVALID:
            text = "The certificate that 'replaces' names is replaced by another order already"
            raise AcmeError(Kind.ALREADY_REPLACED, text)

    def _token(self) -> str:
        return new_token(self._randomness)

    async def _permitted(self, account: AccountRow, identifiers: tuple[Identifier, ...]) -> str:
        """Hold every name against the account's key and the authority's rule; return the profile of the key."""
        found = await self._store.key(account.key_id)
        if found is None:
            raise IntegrityError("An account's external account key is gone", reason=f"key of {account.id}")
        key = self._sealer.check(found)
        dns, addresses = names_listed(key)
        vouched = bool(dns or addresses)
        refused: list[Subproblem] = []
        for each in identifiers:
            try:
                require_listed(each, account.service_name, dns, addresses)
                await self._authority.require_orderable(account.service_name, *parts([each]), vouched=vouched)
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
        return self._owned(grant, await self._store.order(order_id))

    async def of(self, grant: Grant, account_id: str, after: str) -> tuple[list[str], str]:
        """Return ids of an account's orders, oldest first, and where the following page starts."""
        grant.require(ORDER, grant.resource)
        rows = await self._store.orders(account_id, after, PAGE)
        return [self._sealer.check(row).id for row in rows], rows[-1].id if len(rows) == PAGE else ""

    async def list(self, grant: Grant, account: str = "", after: str = "", limit: int = 100) -> OrderPage:
        """Return orders in the order of their ids, those of services that the grant may see."""
        grant.require(READ, ANY)
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"limit must be from 1 to {MAX_PAGE}")
        rows = await self._store.orders(account, after, limit)
        seen = tuple(_listed(self.opened(row)) for row in rows if grant.sees(row.service_name))
        return OrderPage(seen, rows[-1].id if len(rows) == limit else "")

    def _owned(self, grant: Grant, row: OrderRow | None) -> Opened:
        mine = grant.credential.name if grant.credential else ""
        if row is None or self._sealer.check(row).account != mine:
            raise AcmeError(Kind.UNAUTHORIZED, "This account has no such order")
        return self.opened(row)

    def opened(self, row: OrderRow) -> Opened:
        """Return a row, checked, with its state as of now."""
        checked = self._sealer.check(row)
        status = Status(checked.status)
        waits = status in (Status.PENDING, Status.READY)
        late = waits and checked.expires_at <= self._clock.now()
        return Opened(checked, rules.decode(checked.state), Status.INVALID if late else status)

    # -- proving -------------------------------------------------------------------------------

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

        def decide(found: OrderRow | None) -> OrderChange[tuple[Opened, bool]]:
            before = self._owned(grant, found)
            if number >= len(before.order.authorizations):
                raise AcmeError(Kind.MALFORMED, "This order has no such authorization")
            entry.resource = f"{before.row.service_name}/{before.order.authorizations[number].identifier.value}"
            after = change(before.order)
            if after == before.order or before.status is Status.INVALID:
                return OrderChange((before, False))
            row = self.moved(before.row, after)
            return OrderChange((self.opened(row), True), row, entry.draft(row_digest(row)))

        return await self._written(order_id, decide, entry)

    async def _written(
        self, order_id: str, decide: Callable[[OrderRow | None], OrderChange[tuple[Opened, bool]]], entry: Entry
    ) -> Opened:
        """Make a change; when it wrote something, its entry stands with it."""
        opened, changed = await self._store.change_order(order_id, decide)
        if changed:
            entry.commit()
        return opened

    def sealed(self, row: OrderRow) -> OrderRow:
        """Return a row with its seal."""
        return self._sealer.seal(row)

    def moved(self, row: OrderRow, order: Order, **fields: object) -> OrderRow:
        """Return a row with another state, sealed; its status follows from the authorizations."""
        status = rules.standing(order, Status(row.status))
        due = order.due_at() if status is Status.PENDING else 0.0
        changed = {"status": status.value, "due_at": due, **fields}
        return self._sealer.seal(replace(row, state=rules.encode(order), **changed))

    # -- issuing -------------------------------------------------------------------------------

    async def finalize(self, grant: Grant, order_id: str, csr: str, entry: Entry) -> Opened:
        """Take the CSR of an order that is ready, and issue. The same CSR again finds the same certificate."""
        opened = await self.own(grant, order_id)
        entry.resource = f"{opened.row.service_name}/{opened.row.id}"
        der = unbase64url(csr)
        if not der or len(der) > MAX_CSR_BYTES:
            raise AcmeError(Kind.BAD_CSR, "'csr' is no PKCS#10 request in base64url without padding")
        if opened.status in (Status.PROCESSING, Status.VALID) and opened.order.csr == csr:
            return opened if opened.status is Status.VALID else await self.issue(opened, entry)
        if opened.status is not Status.READY:
            raise AcmeError(Kind.ORDER_NOT_READY, f"The order is {opened.status}, not ready")
        serial = self._authority.new_serial()
        try:
            self._authority.require_request(_ordered(opened, serial, der))
        except InvalidInputError as error:
            raise AcmeError(Kind.BAD_CSR, error.detail) from error
        await self._require_other_key(opened.row.account, der)

        def decide(found: OrderRow | None) -> OrderChange[tuple[Opened, bool]]:
            before = self._owned(grant, found)
            if before.status is not Status.READY:
                raise AcmeError(Kind.ORDER_NOT_READY, f"The order is {before.status}, not ready")
            row = self.moved(
                before.row,
                replace(before.order, csr=base64url(der)),
                status=Status.PROCESSING.value,
                serial=serial,
                due_at=self._clock.now() + _RETRY_SECONDS,
            )
            return OrderChange((self.opened(row), True), row, entry.draft(row_digest(row)))

        accepted = await self._written(order_id, decide, entry)
        try:
            return await self.issue(accepted, entry)
        except UnavailableError:
            return accepted  # it stays in processing; the background goes on as soon as the authority can sign

    async def _require_other_key(self, account_id: str, csr: bytes) -> None:
        """Refuse the account's own key in a CSR (RFC 8555 section 11.1); raises `AcmeError`."""
        found = await self._store.account(account_id)
        if found is None:
            raise IntegrityError("The account of an order is gone", reason=f"account {account_id}")
        if kept_key(self._sealer.check(found).jwk).public == x509.load_der_x509_csr(csr).public_key():
            raise AcmeError(Kind.BAD_CSR, "The CSR is for the account's own key; make another key for the certificate")

    async def issue(self, opened: Opened, entry: Entry) -> Opened:
        """Issue what an order in `processing` waits for, unless that was done already, and settle the order.

        While the authority cannot sign now, the order stays as it is, and the background tries again.
        """
        service, failure = opened.row.service_name, None
        ordered = _ordered(opened, opened.row.serial, unbase64url(opened.order.csr) or b"")
        action, entry.action = entry.action, "issue"
        try:
            grant = authorize(service_principal(service), rights(service), _ISSUE, service)
            await self._authority.issue_ordered(grant, ordered, entry)
        except ConflictError:
            pass  # it was issued before, and its order not settled
        except (InvalidInputError, PermissionDeniedError) as error:
            failure = Subproblem(PREFIX + Kind.BAD_CSR, error.detail)
        entry.action = action
        return await self._settle(opened.row.id, failure, entry)

    async def _settle(self, order_id: str, failure: Subproblem | None, entry: Entry) -> Opened:
        status = Status.INVALID if failure else Status.VALID

        def decide(found: OrderRow | None) -> OrderChange[tuple[Opened, bool]]:
            if found is None:
                raise IntegrityError("An order that was being issued is gone")
            before = self.opened(found)
            if before.status is not Status.PROCESSING:
                return OrderChange((before, False))
            order = replace(before.order, error=failure)
            row = self.moved(before.row, order, status=status.value, due_at=0.0)
            entry.resource = f"{row.service_name}/{row.id}"
            return OrderChange((self.opened(row), True), row, entry.draft(row_digest(row)))

        return await self._written(order_id, decide, entry)


def _ordered(opened: Opened, serial: str, csr: bytes) -> Ordered:
    dns, addresses = parts(opened.order.identifiers())
    return Ordered(opened.row.service_name, serial, opened.order.profile, csr, dns, addresses)


def _listed(opened: Opened) -> OrderListed:
    row, order = opened.row, opened.order
    challenges = [each for part in order.authorizations for each in part.challenges]
    errors = [each.error.detail for each in challenges if each.error is not None]
    why = order.error.detail if order.error else (errors or [""])[0]
    names = tuple(each.value for each in order.identifiers())
    times = rfc3339(float(row.created_at)), rfc3339(float(row.expires_at))
    return OrderListed(row.id, row.account, row.service_name, opened.status, names, row.serial, why, *times)

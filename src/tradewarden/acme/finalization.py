"""Finalizes orders (RFC 8555 section 7.4): the CSR is taken, the certificate issued, the order settled.

Always true here: an order becomes one certificate, whatever dies in between. Finalizing first commits the CSR and the
serial number that the certificate will have, together with the state `processing`. Issuing under that number is tried
as often as it takes, by the call itself and by the background: the inventory has one row for a number, so the second
who issues finds the first one's certificate. Only then the order becomes `valid`. And what the order was allowed by is
asked for again each time: the account, the registration of its service, and every name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509
from msgspec.structs import replace

from tradewarden.access.grant import authorize
from tradewarden.acme.accounts import ORDER
from tradewarden.acme.bindings import names_listed
from tradewarden.acme.identifiers import parts, require_listed
from tradewarden.acme.jwk import kept_key
from tradewarden.acme.order import Status
from tradewarden.acme.ports import Ordered
from tradewarden.acme.problem import PREFIX, AcmeError, AcmeProofError, Kind, Subproblem
from tradewarden.acme.rights import rights, service_principal
from tradewarden.crypto.base64url import base64url, unbase64url
from tradewarden.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NameRefusedError,
    PermissionDeniedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.acme.ports import RegistrationAuthority
    from tradewarden.acme.rows import Opened, OrderRows
    from tradewarden.acme.standing import Standing
    from tradewarden.acme.store import AcmeStore, OrderRow
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock
    from tradewarden.errors import TradewardenError

MAX_CSR_BYTES: Final = 16 * 1024
_ISSUE: Final = "credentials:issue"
_RETRY_SECONDS: Final = 20.0
"""How long after finalizing the background looks whether the certificate came about."""

_REFUSALS: Final = (AcmeError, AcmeProofError, InvalidInputError, PermissionDeniedError)
"""What ends an order; everything else is tried again."""


class Finalizer:
    """Makes certificates of orders that are ready."""

    def __init__(
        self, store: AcmeStore, rows: OrderRows, standing: Standing, authority: RegistrationAuthority, clock: Clock
    ) -> None:
        self._store = store
        self._rows = rows
        self._standing = standing
        self._authority = authority
        self._clock = clock

    async def finalize(self, grant: Grant, order_id: str, csr: str, entry: Entry) -> Opened:
        """Take the CSR of an order that is ready, and issue. The same CSR again finds the same certificate."""
        grant.require(ORDER, grant.resource)
        opened = self._rows.owned(grant, await self._store.order(order_id))
        entry.resource = f"{opened.row.service_name}/{opened.row.id}"
        der = unbase64url(csr)
        if not der or len(der) > MAX_CSR_BYTES:
            raise AcmeError(Kind.BAD_CSR, "'csr' is no PKCS#10 request in base64url without padding")
        if opened.status in (Status.PROCESSING, Status.VALID) and opened.order.csr == csr:
            return opened if opened.status is Status.VALID else await self.issue(opened, entry)
        _require_ready(opened)
        serial = self._authority.new_serial()
        await self._require_fit(opened, serial, der)
        accepted = await self._accept(grant, order_id, serial, der, entry)
        try:
            return await self.issue(accepted, entry)
        except UnavailableError:
            return accepted  # it stays in processing; the background goes on as soon as the authority can sign

    async def _require_fit(self, opened: Opened, serial: str, csr: bytes) -> None:
        """Raise `AcmeError` for a CSR that is not for what was ordered, or for the account's own key (section 11.1)."""
        try:
            self._authority.require_request(_ordered(opened, serial, csr))
        except InvalidInputError as error:
            raise AcmeError(Kind.BAD_CSR, error.detail) from error
        account = await self._standing.account(opened.row.account)
        if kept_key(account.jwk).public == x509.load_der_x509_csr(csr).public_key():
            raise AcmeError(Kind.BAD_CSR, "The CSR is for the account's own key; make another key for the certificate")

    async def _accept(self, grant: Grant, order_id: str, serial: str, csr: bytes, entry: Entry) -> Opened:
        """Commit the CSR and the serial number of its certificate."""

        def decide(found: OrderRow | None) -> OrderRow:
            before = self._rows.owned(grant, found)
            _require_ready(before)
            return self._rows.moved(
                before.row,
                replace(before.order, csr=base64url(csr)),
                status=Status.PROCESSING.value,
                serial=serial,
                due_at=self._clock.now() + _RETRY_SECONDS,
            )

        return await self._rows.change(order_id, decide, entry)

    async def issue(self, opened: Opened, entry: Entry) -> Opened:
        """Issue what an order in `processing` waits for, unless that was done already, and settle the order.

        While the authority cannot sign now, the order stays as it is, and the background tries again.
        """
        failure = None
        action, entry.action = entry.action, "issue"
        try:
            await self._certify(opened, entry)
        except ConflictError:
            pass  # it was issued before, and its order not settled
        except _REFUSALS as error:
            if await self._authority.held(opened.row.serial) is None:  # else as above, and refused since
                entry.fail(error)
                failure = Subproblem(PREFIX + _kind(error), error.detail)
        entry.action = action
        return await self._settle(opened.row.id, failure, entry)

    async def _certify(self, opened: Opened, entry: Entry) -> None:
        """Have the certificate made while account, registration and names are still those that the order had."""
        service = opened.row.service_name
        account = await self._standing.account(opened.row.account)
        listed = names_listed(await self._standing.key_of(account))
        for each in opened.order.identifiers():
            require_listed(each, service, *listed)
        ordered = _ordered(opened, opened.row.serial, unbase64url(opened.order.csr) or b"")
        grant = authorize(service_principal(service), rights(service), _ISSUE, service)
        await self._authority.issue(grant, ordered, entry, vouched=any(listed), incarnation=account.incarnation)

    async def _settle(self, order_id: str, failure: Subproblem | None, entry: Entry) -> Opened:
        status = Status.INVALID if failure else Status.VALID

        def decide(found: OrderRow | None) -> Opened | OrderRow:
            if found is None:
                raise IntegrityError("An order that was being issued is gone")
            before = self._rows.opened(found)
            if before.status is not Status.PROCESSING:
                return before
            entry.resource = f"{before.row.service_name}/{before.row.id}"
            return self._rows.moved(before.row, replace(before.order, error=failure), status=status.value, due_at=0.0)

        return await self._rows.change(order_id, decide, entry)


def _kind(error: TradewardenError) -> Kind:
    """Return what kind of problem an order has that was refused its certificate."""
    if isinstance(error, AcmeError | AcmeProofError):
        return error.kind
    if isinstance(error, NameRefusedError):
        return Kind.REJECTED_IDENTIFIER
    return Kind.UNAUTHORIZED if isinstance(error, PermissionDeniedError) else Kind.BAD_CSR


def _require_ready(opened: Opened) -> None:
    if opened.status is not Status.READY:
        raise AcmeError(Kind.ORDER_NOT_READY, f"The order is {opened.status}, not ready")


def _ordered(opened: Opened, serial: str, csr: bytes) -> Ordered:
    dns, addresses = parts(opened.order.identifiers())
    return Ordered(opened.row.service_name, serial, opened.order.profile, csr, dns, addresses)

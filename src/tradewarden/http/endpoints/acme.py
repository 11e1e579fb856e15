"""`/acme`: the resources of RFC 8555, and what administrators do with them.

Who signed a call was proven before (`Proof.ACME`); here its payload is read and its answer written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from tradewarden.access.grant import authorize
from tradewarden.access.paging import PageSize
from tradewarden.acme import jws
from tradewarden.acme.accounts import contacts, require_own
from tradewarden.acme.commands import (
    AccountListed,
    AccountPage,
    Deactivate,
    Finalize,
    KeyMade,
    MakeKey,
    NewAccount,
    NewOrder,
    OrderPage,
    RevokeCert,
    UpdateAccount,
)
from tradewarden.acme.jwk import account_key
from tradewarden.acme.order import Status
from tradewarden.acme.problem import AcmeError, Kind
from tradewarden.clock import rfc3339
from tradewarden.http.route import Content, Nothing

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.acme.order import Authorization, Challenge
    from tradewarden.acme.places import Places
    from tradewarden.acme.rows import Opened
    from tradewarden.acme.store import AccountRow
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry

    Headers = tuple[tuple[bytes, bytes], ...]
    Fields = dict[str, object]

T = TypeVar("T")
CERTIFICATES: Final = "application/pem-certificate-chain"
_ORDER = re.compile(r"[0-9a-f]{36}", re.ASCII)
_AUTHORIZATION = re.compile(r"([0-9a-f]{36})\.([0-9]{1,2})", re.ASCII)
_CHALLENGE = re.compile(r"([0-9a-f]{36})\.([0-9]{1,2})\.(http-01|dns-01)", re.ASCII)
_LISTING = re.compile(r"([0-9a-f]{24})(?:\.([0-9a-f]{36}))?", re.ASCII)
_RETRY: Final = (b"retry-after", b"1")
_RENEWAL_SECONDS: Final = b"21600"


class AcmeCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A flattened JWS (RFC 7515 section 7.2.2), its media type `application/jose+json`; RFC 8555 section 6.2."""

    protected: str
    payload: str
    signature: str

    def signed(self) -> jws.Signed:
        """Return the JWS alone."""
        return jws.Signed(self.protected, self.payload, self.signature)


class AcmeNamed(AcmeCall, frozen=True, forbid_unknown_fields=True):
    """A flattened JWS about the resource that the path names."""

    id: str


class ListAccounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """List ACME accounts."""

    after: str = ""
    limit: PageSize = 100


class ListOrders(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """List ACME orders, of one account when it is named."""

    account: str = ""
    after: str = ""
    limit: PageSize = 100


class NamedAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ACME account by its id."""

    account: str


class NamedRenewal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One certificate, as RFC 9773 section 4.1 names it."""

    id: str


# -- what anyone may ask ---------------------------------------------------------------------------


async def directory(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Content:
    """Say where everything of ACME is (RFC 8555 section 7.1.1)."""
    del grant, command, entry
    places = warden.acme.places
    return _json(
        {
            "newNonce": places.at(places.NEW_NONCE),
            "newAccount": places.at(places.NEW_ACCOUNT),
            "newOrder": places.at(places.NEW_ORDER),
            "revokeCert": places.at(places.REVOKE),
            "keyChange": places.at(places.KEY_CHANGE),
            "renewalInfo": places.at(places.RENEWAL_INFO),
            "meta": {"externalAccountRequired": True},
        }
    )


async def nonce(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Content:
    """Give a nonce for the next call (RFC 8555 section 7.2)."""
    del grant, command, entry
    return finished(warden, Content(b"", ""))


async def no_content(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Content:
    """Give a nonce, and an answer without content (RFC 8555 section 7.2)."""
    del grant, command, entry
    return finished(warden, Content(b"", "", 204))


async def renewal_info(warden: Warden, grant: Grant, command: NamedRenewal, entry: Entry) -> Content:
    """Say when a certificate is best renewed (RFC 9773 section 4.1)."""
    del grant, entry
    window = await warden.acme.certificates.window(command.id)
    times = {"start": _time(window.start), "end": _time(window.end)}
    return _json({"suggestedWindow": times}, headers=((b"retry-after", _RENEWAL_SECONDS),))


# -- accounts --------------------------------------------------------------------------------------


async def new_account(warden: Warden, grant: Grant, command: AcmeCall, entry: Entry) -> Content:
    """Open an account, or find the one of this key (RFC 8555 section 7.3)."""
    asked = _payload(command, NewAccount)
    key = account_key(jws.read_header(command.signed()).jwk or {})
    row, made = await warden.acme.accounts.open(grant, key, asked, entry)
    return _account(warden, row, 201 if made else 200)


async def account(warden: Warden, grant: Grant, command: AcmeNamed, entry: Entry) -> Content:
    """Show, change or close the account that signs (RFC 8555 sections 7.3.2 and 7.3.6)."""
    accounts = warden.acme.accounts
    if not command.payload:
        return _account(warden, await accounts.own(grant, command.id))
    return _account(warden, await accounts.update(grant, command.id, _payload(command, UpdateAccount), entry))


async def key_change(warden: Warden, grant: Grant, command: AcmeCall, entry: Entry) -> Content:
    """Give the account that signs another key (RFC 8555 section 7.3.5)."""
    places = warden.acme.places
    inner = _payload(command, jws.Signed)
    row = await warden.acme.accounts.change_key(grant, places.at(places.KEY_CHANGE), inner, entry)
    return _account(warden, row)


async def orders_of(warden: Warden, grant: Grant, command: AcmeNamed, entry: Entry) -> Content:
    """List the orders of the account that signs (RFC 8555 section 7.1.2.1)."""
    del entry
    _require_get(command)
    match = _matched(_LISTING, command.id)
    row = await warden.acme.accounts.signer(grant)
    require_own(grant, match[1])
    found, following = await warden.acme.orders.of(grant, row.id, match[2] or "")
    places = warden.acme.places
    more = ((b"link", f'<{places.orders(row.id, following)}>;rel="next"'.encode()),) if following else ()
    return _json({"orders": [places.order(each) for each in found]}, headers=more)


# -- orders ----------------------------------------------------------------------------------------


async def new_order(warden: Warden, grant: Grant, command: AcmeCall, entry: Entry) -> Content:
    """Order a certificate for names of the account's service (RFC 8555 section 7.4)."""
    asked = _payload(command, NewOrder)
    row = await warden.acme.accounts.signer(grant)
    return _order(warden, await warden.acme.orders.new(grant, row, asked, entry), 201)


async def order(warden: Warden, grant: Grant, command: AcmeNamed, entry: Entry) -> Content:
    """Show an order of the account that signs."""
    del entry
    _require_get(command)
    return _order(warden, await warden.acme.orders.own(grant, _matched(_ORDER, command.id)[0]))


async def authorization(warden: Warden, grant: Grant, command: AcmeNamed, entry: Entry) -> Content:
    """Show or deactivate one authorization of an order (RFC 8555 sections 7.5 and 7.5.2)."""
    match = _matched(_AUTHORIZATION, command.id)
    number = int(match[2])
    if command.payload:
        if _payload(command, Deactivate).status != Status.DEACTIVATED:
            raise AcmeError(Kind.MALFORMED, "'status' can only become 'deactivated'")
        opened = await warden.acme.authorizations.give_up(grant, match[1], number, entry)
    else:
        opened = await warden.acme.orders.own(grant, match[1])
    return _json(_authorization(warden.acme.places, opened, number), headers=_waiting(_part(opened, number).status))


async def challenge(warden: Warden, grant: Grant, command: AcmeNamed, entry: Entry) -> Content:
    """Show a challenge, or let it be looked at (RFC 8555 section 7.5.1)."""
    match = _matched(_CHALLENGE, command.id)
    order_id, number, kind = match[1], int(match[2]), match[3]
    if command.payload:
        _payload(command, dict)
        opened = await warden.acme.authorizations.begin(grant, order_id, number, kind, entry)
    else:
        opened = await warden.acme.orders.own(grant, order_id)
    found = [each for each in _part(opened, number).challenges if each.type == kind]
    if not found:
        raise AcmeError(Kind.MALFORMED, "This authorization has no such challenge")
    places = warden.acme.places
    up = (b"link", f'<{places.authorization(order_id, number)}>;rel="up"'.encode())
    shown = _challenge(places, opened, number, found[0])
    return _json(shown, headers=(up, *_waiting(found[0].status)))


async def finalize(warden: Warden, grant: Grant, command: AcmeNamed, entry: Entry) -> Content:
    """Hand in the CSR of an order that is ready; its certificate is issued (RFC 8555 section 7.4)."""
    order_id = _matched(_ORDER, command.id)[0]
    csr = _payload(command, Finalize).csr
    return _order(warden, await warden.acme.finalizer.finalize(grant, order_id, csr, entry))


async def certificate(warden: Warden, grant: Grant, command: AcmeNamed, entry: Entry) -> Content:
    """Give the certificate of an order, and what is above it (RFC 8555 section 7.4.2)."""
    del entry
    _require_get(command)
    opened = await warden.acme.orders.own(grant, _matched(_ORDER, command.id)[0])
    return Content((await warden.acme.certificates.chain(opened)).encode(), CERTIFICATES)


async def revoke(warden: Warden, grant: Grant, command: AcmeCall, entry: Entry) -> Content:
    """Revoke a certificate, as its service or as the holder of its key (RFC 8555 section 7.6)."""
    asked = _payload(command, RevokeCert)
    as_revoker = authorize(
        grant.principal, grant.permissions, "credentials:revoke", grant.principal.name, grant.credential
    )
    await warden.acme.certificates.revoke(grant, as_revoker, asked, entry)
    return Content(b"", "application/json")


# -- administrators --------------------------------------------------------------------------------


async def make_key(warden: Warden, grant: Grant, command: MakeKey, entry: Entry) -> KeyMade:
    """Make a key with which a service can open one ACME account; it is shown this once."""
    return await warden.acme.bindings.make(grant, command, entry)


async def listing(warden: Warden, grant: Grant, command: ListAccounts, entry: Entry) -> AccountPage:
    """List ACME accounts."""
    del entry
    return await warden.acme.accounts.list(grant, command.after, command.limit)


async def end(warden: Warden, grant: Grant, command: NamedAccount, entry: Entry) -> AccountListed:
    """Take an ACME account its rights for good; its certificates stay as they are."""
    return await warden.acme.accounts.end(grant, command.account, entry)


async def orders_listing(warden: Warden, grant: Grant, command: ListOrders, entry: Entry) -> OrderPage:
    """List ACME orders."""
    del entry
    return await warden.acme.orders.list(grant, command.account, command.after, command.limit)


# -- how things are shown --------------------------------------------------------------------------


def finished(warden: Warden, answer: Content) -> Content:
    """Return an answer with what every answer to an ACME client carries: a nonce, and where the directory is."""
    places = warden.acme.places
    index = f'<{places.at(places.DIRECTORY)}>;rel="index"'.encode()
    more = ((b"replay-nonce", warden.acme.nonces.make().encode()), (b"link", index))
    return msgspec.structs.replace(answer, headers=(*answer.headers, *more))


def _account(warden: Warden, row: AccountRow, status: int = 200) -> Content:
    places = warden.acme.places
    shown: Fields = {"status": row.status, "contact": contacts(row), "orders": places.orders(row.id)}
    return _json(shown, status, ((b"location", places.account(row.id).encode()),))


def _order(warden: Warden, opened: Opened, status: int = 200) -> Content:
    places, row, found = warden.acme.places, opened.row, opened.order
    shown: Fields = {
        "status": opened.status,
        "expires": _time(row.expires_at),
        "identifiers": found.identifiers(),
        "authorizations": [places.authorization(row.id, number) for number in range(len(found.authorizations))],
        "finalize": places.finalize(row.id),
    }
    if opened.status is Status.VALID:
        shown["certificate"] = places.certificate(row.id)
    if found.error is not None:
        shown["error"] = found.error
    if found.replaces:
        shown["replaces"] = found.replaces
    place = (b"location", places.order(row.id).encode())
    waits = (_RETRY,) if opened.status is Status.PROCESSING else ()
    return _json(shown, status, (place, *waits))


def _authorization(places: Places, opened: Opened, number: int) -> Fields:
    part = _part(opened, number)
    late = part.status is Status.PENDING and opened.status is Status.INVALID
    return {
        "identifier": part.identifier,
        "status": Status.EXPIRED if late else part.status,
        "expires": _time(opened.row.expires_at),
        "challenges": [_challenge(places, opened, number, each) for each in part.challenges],
    }


def _challenge(places: Places, opened: Opened, number: int, each: Challenge) -> Fields:
    shown: Fields = {
        "type": each.type,
        "url": places.challenge(opened.row.id, number, each.type),
        "status": each.status,
        "token": each.token,
    }
    if each.validated_at:
        shown["validated"] = _time(each.validated_at)
    if each.error is not None:
        shown["error"] = each.error
    return shown


def _part(opened: Opened, number: int) -> Authorization:
    if number >= len(opened.order.authorizations):
        raise AcmeError(Kind.MALFORMED, "This order has no such authorization")
    return opened.order.authorizations[number]


def _waiting(status: Status) -> Headers:
    return (_RETRY,) if status in (Status.PENDING, Status.PROCESSING) else ()


def _time(seconds: float) -> str:
    return f"{rfc3339(float(seconds))[:19]}Z"


def _json(shown: Fields, status: int = 200, headers: Headers = ()) -> Content:
    return Content(msgspec.json.encode(shown), "application/json", status, headers)


# -- how calls are read ----------------------------------------------------------------------------


def _payload(command: AcmeCall, kind: type[T]) -> T:
    raw = jws.payload_of(command.signed())
    jws.require_object(raw)
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise AcmeError(Kind.MALFORMED, f"The payload does not fit: {error}") from error


def _require_get(command: AcmeCall) -> None:
    if command.payload:
        raise AcmeError(Kind.MALFORMED, "This is read with an empty payload (POST-as-GET, RFC 8555 section 6.3)")


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise AcmeError(Kind.MALFORMED, "There is no such resource")
    return match

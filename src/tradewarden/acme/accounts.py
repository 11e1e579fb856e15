"""Accounts (RFC 8555 section 7.3): opened with an external account key, changed and closed by their own key.

Always true here: one key, one account; one external account key, one account; an account acts for one service.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from tradewarden.access import listing
from tradewarden.access.grant import ANY
from tradewarden.acme import jws
from tradewarden.acme.bindings import MANAGE
from tradewarden.acme.commands import AccountListed, AccountPage, KeyChange
from tradewarden.acme.jwk import account_key
from tradewarden.acme.problem import AcmeError, Kind
from tradewarden.acme.standing import DEACTIVATED, REVOKED, VALID
from tradewarden.acme.store import AccountChange, AccountRow, row_digest
from tradewarden.clock import rfc3339
from tradewarden.crypto.base64url import base64url
from tradewarden.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.access.grant import Grant
    from tradewarden.acme.commands import NewAccount, UpdateAccount
    from tradewarden.acme.jwk import AccountKey
    from tradewarden.acme.jws import Signed
    from tradewarden.acme.places import Places
    from tradewarden.acme.standing import Standing
    from tradewarden.acme.store import AccountsFound, AcmeStore
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.crypto.keyset import Sealer

ACCOUNT: Final = "acme:account"
ORDER: Final = "acme:order"
READ: Final = "acme:read"
MAX_PAGE: Final = 1000
MAX_CONTACTS: Final = 8
_ID_BYTES = 12
_MAIL = re.compile(r"mailto:[A-Za-z0-9.!#$&'*+/=^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}", re.ASCII)
_contacts = msgspec.json.Decoder(tuple[str, ...]).decode


class Accounts:
    """The accounts of an installation."""

    def __init__(
        self,
        store: AcmeStore,
        sealer: Sealer,
        standing: Standing,
        places: Places,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._standing = standing
        self._places = places
        self._clock = clock
        self._randomness = randomness

    async def open(self, grant: Grant, key: AccountKey, command: NewAccount, entry: Entry) -> tuple[AccountRow, bool]:
        """Return the account of a key, and whether it was made now, by the external key that bound the call."""
        grant.require(ACCOUNT, grant.resource)
        contact = _checked(command.contact)
        binding = grant.credential.name if grant.credential else ""
        fresh = AccountRow(
            id=self._randomness(_ID_BYTES).hex(),
            thumbprint=key.thumbprint,
            jwk=key.text,
            key_id=binding,
            service_name=grant.principal.name,
            incarnation="",
            status=VALID,
            contact=contact,
            created_at=int(self._clock.now()),
        )

        def decide(found: AccountsFound) -> AccountChange[tuple[AccountRow, bool]]:
            if found.holder is not None:
                return AccountChange((self._sealer.check(found.holder), False))
            if found.key is None:
                raise AcmeError(Kind.UNAUTHORIZED, "The external account key is not good")
            used = self._sealer.check(found.key)
            self._standing.require_unused(used)
            row = self._sealer.seal(replace(fresh, incarnation=used.incarnation))
            used = self._sealer.seal(replace(used, account=row.id))
            draft = entry.draft(row_digest(row), row_digest(used))
            return AccountChange((row, True), draft, row, used)

        row, made = await self._store.change_account(fresh.id, key.thumbprint, binding, decide)
        entry.resource = f"{row.service_name}/{row.id}"
        if made:
            entry.commit()
        return row, made

    async def own(self, grant: Grant, account_id: str) -> AccountRow:
        """Return the account that signed a call; raises `AcmeError` for another's."""
        grant.require(ACCOUNT, grant.resource)
        require_own(grant, account_id)
        return await self._standing.account(account_id)

    async def signer(self, grant: Grant) -> AccountRow:
        """Return the account that signed a call about orders; raises `AcmeProofError`."""
        grant.require(ORDER, grant.resource)
        return await self._standing.account(grant.credential.name if grant.credential else "")

    async def update(self, grant: Grant, account_id: str, command: UpdateAccount, entry: Entry) -> AccountRow:
        """Change the contacts, or close the account for good (section 7.3.6)."""
        grant.require(ACCOUNT, grant.resource)
        require_own(grant, account_id)
        if command.status not in (None, DEACTIVATED):
            raise AcmeError(Kind.MALFORMED, "'status' can only become 'deactivated'")
        if command.contact is None and command.status is None:
            return await self._standing.account(account_id)
        fields: dict[str, str] = {}
        if command.contact is not None:
            fields["contact"] = _checked(command.contact)
        if command.status is not None:
            fields["status"] = DEACTIVATED
        return await self._change(account_id, "", lambda row, _: replace(row, **fields), entry)

    async def change_key(self, grant: Grant, url: str, inner: Signed, entry: Entry) -> AccountRow:
        """Give the account that signed a call a new key, which signs too (section 7.3.5)."""
        grant.require(ACCOUNT, grant.resource)
        account_id = grant.credential.name if grant.credential else ""
        key = self._inner_key(account_id, url, inner)
        old = account_key(_inner_payload(inner).old_key)

        def decide(row: AccountRow, holder: AccountRow | None) -> AccountRow:
            if old.thumbprint != row.thumbprint:
                raise AcmeError(Kind.MALFORMED, "'oldKey' is not the account's key")
            if holder is not None:
                place = self._places.account(holder.id)
                raise AcmeError(Kind.MALFORMED, "The new key has an account already", account=place)
            return replace(row, jwk=key.text, thumbprint=key.thumbprint)

        return await self._change(account_id, key.thumbprint, decide, entry)

    def _inner_key(self, account_id: str, url: str, inner: Signed) -> AccountKey:
        header = jws.read_header(inner)
        if header.jwk is None or header.nonce:
            raise jws.malformed("The inner JWS has the new key as 'jwk', and no nonce")
        if header.url != url:
            raise jws.malformed("The inner JWS is for another URL")
        key = account_key(header.jwk)
        jws.verify(inner, header, key)
        if _inner_payload(inner).account != self._places.account(account_id):
            raise jws.malformed("The inner JWS is for another account")
        return key

    async def end(self, grant: Grant, account_id: str, entry: Entry) -> AccountListed:
        """Take an account its rights, as an administrator; raises `NotFoundError`."""
        grant.require(MANAGE, ANY)
        row = await self._store.account(account_id)
        if row is None:
            raise NotFoundError("There is no such account")
        if not grant.sees(row.service_name):
            raise NotFoundError("There is no such account", reason="its service is beyond the grant")
        return _listed(await self._change(account_id, "", lambda found, _: replace(found, status=REVOKED), entry))

    async def list(self, grant: Grant, after: str = "", limit: int = 100) -> AccountPage:
        """Return accounts in the order of their ids, those of services that the grant may see."""
        grant.require(READ, ANY)
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"limit must be from 1 to {MAX_PAGE}")
        rows, last = await listing.page(
            listing.names(grant), lambda name: self._store.accounts(name, after, limit), lambda row: row.id, limit
        )
        return AccountPage(tuple(_listed(self._sealer.check(row)) for row in rows), "" if last is None else last.id)

    async def _change(
        self,
        account_id: str,
        thumbprint: str,
        change: Callable[[AccountRow, AccountRow | None], AccountRow],
        entry: Entry,
    ) -> AccountRow:
        def decide(found: AccountsFound) -> AccountChange[AccountRow]:
            if found.account is None:
                raise NotFoundError("There is no such account")
            before = self._sealer.check(found.account)
            entry.resource = f"{before.service_name}/{before.id}"
            row = self._sealer.seal(change(before, found.holder))
            return AccountChange(row, entry.draft(row_digest(row)), row)

        row = await self._store.change_account(account_id, thumbprint, "", decide)
        entry.commit()
        return row


def require_own(grant: Grant, account_id: str) -> None:
    """Raise `AcmeError` unless this account signed the call."""
    if grant.credential is None or grant.credential.name != account_id:
        raise AcmeError(Kind.UNAUTHORIZED, "This belongs to another account")


def contacts(row: AccountRow) -> tuple[str, ...]:
    """Return an account's contacts."""
    return _contacts(row.contact)


def new_id(now: float, randomness: Randomness) -> str:
    """Return an id that sorts by its time and cannot be foreseen."""
    return int(now * 1000).to_bytes(6).hex() + randomness(_ID_BYTES).hex()


def new_token(randomness: Randomness) -> str:
    """Return a challenge's token: 256 bits (RFC 8555 section 8.1 asks for 128)."""
    return base64url(randomness(32))


def _inner_payload(inner: Signed) -> KeyChange:
    try:
        return msgspec.json.decode(jws.payload_of(inner), type=KeyChange)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise jws.malformed("The payload of the inner JWS needs 'account' and 'oldKey'") from error


def _checked(contact: tuple[str, ...]) -> str:
    """Return contacts as they are kept; raises `AcmeError`."""
    if len(contact) > MAX_CONTACTS:
        raise AcmeError(Kind.INVALID_CONTACT, f"At most {MAX_CONTACTS} contacts are kept")
    for each in contact:
        if not each.lower().startswith("mailto:"):
            raise AcmeError(Kind.UNSUPPORTED_CONTACT, "Contacts are mailto: addresses")
        if not _MAIL.fullmatch(each):
            raise AcmeError(Kind.INVALID_CONTACT, f"{each[:80]!r} is not one plain mail address")
    return msgspec.json.encode(contact).decode()


def _listed(row: AccountRow) -> AccountListed:
    return AccountListed(
        row.id, row.service_name, row.status, contacts(row), row.thumbprint, rfc3339(float(row.created_at))
    )

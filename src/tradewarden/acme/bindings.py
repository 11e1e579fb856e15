"""External account keys (RFC 8555 section 7.3.4): how an administrator lets a service open an ACME account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.access.principal import service_name
from tradewarden.acme.commands import MAX_TTL_HOURS, KeyMade
from tradewarden.acme.identifiers import listable
from tradewarden.acme.store import AccountChange, KeyRow, row_digest
from tradewarden.clock import rfc3339
from tradewarden.crypto.base64url import base64url
from tradewarden.crypto.place import place
from tradewarden.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError
from tradewarden.keys.purpose import Purpose

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.acme.commands import MakeKey
    from tradewarden.acme.places import Places
    from tradewarden.acme.ports import Register, RegistrationAuthority
    from tradewarden.acme.store import AccountsFound, AcmeStore
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.keys.port import Keys

MANAGE: Final = "acme:manage"
_ISSUE: Final = "credentials:issue"
_ID_BYTES, _SECRET_BYTES = 12, 32
_decode_names = msgspec.json.Decoder(tuple[str, ...]).decode


class Bindings:
    """Makes external account keys, and opens what is kept of them."""

    def __init__(
        self,
        store: AcmeStore,
        keys: Keys,
        register: Register,
        authority: RegistrationAuthority,
        places: Places,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._keys = keys
        self._sealer = keys.sealer(Purpose.CA)
        self._cipher = keys.cipher(Purpose.CA)
        self._register = register
        self._authority = authority
        self._places = places
        self._clock = clock
        self._randomness = randomness

    async def make(self, grant: Grant, command: MakeKey, entry: Entry) -> KeyMade:
        """Make a key with which one account can be opened; its HMAC key is shown this once.

        Who names names must be allowed to issue to the service, too. Raises `NotFoundError` for a service that is not
        registered, `InvalidInputError` and `PermissionDeniedError` naming what is refused.
        """
        entry.resource = command.service_name
        grant.require(MANAGE, command.service_name)
        name = service_name(command.service_name)
        registered = await self._register.registered(name)
        if registered is None:
            raise NotFoundError(f"Service '{name}' is not registered")
        grant.require_over(name, registered.permissions)
        dns, addresses = await self._listed(grant, command)
        self._authority.require_profile(command.profile)
        secret, key_id = _fresh_secret(self._randomness), self._randomness(_ID_BYTES).hex()
        now = int(self._clock.now())
        await self._keys.reserve(Purpose.CA)
        row = self._sealer.seal(
            KeyRow(
                id=key_id,
                service_name=name,
                incarnation=registered.incarnation,
                dns_names=msgspec.json.encode(dns).decode(),
                ip_addresses=msgspec.json.encode(addresses).decode(),
                profile=command.profile,
                secret=self._cipher.encrypt(secret, _place(key_id)),
                created_at=now,
                created_by=str(grant.principal),
                expires_at=now + command.ttl_hours * 3600,
            )
        )

        def decide(found: AccountsFound) -> AccountChange[None]:
            if found.key is not None:
                raise ConflictError("This external account key exists already")
            return AccountChange(None, entry.draft(row_digest(row)), key=row)

        await self._store.change_account("", "", key_id, decide)
        entry.commit()
        directory = self._places.at(self._places.DIRECTORY)
        return KeyMade(name, key_id, base64url(secret), directory, rfc3339(row.expires_at))

    async def _listed(self, grant: Grant, command: MakeKey) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if not 1 <= command.ttl_hours <= MAX_TTL_HOURS:
            raise InvalidInputError(f"ttl_hours must be from 1 to {MAX_TTL_HOURS}")
        dns, addresses = listable(command.dns_names, command.ip_addresses)
        if (dns or addresses) and not grant.permissions.allows(_ISSUE, command.service_name):
            raise PermissionDeniedError(f"names of certificates need {_ISSUE} on this service")
        whole = tuple(each for each in dns if not each.startswith("."))
        if whole or addresses:
            await self._authority.require_orderable(command.service_name, whole, addresses, vouched=True)
        return dns, addresses

    def secret(self, row: KeyRow) -> bytes:
        """Return the HMAC key of a checked row."""
        return self._cipher.decrypt(row.secret, _place(row.id))


def _fresh_secret(randomness: Randomness) -> bytes:
    """Draw an HMAC key whose text does not begin with "-": as an argument of a command that would be an option."""
    while base64url(secret := randomness(_SECRET_BYTES)).startswith("-"):
        pass
    return secret


def names_listed(row: KeyRow) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the DNS names and the addresses that a key lists."""
    return _decode_names(row.dns_names), _decode_names(row.ip_addresses)


def _place(key_id: str) -> bytes:
    return place(Purpose.CA, KeyRow.table, key_id)

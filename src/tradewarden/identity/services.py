"""The register of services: the most that each may ever be granted, and how it proves itself.

Always true here: nobody grants more than they hold (decision 7); a client secret is shown once; a
name that is registered anew, or that was compromised, is another incarnation, and no token of the one before it is
good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec.structs import replace

from tradewarden.access import listing
from tradewarden.access.grant import ANY
from tradewarden.access.principal import OWN_NAME, service_name
from tradewarden.clock import rfc3339
from tradewarden.errors import (
    AuthenticationError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    PermissionDeniedError,
)
from tradewarden.identity.bounds import ISSUE, certifiable, found, grantable, manage, manageable
from tradewarden.identity.commands import ServiceListed, ServicePage, ServiceRegistered
from tradewarden.identity.credential import (
    CLIENT_SECRET_PREFIX,
    credential_hash,
    matches,
    new_credential,
)
from tradewarden.identity.names import Ownership, decode_names, owned, shared
from tradewarden.identity.store import ServiceChange, ServiceRow, ServiceStore, row_digest
from tradewarden.keys.purpose import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.identity.commands import RegisterService, SetNames
    from tradewarden.keys.port import Keys

MAX_PAGE = 1000
_CACHED = 4096
_READ = "services:read"
_INCARNATION_BYTES = 16


class Revisions(Protocol):
    """The counter that the caches depend on (`tradewarden.storage.database.Revisions`)."""

    @property
    def services(self) -> int:
        """Moves when a registration or the admin token changes."""
        ...


class CurrentRevisions(Protocol):
    """Tells the revisions as of now; `Database.revisions` is one."""

    async def __call__(self) -> Revisions:
        """Return them; raises `StorageUnavailableError`."""
        ...


class ServiceRecord(msgspec.Struct, frozen=True):
    """A registered service as others see it."""

    service_name: str
    permissions: tuple[str, ...]
    incarnation: str
    created_at: int
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()


class Services:
    """Registered services."""

    def __init__(
        self,
        store: ServiceStore,
        keys: Keys,
        clock: Clock,
        randomness: Randomness,
        revisions: CurrentRevisions,
    ) -> None:
        self._store = store
        self._sealer = keys.sealer(Purpose.IDENTITY)
        self._mac = keys.mac(Purpose.IDENTITY, "client-secret")
        self._clock = clock
        self._randomness = randomness
        self._revisions = revisions
        self._cache: dict[str, ServiceRow | None] = {}
        self._names = Ownership(store, self._checked)
        self._cached_at = -1

    async def register(self, grant: Grant, command: RegisterService, entry: Entry) -> ServiceRegistered:
        """Register a service; raises `ConflictError` when it is, `PermissionDeniedError` for more than you hold."""
        name = service_name(command.service_name)
        manage(grant, name, entry)
        if name == OWN_NAME:
            raise InvalidInputError(f"service_name {OWN_NAME!r} is this service's own; choose another")
        permissions = grantable(grant, command.permissions)
        dns_names, addresses = certifiable(grant, name, command)
        await self._require_free(grant, name, dns_names, addresses)
        secret = new_credential(CLIENT_SECRET_PREFIX, self._randomness)
        now = int(self._clock.now())
        row = ServiceRow(
            service_name=name,
            incarnation=self._incarnation(),
            permissions=_names_text(permissions),
            secret=credential_hash(self._mac, secret),
            created_at=now,
            created_by=str(grant.principal),
            rotated_at=now,
            dns_names=_names_text(dns_names),
            ip_addresses=_names_text(addresses),
        )

        def decide(before: ServiceRow | None) -> ServiceRow:
            if before is not None:
                how = "change its permissions or names, or remove it first"
                raise ConflictError(f"Service '{name}' is registered already; {how}")
            return row

        await self._put(name, decide, entry)
        return ServiceRegistered(name, permissions, secret, rfc3339(now))

    def new_secret(self) -> str:
        """Return a client secret that nobody has yet, for `rotate_secret`."""
        return new_credential(CLIENT_SECRET_PREFIX, self._randomness)

    async def rotate_secret(
        self, grant: Grant, name: str, entry: Entry, secret: str | None = None
    ) -> ServiceRegistered:
        """Give a service a new client secret; the one before is void at once, its tokens stay good.

        Raises `PermissionDeniedError` for a service that holds more than the caller.
        `secret` is one of `new_secret`, for a caller that has to keep it before it is valid.
        """
        manage(grant, service_name(name), entry)
        secret = secret or self.new_secret()
        fresh = credential_hash(self._mac, secret)
        now = int(self._clock.now())

        def decide(before: ServiceRow | None) -> ServiceRow:
            return replace(manageable(grant, before, name), secret=fresh, rotated_at=now)

        row = await self._put(name, decide, entry)
        return ServiceRegistered(name, decode_names(row.permissions), secret, rfc3339(row.created_at))

    async def end_access(self, grant: Grant, name: str, entry: Entry) -> None:
        """Void a service's client secret, and all that was given to it under its registration, for good.

        Nobody learns the secret that takes its place, and the incarnation is another one, as if the name were
        registered anew. Raises as `rotate_secret` does.
        """
        manage(grant, service_name(name), entry)
        fresh, incarnation = credential_hash(self._mac, self.new_secret()), self._incarnation()
        now = int(self._clock.now())

        def decide(before: ServiceRow | None) -> ServiceRow:
            row = manageable(grant, before, name)
            return replace(row, secret=fresh, incarnation=incarnation, rotated_at=now)

        await self._put(name, decide, entry)

    async def set_permissions(
        self, grant: Grant, name: str, permissions: tuple[str, ...], entry: Entry
    ) -> ServiceListed:
        """Change the most that a service may be granted; what its tokens hold beyond it is void at once."""
        manage(grant, service_name(name), entry)
        text = _names_text(grantable(grant, permissions))
        row = await self._put(name, lambda before: replace(manageable(grant, before, name), permissions=text), entry)
        return _listed(row)

    async def set_names(self, grant: Grant, command: SetNames, entry: Entry) -> ServiceListed:
        """Replace what a service's certificates may name; raises `ConflictError` for another's DNS name."""
        name = service_name(command.service_name)
        manage(grant, name, entry)
        dns_names, addresses = certifiable(grant, name, command)
        await self._require_free(grant, name, dns_names, addresses)
        texts = {"dns_names": _names_text(dns_names), "ip_addresses": _names_text(addresses)}

        def decide(before: ServiceRow | None) -> ServiceRow:
            return replace(manageable(grant, before, name), **texts)

        return _listed(await self._put(name, decide, entry))

    async def require_deletable(self, grant: Grant, name: str, entry: Entry) -> None:
        """Raise what `delete` would, for who has to do something else before it."""
        manage(grant, service_name(name), entry)
        manageable(grant, await self._checked(name), name)

    async def delete(self, grant: Grant, name: str, entry: Entry) -> None:
        """Take a service off the register, and end every token of that registration; raises `NotFoundError`."""
        manage(grant, service_name(name), entry)

        def decide(before: ServiceRow | None) -> ServiceChange[None]:
            gone = manageable(grant, None if before is None else self._sealer.check(before), name)
            return ServiceChange(None, entry.draft(row_digest(gone)), None)

        await self._store.change(name, decide)
        entry.commit()

    async def get(self, grant: Grant, name: str) -> ServiceListed:
        """Return one service; raises `NotFoundError`."""
        grant.require(_READ, service_name(name))
        return _listed(found(await self._checked(name), name))

    async def list(self, grant: Grant, after: str = "", limit: int = 100) -> ServicePage:
        """Return a page of services by name, those that the grant sees."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"limit must be from 1 to {MAX_PAGE}")
        grant.require(_READ, ANY)

        async def read(name: str) -> Sequence[ServiceRow]:
            if not name:
                return await self._store.page(after, limit)
            row = await self._store.read(name) if name > after else None
            return [] if row is None else [row]

        rows, last = await listing.page(listing.names(grant), read, lambda row: row.service_name, limit)
        shown = tuple(_listed(self._sealer.check(row)) for row in rows)
        return ServicePage(shown, None if last is None else last.service_name)

    async def authenticate(self, name: str, client_secret: str) -> ServiceRecord:
        """Return the service that this secret proves; raises `AuthenticationError`, one for every cause.

        An unknown name takes the same work as a wrong secret.
        """
        row = await self._cached(name)
        if not matches(self._mac, client_secret, row.secret if row is not None else None):
            known = "client secret is wrong" if row is not None else "service is not registered"
            raise AuthenticationError("Authentication failed", reason=known)
        if row is None:  # pragma: no cover  (nothing matches then; for the type checker)
            raise AssertionError
        return _record(row)

    async def registered(self, name: str) -> ServiceRecord | None:
        """Return the registration that stands now; None when the name is not registered."""
        row = await self._cached(name)
        return None if row is None else _record(row)

    async def owners(self, dns_names: Iterable[str]) -> dict[str, str]:
        """Return which registered service each of these DNS names belongs to, where it belongs to one."""
        await self._follow()
        return await self._names.owners(dns_names)

    async def allotment(
        self, name: str, dns_names: Sequence[str], addresses: Sequence[str]
    ) -> tuple[ServiceRecord | None, dict[str, str], dict[str, str]]:
        """Return what `registered` and `owners` do, and who shares in the rest of the names, as of one moment."""
        record, names = await self.registered(name), self._names
        owners = await names.owners(dns_names)
        return record, owners, await names.sharers([each for each in dns_names if each not in owners], addresses)

    async def _require_free(
        self, grant: Grant, name: str, dns_names: tuple[str, ...], addresses: tuple[str, ...]
    ) -> None:
        """Refuse what belongs to another service; the store refuses what becomes another's in this very moment.

        What lies in a domain of another one, or is an address of it, is for who may issue to that one, too.
        """
        for taken, owner in (await self.owners((name, *dns_names))).items():
            if owner != name:
                raise ConflictError(f"DNS name {taken!r} is service {owner!r}'s own; take it away there first")
        for shared_name, sharer in (await self._names.sharers(dns_names, addresses)).items():
            if sharer != name and not grant.permissions.allows(ISSUE, sharer):
                raise PermissionDeniedError(
                    f"{shared_name!r} is registered for {sharer}, which the caller may not issue to"
                )

    def _incarnation(self) -> str:
        return self._randomness(_INCARNATION_BYTES).hex()

    async def _cached(self, name: str) -> ServiceRow | None:
        await self._follow()
        cache = self._cache
        if name not in cache:
            cache[name] = await self._checked(name)
        return cache[name]

    async def _follow(self) -> None:
        """Forget what was read before the newest change of the register."""
        revision = (await self._revisions()).services
        if revision != self._cached_at or len(self._cache) >= _CACHED or len(self._names) >= _CACHED:
            self._cache, self._names = {}, Ownership(self._store, self._checked)
            self._cached_at = revision

    async def _checked(self, name: str) -> ServiceRow | None:
        row = await self._store.read(name)
        if row is not None and self._sealer.check(row).service_name != name:
            raise IntegrityError("A service's row stands under another name")
        return row

    async def _put(self, name: str, decide: Callable[[ServiceRow | None], ServiceRow], entry: Entry) -> ServiceRow:
        """Write the row that `decide` makes of the one before."""

        def sealed(before: ServiceRow | None) -> ServiceChange[ServiceRow]:
            checked = None if before is None else self._sealer.check(before)
            row = self._sealer.seal(decide(checked))
            return ServiceChange(row, entry.draft(row_digest(row)), row, owned(row), shared(row))

        row = await self._store.change(name, sealed)
        entry.commit()
        return row


def _names_text(names: tuple[str, ...]) -> str:
    return msgspec.json.encode(names).decode()


def _record(row: ServiceRow) -> ServiceRecord:
    return ServiceRecord(
        row.service_name,
        decode_names(row.permissions),
        row.incarnation,
        row.created_at,
        decode_names(row.dns_names),
        decode_names(row.ip_addresses),
    )


def _listed(row: ServiceRow) -> ServiceListed:
    return ServiceListed(
        row.service_name,
        decode_names(row.permissions),
        rfc3339(row.created_at),
        row.created_by,
        rfc3339(row.rotated_at),
        decode_names(row.dns_names),
        decode_names(row.ip_addresses),
    )

"""Whose a name is: what belongs to one service alone, and what several may be registered for.

A service's own name and its DNS names are its alone. Domains that hosts are below, and addresses, may be registered for
several. Both are looked up in an index that is not sealed, so what it says is held against the registration, which is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.abreast import abreast
from tradewarden.access.hosts import domains
from tradewarden.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tradewarden.identity.store import ServiceRow, ServiceStore

_MANY = 16
"""A look-up among more domains than these takes a turn of the loop for itself: names may have a hundred labels."""
decode_names = msgspec.json.Decoder(tuple[str, ...]).decode


def owned(row: ServiceRow) -> tuple[str, ...]:
    """Return what belongs to this service alone: its name, its DNS names; not the domains that its hosts are below."""
    names = (each for each in decode_names(row.dns_names) if not each.startswith("."))
    return tuple(dict.fromkeys((row.service_name, *names)))


def shared(row: ServiceRow) -> tuple[str, ...]:
    """Return what others may be registered for as well: the domains that its hosts are below, its addresses."""
    domains_of = (each for each in decode_names(row.dns_names) if each.startswith("."))
    return tuple(dict.fromkeys((*domains_of, *decode_names(row.ip_addresses))))


class Ownership:
    """Whose names are, as of one revision of the register. What was found is kept, so make another for the next."""

    def __init__(self, store: ServiceStore, registration: Callable[[str], Awaitable[ServiceRow | None]]) -> None:
        self._store = store
        self._registration = registration
        self._owners: dict[str, str] = {}
        self._sharers: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._owners) + len(self._sharers)

    async def owners(self, dns_names: Iterable[str]) -> dict[str, str]:
        """Return which service each of these DNS names belongs to alone, where it belongs to one."""
        known, found = self._owners, {}
        for name in dns_names:
            owner = known.get(name)
            if owner is None:
                owner = known[name] = await self._proven(await self._store.owner(name), (name,), owned)
            if owner:
                found[name] = owner
        return found

    async def sharers(self, dns_names: Iterable[str], addresses: Iterable[str]) -> dict[str, str]:
        """Return a service that is registered for a domain above each DNS name, or for the address, where one is."""
        asked = [*((name, domains) for name in dns_names if "." in name), *((each, _alone) for each in addresses)]
        known, found = self._sharers, {}
        for name, registrable in asked:
            sharer = known.get(name)
            if sharer is None:
                entries = registrable(name)
                if len(entries) > _MANY:
                    await abreast()
                sharer = known[name] = await self._proven(await self._store.sharer(entries), entries, shared)
            if sharer:
                found[name] = sharer
        return found

    async def _proven(
        self, service: str, names: tuple[str, ...], registered: Callable[[ServiceRow], tuple[str, ...]]
    ) -> str:
        """Return the service that the index gave, registered for one of the names; raises `IntegrityError` if not."""
        row = await self._registration(service) if service else None
        if service and (row is None or set(names).isdisjoint(registered(row))):
            raise IntegrityError("A name in the register of services is not its service's", reason=f"owner of {names}")
        return service


def _alone(address: str) -> tuple[str, ...]:
    return (address,)

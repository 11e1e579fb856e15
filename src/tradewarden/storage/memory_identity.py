"""Services and the admin token in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tradewarden.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tradewarden.identity.store import (
        AdminTokenChange,
        AdminTokenRow,
        ServiceChange,
        ServiceRow,
    )
    from tradewarden.storage.memory import MemoryDatabase

T = TypeVar("T")


class MemoryServiceStore:
    """A `ServiceStore` over a dictionary."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._services: dict[str, ServiceRow] = {}
        self._owners: dict[str, str] = {}
        self._sharers: dict[str, set[str]] = {}
        self._admin_token: AdminTokenRow | None = None

    async def read(self, name: str) -> ServiceRow | None:
        """Return one service."""
        return self._services.get(name)

    async def page(self, after: str, limit: int) -> list[ServiceRow]:
        """Return up to `limit` services by name, after `after`."""
        names = sorted(name for name in self._services if name > after)
        return [self._services[name] for name in names[:limit]]

    async def change(self, name: str, decide: Callable[[ServiceRow | None], ServiceChange[T]]) -> T:
        """Load, decide, write, record, bump; return the answer."""
        change = decide(self._services.get(name))
        if any(self._owners.get(each, name) != name for each in change.owned):
            raise ConflictError("A name belongs to another service")
        self._owners = {each: owner for each, owner in self._owners.items() if owner != name}
        self._owners.update(dict.fromkeys(change.owned, name))
        for services in self._sharers.values():
            services.discard(name)
        for each in change.shared:
            self._sharers.setdefault(each, set()).add(name)
        if change.row is None:
            self._services.pop(name, None)
        else:
            self._services[name] = change.row
        self._database.record(change.entry)
        self._database.bump("services", "tokens")
        return change.answer

    async def owner(self, owned: str) -> str:
        """Return the service that a name belongs to."""
        return self._owners.get(owned, "")

    async def sharer(self, shared: Sequence[str]) -> str:
        """Return a service that shares in one of these."""
        found = (min(services) for each in sorted(shared) if (services := self._sharers.get(each)))
        return next(found, "")

    async def read_admin_token(self) -> AdminTokenRow | None:
        """Return the admin token's row."""
        return self._admin_token

    async def change_admin_token(self, decide: Callable[[AdminTokenRow | None], AdminTokenChange[T]]) -> T:
        """Load, decide, write, record, bump; return the answer."""
        change = decide(self._admin_token)
        if change.row is not None:
            self._admin_token = change.row
            self._database.record(change.entry)
            self._database.bump("services")
        return change.answer

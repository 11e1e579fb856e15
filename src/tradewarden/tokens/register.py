"""What tokens need from beside: who is registered, which certificates count, how far the caches are behind."""

from __future__ import annotations

from typing import Protocol


class Registration(Protocol):
    """One registered service, as `tradewarden.identity` keeps it."""

    @property
    def incarnation(self) -> str:
        """Differs for every registration of a name, so that a token never outlives its own."""
        ...

    @property
    def permissions(self) -> tuple[str, ...]:
        """The most that this service may be given."""
        ...


class Register(Protocol):
    """The register of services."""

    async def registered(self, name: str) -> Registration | None:
        """Return the registration that stands now; None when the name is not registered."""
        ...


class Revoked(Protocol):
    """The inventory of certificates (`tradewarden.pki.authority.Authority.is_revoked`)."""

    async def __call__(self, serial: str) -> bool:
        """Tell whether the certificate with this serial number counts for nothing any more, as of now."""
        ...


class Revisions(Protocol):
    """The counters that this room's caches depend on (`tradewarden.storage.database.Revisions`)."""

    @property
    def tokens(self) -> int:
        """Moves when a token, a family or all tokens of a subject are ended."""
        ...

    @property
    def services(self) -> int:
        """Moves when a registration changes."""
        ...

    @property
    def keys(self) -> int:
        """Moves when a signing key is made or dropped."""
        ...


class CurrentRevisions(Protocol):
    """Tells the revisions as of now; `Database.revisions` is one."""

    async def __call__(self) -> Revisions:
        """Return them; raises `StorageUnavailableError`."""
        ...

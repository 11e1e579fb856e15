"""What is asked of the register of services and what it answers; times are RFC 3339 in UTC."""

from __future__ import annotations

import msgspec


class RegisterService(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Register a service with the most that it may ever be granted."""

    service_name: str
    permissions: tuple[str, ...]


class ServiceRegistered(msgspec.Struct, frozen=True):
    """A registered service and its client secret, which is shown this once."""

    service_name: str
    permissions: tuple[str, ...]
    client_secret: str
    created_at: str

    def __repr__(self) -> str:
        return f"ServiceRegistered(service_name={self.service_name!r})"


class ServiceListed(msgspec.Struct, frozen=True):
    """A registered service, without its secret."""

    service_name: str
    permissions: tuple[str, ...]
    created_at: str
    created_by: str
    secret_rotated_at: str


class ServicePage(msgspec.Struct, frozen=True):
    """Some services by name. `next` is where the following page starts (None: this was the last)."""

    services: tuple[ServiceListed, ...]
    next: str | None = None

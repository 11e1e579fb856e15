"""What an ACME caller may do: its own account and orders, and certificates of its own service."""

from __future__ import annotations

from functools import lru_cache

from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import Kind, Principal


@lru_cache(maxsize=1024)
def rights(service: str) -> PermissionSet:
    """Return the rights of whoever acts for a service through ACME."""
    return PermissionSet(
        (
            f"acme:account:{service}",
            f"acme:order:{service}",
            f"acme:revoke:{service}",
            f"credentials:issue:{service}",
            f"credentials:revoke:{service}",
        )
    )


def service_principal(service: str) -> Principal:
    """Return the principal of a service."""
    return Principal(Kind.SERVICE, service)

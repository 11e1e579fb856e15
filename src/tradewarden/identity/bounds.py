"""What a caller may do to a service, and give it: nobody grants, changes or removes more than they hold. Pure.

Rights only ever shrink on their way from one to another; so does what may be named in certificates (ADR 18).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.access.hosts import dns_pattern, ip
from tradewarden.access.permission import PermissionSet
from tradewarden.errors import InvalidInputError, NotFoundError, PermissionDeniedError
from tradewarden.identity.limits import MAX_NAMES, MAX_PERMISSIONS
from tradewarden.identity.names import decode_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.identity.commands import RegisterService, SetNames
    from tradewarden.identity.store import ServiceRow

ISSUE = "credentials:issue"
_MANAGE = "services:manage"


def manage(grant: Grant, name: str, entry: Entry) -> None:
    """Check that the caller may manage this service at all, and note it as what is acted on."""
    entry.resource = name
    grant.require(_MANAGE, name)


def grantable(grant: Grant, permissions: Iterable[str]) -> tuple[str, ...]:
    """Return the names once each; raises when they are not understood, too many or more than the grant holds."""
    asked = PermissionSet(permissions)
    if len(asked.names) > MAX_PERMISSIONS:
        raise InvalidInputError(f"At most {MAX_PERMISSIONS} permissions can be registered")
    if not grant.permissions.includes(asked.names):
        raise PermissionDeniedError("nobody grants more than they hold")
    return asked.names


def certifiable(
    grant: Grant, name: str, command: RegisterService | SetNames
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the DNS names and addresses, once each; who names any must be allowed to issue to this service, too."""
    if len(command.dns_names) > MAX_NAMES or len(command.ip_addresses) > MAX_NAMES:
        raise InvalidInputError(f"At most {MAX_NAMES} dns_names and {MAX_NAMES} ip_addresses can be registered")
    dns_names = dict.fromkeys(map(dns_pattern, command.dns_names))
    addresses = dict.fromkeys(str(ip(each)) for each in command.ip_addresses)
    if (dns_names or addresses) and not grant.permissions.allows(ISSUE, name):
        raise PermissionDeniedError(f"names of certificates need {ISSUE} on this service")
    return tuple(dns_names), tuple(addresses)


def manageable(grant: Grant, row: ServiceRow | None, name: str) -> ServiceRow:
    """Return the row of a service that the caller may change: one that holds no more than the caller."""
    row = found(row, name)
    grant.require_over(name, decode_names(row.permissions))
    return row


def found(row: ServiceRow | None, name: str) -> ServiceRow:
    """Return the row of a registered service; raises `NotFoundError`."""
    if row is None:
        raise NotFoundError(f"Service '{name}' is not registered")
    return row

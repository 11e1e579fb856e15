"""`/services`: the register of who may ever be granted what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.access.paging import PageSize
from tradewarden.access.principal import ServiceName
from tradewarden.identity.commands import RegisterService, ServiceListed, ServicePage, ServiceRegistered, SetNames
from tradewarden.identity.limits import Permissions
from tradewarden.unregister import unregister

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry


class ListServices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """List registered services in the order of their names."""

    after: str = ""
    limit: PageSize = 100


class NamedService(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One registered service."""

    service_name: ServiceName


class SetPermissions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Replace the most that a service may be granted; tokens already issued are cut to it at once."""

    service_name: ServiceName
    permissions: Permissions


class ServiceDeleted(msgspec.Struct, frozen=True):
    """What was deleted; every token of it has ended."""

    service_name: str
    deleted: bool = True


async def register(warden: Warden, grant: Grant, command: RegisterService, entry: Entry) -> ServiceRegistered:
    """Register a service; the only answer that ever shows its client secret."""
    return await warden.services.register(grant, command, entry)


async def listing(warden: Warden, grant: Grant, command: ListServices, entry: Entry) -> ServicePage:
    """List the register."""
    del entry
    return await warden.services.list(grant, command.after, command.limit)


async def show(warden: Warden, grant: Grant, command: NamedService, entry: Entry) -> ServiceListed:
    """Show one registration."""
    del entry
    return await warden.services.get(grant, command.service_name)


async def delete(warden: Warden, grant: Grant, command: NamedService, entry: Entry) -> ServiceDeleted:
    """Delete a registration and end every token of it."""
    await unregister(warden, grant, command.service_name, entry)
    return ServiceDeleted(command.service_name)


async def rotate_secret(warden: Warden, grant: Grant, command: NamedService, entry: Entry) -> ServiceRegistered:
    """Give a service a new client secret; the old one ends now."""
    return await warden.services.rotate_secret(grant, command.service_name, entry)


async def permissions(warden: Warden, grant: Grant, command: SetPermissions, entry: Entry) -> ServiceListed:
    """Replace what a service may be granted."""
    return await warden.services.set_permissions(grant, command.service_name, command.permissions, entry)


async def names(warden: Warden, grant: Grant, command: SetNames, entry: Entry) -> ServiceListed:
    """Replace what a service's certificates may name."""
    return await warden.services.set_names(grant, command, entry)

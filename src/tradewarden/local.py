"""The library's face: the rooms for the process that holds the root key, as `local:<uid>`.

Every call passes the same check and leaves the same audit entry as one over HTTP. Errors are raised as they are
(`tradewarden.errors`); nothing answers None or False in their place.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from tradewarden.access.grant import ANY, authorize
from tradewarden.access.permission import ALL
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.entry import EventType
from tradewarden.audit.log import RESOURCE as LOG
from tradewarden.audit.query import Filter, Query
from tradewarden.compromised import CompromisedService, contain
from tradewarden.identity.commands import RegisterService
from tradewarden.pki.credentials import IssueCredentials, Reason, RevokeCertificate
from tradewarden.secrets.commands import PickVersions, PutSecret, RollbackSecret
from tradewarden.secrets.rotation.commands import ListRotations, RunRotation, SetPolicy
from tradewarden.secrets.rotation.rotations import ROTATE
from tradewarden.secrets.value import raw_object
from tradewarden.tokens.commands import IssueToken, RevokeToken
from tradewarden.unregister import unregister

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, MutableSequence, Sequence

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.compromised import Contained
    from tradewarden.identity.commands import ServiceListed, ServiceRegistered
    from tradewarden.pki.credentials import Credentials, InventoryItem
    from tradewarden.rooms import Rooms
    from tradewarden.secrets.commands import SecretMetadata, SecretRead, SecretWritten
    from tradewarden.secrets.rotation.commands import Abandoned, Policy, Rotated, Rotation
    from tradewarden.tokens.commands import TokenIssued, TokenListed, TokenValid

_PAGE = 1000
_FEATURES = {
    EventType.SECRET_ACCESS: "ENABLE_VAULT",
    EventType.TOKEN: "ENABLE_JWT",
    EventType.CERTIFICATE: "ENABLE_MTLS",
}


def local_principal() -> Principal:
    """Return who this process is: it holds the root key, so it may do everything here."""
    return Principal(Kind.LOCAL, str(os.getuid()))


@asynccontextmanager
async def _acting(
    rooms: Rooms, event: EventType, action: str, resource: str = ANY
) -> AsyncIterator[tuple[Grant, Entry]]:
    """Authorise one action of this process and record how it ends."""
    await rooms.revisions()
    async with rooms.entry(event, action.partition(":")[2], resource) as entry:
        if event in _FEATURES:
            rooms.require(_FEATURES[event])
        yield authorize(local_principal(), ALL, action, resource), entry


class Local:
    """All rooms, for this process."""

    def __init__(self, rooms: Rooms) -> None:
        self.secrets = LocalSecrets(rooms)
        self.rotations = LocalRotations(rooms)
        self.services = LocalServices(rooms)
        self.tokens = LocalTokens(rooms)
        self.credentials = LocalCredentials(rooms)
        self.audit = LocalAudit(rooms)


class LocalSecrets:
    """Versioned secrets."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def put(self, path: str, data: Mapping[str, object], *, cas: int | None = None) -> SecretWritten:
        """Write a new version; `cas` is the version that must be current (0: none). Raises `ConflictError`."""
        command = PutSecret(path, raw_object(data), cas)
        async with _acting(self._rooms, EventType.SECRET_ACCESS, "secrets:write", path) as (grant, entry):
            return await self._rooms.secrets.put(grant, command, entry)

    async def get(self, path: str, version: int | None = None) -> SecretRead:
        """Return a version (None: the current one); `.value()` is the dict. Raises `SecretNotFoundError`."""
        async with _acting(self._rooms, EventType.SECRET_ACCESS, "secrets:read", path) as (grant, entry):
            found = await self._rooms.secrets.get(grant, path, version)
            entry.reason = found.note
            return found

    async def metadata(self, path: str) -> SecretMetadata:
        """Return all that is known of a secret but its values."""
        async with _acting(self._rooms, EventType.SECRET_ACCESS, "secrets:read", path) as (grant, _):
            return await self._rooms.secrets.metadata(grant, path)

    async def list(self, prefix: str = "") -> list[str]:
        """Return every path that starts with `prefix`."""
        names: list[str] = []
        async with _acting(self._rooms, EventType.SECRET_ACCESS, "secrets:list") as (grant, entry):
            entry.resource = prefix
            after: str | None = ""
            while after is not None:
                page = await self._rooms.secrets.list(grant, prefix, after, _PAGE)
                names += page.keys
                after = page.next
        return names

    async def delete(self, path: str, versions: Sequence[int] = ()) -> None:
        """Hide versions (none named: the current one) until they are undeleted."""
        async with _acting(self._rooms, EventType.SECRET_ACCESS, "secrets:delete", path) as (grant, entry):
            await self._rooms.secrets.delete(grant, PickVersions(path, tuple(versions)), entry)

    async def undelete(self, path: str, versions: Sequence[int]) -> None:
        """Show deleted versions again."""
        async with _acting(self._rooms, EventType.SECRET_ACCESS, "secrets:write", path) as (grant, entry):
            await self._rooms.secrets.undelete(grant, PickVersions(path, tuple(versions)), entry)

    async def destroy(self, path: str, versions: Sequence[int]) -> None:
        """Erase the values of versions for good."""
        async with _acting(self._rooms, EventType.SECRET_ACCESS, "secrets:write", path) as (grant, entry):
            await self._rooms.secrets.destroy(grant, PickVersions(path, tuple(versions)), entry)

    async def rollback(self, path: str, version: int) -> SecretWritten:
        """Write an old version's value again, as the newest."""
        async with _acting(self._rooms, EventType.SECRET_ACCESS, "secrets:write", path) as (grant, entry):
            return await self._rooms.secrets.rollback(grant, RollbackSecret(path, version), entry)


class LocalRotations:
    """Rotation of secrets."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def set_policy(
        self,
        path: str,
        kind: str,
        parameters: Mapping[str, str] | None = None,
        *,
        every_seconds: int = 0,
        schedule: str = "",
        automatic: bool | None = None,
    ) -> Policy:
        """Say how and when a secret is rotated (see `SetPolicy`). Raises `InvalidInputError` naming what is wrong."""
        command = SetPolicy(path, kind, dict(parameters or {}), every_seconds, schedule, automatic)
        async with _acting(self._rooms, EventType.CONFIGURATION_CHANGE, ROTATE, path) as (grant, entry):
            return await self._rooms.rotations.set_policy(grant, command, entry)

    async def remove_policy(self, path: str) -> None:
        """Remove a policy; the secret stays. Raises `ConflictError` while a rotation is under way."""
        async with _acting(self._rooms, EventType.CONFIGURATION_CHANGE, ROTATE, path) as (grant, entry):
            await self._rooms.rotations.remove_policy(grant, path, entry)

    async def list(self, prefix: str = "", *, due: bool = False) -> list[Rotation]:
        """Return every policy and how its secret stands; `due`: only what is due or under way."""
        found: list[Rotation] = []
        async with _acting(self._rooms, EventType.SECRET_ACCESS, ROTATE) as (grant, entry):
            entry.resource = prefix
            after: str | None = ""
            while after is not None:
                page = await self._rooms.rotations.list(grant, ListRotations(prefix, after, _PAGE, due))
                found += page.rotations
                after = page.next
        return found

    async def run(self, path: str, supplied: Mapping[str, object] | None = None) -> Rotated:
        """Rotate a secret now, or go on with its rotation under way. Raises what kept it, which then waits."""
        command = RunRotation(path, None if supplied is None else dict(supplied))
        async with _acting(self._rooms, EventType.SECRET_ACCESS, ROTATE, path) as (grant, entry):
            return await self._rooms.rotations.run(grant, command, entry)

    async def abandon(self, path: str) -> Abandoned:
        """Give up the rotation under way; the current version stays."""
        async with _acting(self._rooms, EventType.SECRET_ACCESS, ROTATE, path) as (grant, entry):
            return await self._rooms.rotations.abandon(grant, path, entry)

    async def compromised(self, service_name: str) -> Sequence[Contained]:
        """End a service's access and rotate all that it has seen; return what each part of the work did and left."""
        parts: MutableSequence[Contained] = []
        after: str | None = ""
        while after is not None:
            async with _acting(self._rooms, EventType.SECRET_ACCESS, ROTATE) as (grant, entry):
                parts.append(await contain(self._rooms, grant, CompromisedService(service_name, after), entry))
            after = parts[-1].next
        return parts


class LocalServices:
    """The register of services."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def register(self, service_name: str, permissions: Sequence[str]) -> ServiceRegistered:
        """Register a service; the only answer that shows its client secret. Raises `ConflictError`."""
        command = RegisterService(service_name, tuple(permissions))
        kind, action = EventType.CONFIGURATION_CHANGE, "services:manage"
        async with _acting(self._rooms, kind, action, service_name) as (grant, entry):
            return await self._rooms.services.register(grant, command, entry)

    async def remove(self, service_name: str) -> None:
        """Take a service off the register and end every token of it."""
        kind, action = EventType.CONFIGURATION_CHANGE, "services:manage"
        async with _acting(self._rooms, kind, action, service_name) as (grant, entry):
            await unregister(self._rooms, grant, service_name, entry)

    async def list(self) -> list[ServiceListed]:
        """Return every registered service."""
        found: list[ServiceListed] = []
        async with _acting(self._rooms, EventType.API_ACCESS, "services:read") as (grant, _):
            after: str | None = ""
            while after is not None:
                page = await self._rooms.services.list(grant, after, _PAGE)
                found += page.services
                after = page.next
        return found


class LocalTokens:
    """Tokens of services."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def issue(
        self,
        service_name: str,
        permissions: Sequence[str] | None = None,
        *,
        ttl_seconds: int | None = None,
        refresh: bool = False,
    ) -> TokenIssued:
        """Issue a token; None stands for all that the service is registered for (`read` when it is not)."""
        asked = None if permissions is None else tuple(permissions)
        command = IssueToken(service_name, asked, ttl_seconds, refresh)
        async with _acting(self._rooms, EventType.TOKEN, "tokens:issue", service_name) as (grant, entry):
            return await self._rooms.tokens.issue(grant, command, entry)

    async def validate(self, token: str) -> TokenValid:
        """Return what a token is good for; raises `TokenError`."""
        revisions = await self._rooms.revisions()
        async with _acting(self._rooms, EventType.TOKEN, "tokens:validate") as (_, entry):
            valid = await self._rooms.tokens.validate(token, revisions)
            entry.resource = valid.service_name
            return valid

    async def revoke(self, *, token: str | None = None, service_name: str | None = None) -> bool:
        """End one token, or all of a service; False when there was nothing to end."""
        async with _acting(self._rooms, EventType.TOKEN, "tokens:revoke") as (grant, entry):
            command = RevokeToken(token=token, service_name=service_name)
            return (await self._rooms.tokens.revoke(grant, command, entry)).revoked

    async def list(self, service_name: str | None = None) -> list[TokenListed]:
        """Return the issued tokens, of one service or of all; never the tokens themselves."""
        found: list[TokenListed] = []
        async with _acting(self._rooms, EventType.TOKEN, "tokens:read") as (grant, _):
            after: str | None = ""
            while after is not None:
                page = await self._rooms.tokens.list(grant, service_name, after, _PAGE)
                found += page.tokens
                after = page.next
        return found


class LocalCredentials:
    """Certificates of services."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def issue(
        self,
        service_name: str,
        *,
        csr: str | None = None,
        dns_names: Sequence[str] = (),
        ip_addresses: Sequence[str] = (),
        ttl_hours: int | None = None,
        profile: str = "service",
    ) -> Credentials:
        """Issue a certificate, for a key made here or for that of a CSR (PEM). Raises `InvalidInputError`."""
        command = IssueCredentials(service_name, csr, tuple(dns_names), tuple(ip_addresses), ttl_hours, profile)
        async with _acting(self._rooms, EventType.CERTIFICATE, "credentials:issue", service_name) as (grant, entry):
            return await self._rooms.authority.issue(grant, command, entry)

    async def revoke(self, serial_number: str, reason: Reason = Reason.UNSPECIFIED) -> InventoryItem:
        """Revoke a certificate for good."""
        async with _acting(self._rooms, EventType.CERTIFICATE, "credentials:revoke") as (grant, entry):
            return await self._rooms.authority.revoke(grant, RevokeCertificate(serial_number, reason), entry)

    def ca_certificate(self) -> str:
        """Return the root certificate that clients trust (PEM)."""
        return self._rooms.authority.ca_certificate()


class LocalAudit:
    """The audit log."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def search(self, wanted: Filter | None = None, limit: int = 100) -> list[dict[str, object]]:
        """Return the newest entries that fit, as they stand in the log."""
        async with _acting(self._rooms, EventType.API_ACCESS, "audit:read", LOG) as (grant, _):
            page = await self._rooms.audit_log.search(grant, Query(wanted or Filter(), limit))
        return [msgspec.json.decode(entry) for entry in page.entries]

"""Lets the rotation of secrets act for a service of our own: always proven as that service, always in the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.access.grant import Credential, Grant, authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.entry import EventType
from tradewarden.errors import AuthenticationError, TokenError
from tradewarden.tokens.commands import IssueToken, RevokeToken
from tradewarden.tokens.rights import with_own

if TYPE_CHECKING:
    from tradewarden.audit.entry import Entry
    from tradewarden.identity.services import Services
    from tradewarden.rooms import Rooms
    from tradewarden.secrets.rotation.rotators.own import Proof
    from tradewarden.tokens.commands import TokenIssued


class OwnServices:
    """Services and tokens of an open installation, for `tradewarden.secrets.rotation.rotators`."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @property
    def _services(self) -> Services:
        return self._rooms.services

    async def issue(self, proof: Proof, permissions: tuple[str, ...] | None, ttl_seconds: int | None) -> TokenIssued:
        """Issue a token to the service: asked ∩ registered."""
        entry = self._entry(proof, EventType.TOKEN, "issue")
        async with entry:
            grant = await self._grant(proof, "tokens:issue", entry)
            command = IssueToken(proof.service_name, permissions, ttl_seconds)
            return await self._rooms.tokens.issue(grant, command, entry)

    async def accepts(self, service_name: str, token: str) -> bool:
        """Tell whether a token is good now, and this service's."""
        try:
            found = await self._rooms.tokens.authenticate(token, await self._rooms.revisions())
        except TokenError:
            return False
        return found.service_name == service_name

    async def end(self, proof: Proof, token: str) -> None:
        """End a token of the service; raises `PermissionDeniedError` for another's."""
        entry = self._entry(proof, EventType.TOKEN, "revoke")
        async with entry:
            grant = await self._grant(proof, "tokens:revoke", entry)
            await self._rooms.tokens.revoke(grant, RevokeToken(token=token), entry)

    def new_client_secret(self) -> str:
        """Return a client secret that nobody has yet."""
        return self._services.new_secret()

    async def proves(self, service_name: str, client_secret: str) -> bool:
        """Tell whether a client secret is the service's."""
        try:
            await self._services.authenticate(service_name, client_secret)
        except AuthenticationError:
            return False
        return True

    async def replace_client_secret(self, proof: Proof, client_secret: str) -> None:
        """Make a new client secret the service's."""
        entry = self._entry(proof, EventType.AUTHENTICATION, "rotate")
        async with entry:
            grant = await self._grant(proof, "services:manage", entry)
            await self._services.rotate_secret(grant, proof.service_name, entry, client_secret)

    def _entry(self, proof: Proof, event: EventType, action: str) -> Entry:
        entry = self._rooms.entry(event, action, proof.service_name)
        entry.reason = f"for the rotation of {proof.path}"
        return entry

    async def _grant(self, proof: Proof, action: str, entry: Entry) -> Grant:
        """Return the grant of the service over itself; raises `AuthenticationError`."""
        service = await self._services.authenticate(proof.service_name, proof.client_secret)
        name = service.service_name
        principal = Principal(Kind.SERVICE, name)
        entry.user = str(principal)
        rights = with_own(name, service.permissions)
        if action == "services:manage":  # whoever has a client secret may change it by a rotation
            rights = PermissionSet((*service.permissions, f"{action}:{name}"))
        return authorize(principal, rights, action, name, Credential("client_secret"))

"""Who is calling: bearer token, admin token, client secret, or the bootstrap rule. Proves, and decides nothing else."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

import msgspec
from msgspec.structs import replace

from tradewarden.access.grant import Credential
from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import ANONYMOUS, Kind, Principal
from tradewarden.errors import AuthenticationError
from tradewarden.http.route import Proof
from tradewarden.identity.credential import ADMIN_TOKEN_PREFIX
from tradewarden.tokens.bootstrap import BootstrapRequest, admit
from tradewarden.tokens.rights import with_own

if TYPE_CHECKING:
    from tradewarden.app import Warden
    from tradewarden.http.connection import Connection
    from tradewarden.http.route import Route
    from tradewarden.storage.database import Revisions

_MAX_CREDENTIAL = 8192
_REFRESHING: Final = PermissionSet(("tokens:refresh",))
_OPERATING: Final = PermissionSet(("metrics:view", "docs:view"))
_CLIENTS = (Proof.CLIENT, Proof.TOKEN_REQUEST)
_NEEDED = "This call needs 'Authorization: Bearer <token>'"
_NAVIGATION = frozenset({"", "none", "same-origin"})


class Caller(msgspec.Struct, frozen=True):
    """A proven caller; `user` is its name as audit entries show it."""

    principal: Principal
    user: str
    permissions: PermissionSet
    credential: Credential


class Authentication:
    """Proves callers for one worker. Raises `AuthenticationError`; the reason never reaches the caller."""

    __slots__ = ("_warden",)

    def __init__(self, warden: Warden) -> None:
        self._warden = warden

    async def prove(self, connection: Connection, route: Route) -> Caller:
        """Return who is calling, by one of the proofs that the route takes.

        Whatever the proof is, what other processes changed since the last call is known first, key rotations too.
        """
        revisions = await self._warden.revisions()
        header = connection.headers.get(b"authorization")
        if header is None:
            return self._unauthenticated(connection, route)
        scheme, _, value = header.partition(b" ")
        kind = scheme.lower()
        if kind == b"bearer" and len(value) <= _MAX_CREDENTIAL:
            return await self._bearer(value, revisions)
        if kind == b"basic" and route.proof in _CLIENTS and len(value) <= _MAX_CREDENTIAL:
            return await self._basic(value)
        raise AuthenticationError(_NEEDED, reason="unusable Authorization header")

    async def knows(self, connection: Connection) -> bool:
        """Tell whether a call proves itself although its address is throttled: strangers there harm nobody."""
        scheme, _, value = connection.headers.get(b"authorization", b"").partition(b" ")
        kind = scheme.lower()
        if kind not in (b"bearer", b"basic") or len(value) > _MAX_CREDENTIAL:
            return False
        revisions = await self._warden.revisions()
        try:
            await (self._bearer(value, revisions) if kind == b"bearer" else self._basic(value))
        except AuthenticationError:
            return False
        return True

    async def _bearer(self, value: bytes, revisions: Revisions) -> Caller:
        """Return whose bearer token this is: a service's, or the admin token."""
        warden, token = self._warden, value.strip().decode("latin-1")
        if token.startswith(ADMIN_TOKEN_PREFIX):
            admin, rights = await warden.admin_token.authenticate(token, revisions)
            return Caller(admin, str(admin), rights, Credential("admin_token"))
        warden.require("ENABLE_JWT")
        proven = await warden.tokens.authenticate(token, revisions)
        credential = Credential("token", proven.service_name, proven.names, proven.expires_at)
        return Caller(proven.principal, f"service:{proven.service_name}", proven.permissions, credential)

    async def _basic(self, value: bytes) -> Caller:
        try:
            text = base64.b64decode(value, validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise AuthenticationError("Authentication failed", reason="malformed Basic header") from error
        name, _, secret = map(unquote_plus, text.partition(":"))  # RFC 6749 section 2.3.1
        service = await self._warden.services.authenticate(name, secret)
        principal = Principal(Kind.SERVICE, service.service_name)
        rights = with_own(service.service_name, service.permissions)
        return Caller(principal, str(principal), rights, Credential("client_secret"))

    def _unauthenticated(self, connection: Connection, route: Route) -> Caller:
        if route.proof is Proof.REFRESH_TOKEN:
            return Caller(ANONYMOUS, str(ANONYMOUS), _REFRESHING, Credential("refresh_token"))
        if route.proof is Proof.TOKEN_REQUEST:
            principal, rights = admit(self._request(connection))
            return Caller(principal, str(principal), rights, Credential("bootstrap"))
        if route.proof is Proof.OPERATOR and connection.text(b"sec-fetch-site") in _NAVIGATION:
            request = self._request(connection)
            names = request.header_names - {"sec-fetch-site"}
            principal, _ = admit(replace(request, content_type="application/json", header_names=names))
            return Caller(principal, str(principal), _OPERATING, Credential("bootstrap"))
        raise AuthenticationError(_NEEDED, reason="no credentials")

    def _request(self, connection: Connection) -> BootstrapRequest:
        settings = self._warden.settings
        return BootstrapRequest(
            environment=settings.environment,
            listener_loopback=settings.loopback,
            peer_address=connection.peer,
            host_header=connection.text(b"host"),
            port=connection.port,
            content_type=connection.text(b"content-type"),
            header_names=frozenset(name.decode("latin-1") for name in connection.headers),
        )

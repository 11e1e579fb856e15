"""Who is calling: client certificate, bearer token, admin token, client secret, or the bootstrap rule.

Proves, and decides nothing else. Always true here: on an mTLS connection the certificate counts first. While it does
not, nothing else does, and the bootstrap rule never applies there.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

import msgspec
from msgspec.structs import replace

from tradewarden.access.grant import Credential
from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import ANONYMOUS, Kind, Principal
from tradewarden.acme.rights import rights as acme_rights
from tradewarden.acme.rights import service_principal
from tradewarden.errors import AuthenticationError, TokenError
from tradewarden.http.acme import signed_body
from tradewarden.http.look import Look
from tradewarden.http.peers import Peers
from tradewarden.http.route import WITH_SECRET, Proof
from tradewarden.identity.credential import ADMIN_TOKEN_PREFIX
from tradewarden.tokens.bootstrap import BootstrapRequest, admit
from tradewarden.tokens.policy import MAX_TOKEN_CHARACTERS
from tradewarden.tokens.rights import with_own

if TYPE_CHECKING:
    from tradewarden.app import Warden
    from tradewarden.http.connection import Connection
    from tradewarden.http.route import Route
    from tradewarden.pki.peer import PeerCertificate
    from tradewarden.storage.database import Revisions

_REFRESHING: Final = PermissionSet(("tokens:refresh",))
_OPERATING: Final = PermissionSet(("metrics:view", "docs:view"))
_JOINING: Final = PermissionSet(("credentials:enroll",))
_RENEWING: Final = PermissionSet(("credentials:renew",))
_BODY_PROVES = (Proof.REFRESH_TOKEN, Proof.JOIN)
_NEEDED = "This call needs 'Authorization: Bearer <token>'"
_OR_SECRET = f"{_NEEDED}, or Basic with a registered service's name and client secret"
_NAVIGATION = frozenset({"", "none", "same-origin"})


class Caller(msgspec.Struct, frozen=True):
    """A proven caller; `user` is its name as audit entries show it."""

    principal: Principal
    user: str
    permissions: PermissionSet
    credential: Credential


class Authentication:
    """Proves callers for one worker. Raises `AuthenticationError`; the reason never reaches the caller."""

    __slots__ = ("_look", "_peers", "_warden")

    def __init__(self, warden: Warden, peers: Peers | None = None) -> None:
        self._warden = warden
        self._look = Look(warden.revisions)
        self._peers = peers or Peers(warden)

    async def prove(self, connection: Connection, route: Route) -> Caller:
        """Return who is calling, by one of the proofs that the route takes.

        Whatever the proof is, what other processes changed since the last call is known first, key rotations too.
        """
        revisions = connection.proven_at = await self._look.revisions()
        peer, incarnation = connection.peer_certificate, ""
        if peer is not None:
            incarnation = await self._peers.require(peer, revisions)
        if route.proof is Proof.ACME:
            return await self._acme(connection)
        header = connection.headers.get(b"authorization")
        if header is None:
            if peer is not None and route.proof not in _BODY_PROVES:
                return await self._certificate(peer, incarnation)
            return self._unauthenticated(connection, route)
        scheme, _, value = header.partition(b" ")
        kind = scheme.lower()
        if kind == b"bearer" and len(value) <= MAX_TOKEN_CHARACTERS:
            return await self._bearer(value, revisions, peer)
        if kind == b"basic" and route.proof in WITH_SECRET and len(value) <= MAX_TOKEN_CHARACTERS:
            return await self._basic(value, peer)
        raise AuthenticationError(_needed(route), reason="unusable Authorization header")

    async def has_moved(self, connection: Connection) -> bool:
        """Tell whether anything ended or changed since the caller was proven that the proof may have rested on."""
        now, then = await self._look.revisions(), connection.proven_at
        return then is None or (now.services, now.tokens, now.certificates) != (
            then.services,
            then.tokens,
            then.certificates,
        )

    async def require_peer(self, connection: Connection) -> None:
        """Check that the client certificate of an mTLS connection still counts; any other connection passes."""
        if connection.peer_certificate is not None:
            await self._peers.require(connection.peer_certificate, await self._look.revisions())

    async def knows(self, connection: Connection) -> bool:
        """Tell whether a call proves itself although its address is throttled: strangers there harm nobody."""
        peer = connection.peer_certificate
        scheme, _, value = connection.headers.get(b"authorization", b"").partition(b" ")
        kind = scheme.lower()
        if peer is None and (kind not in (b"bearer", b"basic") or len(value) > MAX_TOKEN_CHARACTERS):
            return False
        revisions = await self._look.revisions()
        try:
            if peer is not None:
                await self._peers.require(peer, revisions)
            elif kind == b"bearer":
                await self._bearer(value, revisions)
            else:
                await self._basic(value)
        except AuthenticationError:
            return False
        return True

    async def _acme(self, connection: Connection) -> Caller:
        """Return the service for which an ACME account signed the body, or whose certificate's key did."""
        body = await signed_body(connection, self._warden.settings.max_body_bytes)
        proven = await self._warden.acme.proof.prove(connection.path, body)
        principal = service_principal(proven.service_name)
        credential = _shown(Credential(proven.method.value, proven.name), connection.peer_certificate)
        return Caller(principal, str(principal), acme_rights(proven.service_name), credential)

    async def _certificate(self, peer: PeerCertificate, incarnation: str) -> Caller:
        """Return the service that a client certificate names, with what it is registered for.

        A certificate speaks for the registration that stood when it was issued, and for no later one.
        """
        name = peer.service_name
        service = await self._warden.services.registered(name)
        stands = service is not None and service.incarnation == incarnation
        rights = _rights(name, service.permissions) if service is not None and stands else _only_renewing(name)
        credential = Credential("certificate", name, thumbprint=peer.thumbprint, serial=peer.serial, peer=name)
        return Caller(Principal(Kind.SERVICE, name), f"service:{name}", rights, credential)

    async def _bearer(self, value: bytes, revisions: Revisions, peer: PeerCertificate | None = None) -> Caller:
        """Return whose bearer token this is: a service's, or the admin token.

        A token that is bound to a certificate counts on a connection of that certificate alone, and is a bad token like
        any other elsewhere (RFC 8705 section 3).
        """
        warden, token = self._warden, value.strip().decode("latin-1")
        if token.startswith(ADMIN_TOKEN_PREFIX):
            admin, rights = await warden.admin_token.authenticate(token, revisions)
            return Caller(admin, str(admin), rights, _shown(Credential("admin_token"), peer))
        warden.require("ENABLE_JWT")
        proven = await warden.tokens.authenticate(token, revisions)
        bound_to = proven.bond.thumbprint
        if bound_to and (peer is None or bound_to != peer.thumbprint):
            raise TokenError("the token is bound to another client certificate")
        given = Credential("token", proven.service_name, proven.names, proven.expires_at, bootstrap=proven.bootstrap)
        credential = _shown(given, peer)
        return Caller(proven.principal, f"service:{proven.service_name}", proven.permissions, credential)

    async def _basic(self, value: bytes, peer: PeerCertificate | None = None) -> Caller:
        try:
            text = base64.b64decode(value, validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise AuthenticationError("Authentication failed", reason="malformed Basic header") from error
        name, _, secret = map(unquote_plus, text.partition(":"))  # RFC 6749 section 2.3.1
        service = await self._warden.services.authenticate(name, secret)
        principal = Principal(Kind.SERVICE, service.service_name)
        rights = with_own(service.service_name, service.permissions)
        return Caller(principal, str(principal), rights, _shown(Credential("client_secret"), peer))

    def _unauthenticated(self, connection: Connection, route: Route) -> Caller:
        if route.proof is Proof.REFRESH_TOKEN:
            credential = _shown(Credential("refresh_token"), connection.peer_certificate)
            return Caller(ANONYMOUS, str(ANONYMOUS), _REFRESHING, credential)
        if route.proof is Proof.JOIN:
            return Caller(ANONYMOUS, str(ANONYMOUS), _JOINING, Credential("join_token"))
        if route.proof is Proof.RENEWAL:
            return Caller(ANONYMOUS, str(ANONYMOUS), _RENEWING, Credential("certificate_proof"))
        if route.proof is Proof.TOKEN_REQUEST:
            principal, rights = admit(self._request(connection))
            return Caller(principal, str(principal), rights, Credential("bootstrap"))
        if route.proof is Proof.OPERATOR and connection.text(b"sec-fetch-site") in _NAVIGATION:
            request = self._request(connection)
            names = request.header_names - {"sec-fetch-site"}
            principal, _ = admit(replace(request, content_type="application/json", header_names=names))
            return Caller(principal, str(principal), _OPERATING, Credential("bootstrap"))
        raise AuthenticationError(_needed(route), reason="no credentials")

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
            http_version=connection.http_version,
        )


def _needed(route: Route) -> str:
    return _OR_SECRET if route.proof in WITH_SECRET else _NEEDED


def _shown(credential: Credential, peer: PeerCertificate | None) -> Credential:
    """Return a credential that also tells of the connection's client certificate."""
    if peer is None:
        return credential
    return replace(credential, thumbprint=peer.thumbprint, serial=peer.serial, peer=peer.service_name)


@lru_cache(maxsize=4096)
def _rights(name: str, permissions: tuple[str, ...]) -> PermissionSet:
    """Return what a registered service may do that proves itself by its certificate."""
    return PermissionSet([*with_own(name, permissions).names, f"credentials:renew:{name}"])


@lru_cache(maxsize=4096)
def _only_renewing(name: str) -> PermissionSet:
    """Return what a service may do that holds a good certificate and is not registered."""
    return PermissionSet([f"credentials:renew:{name}"])

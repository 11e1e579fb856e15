"""The door of a worker, called in process: no listener before it, and a body that comes when a test says so."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.types import Message

from tradewarden import Warden
from tradewarden.access.grant import authorize
from tradewarden.access.permission import ALL
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.entry import EventType
from tradewarden.http.deadline import Deadlines
from tradewarden.http.metrics import Metrics
from tradewarden.http.pipeline import Door
from tradewarden.http.protocol import PEER
from tradewarden.http.route import Route
from tradewarden.http.routes import ROUTES
from tradewarden.pki.credentials import IssueCredentials, RevokeCertificate
from tradewarden.pki.peer import PeerCertificate, identifier

ADMIN = Principal(Kind.USER, "admin")
SOURCE = "192.0.2.1"
Headers = Sequence[tuple[str, str]]


class Told(NamedTuple):
    """An answer: its status, its headers, and what its JSON says."""

    status: int
    headers: dict[str, str]
    body: Any


class Call:
    """A call under way; `give` sends its body, `leave` is the client going away. `asked`: the body is wanted."""

    def __init__(self, body: bytes | None) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._sent: list[Message] = []
        self.task: asyncio.Task[None] | None = None
        self.asked = False
        if body is not None:
            self.give(body)

    def give(self, body: bytes) -> None:
        """Send the whole body."""
        self._messages.put_nowait({"type": "http.request", "body": body, "more_body": False})

    def leave(self) -> None:
        """Close the connection."""
        self._messages.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Message:
        """Be the ASGI server's way in."""
        self.asked = True
        return await self._messages.get()

    async def send(self, message: Message) -> None:
        """Be the ASGI server's way out."""
        self._sent.append(message)

    def is_settled(self) -> bool:
        """Tell whether it waits for its body, or is over."""
        return self.asked or self.is_answered()

    def is_answered(self) -> bool:
        """Tell whether it is over."""
        return self.task is not None and self.task.done()

    async def told(self) -> Told:
        """Wait for the answer."""
        assert self.task is not None
        await self.task
        head, body = self._sent
        headers = {name.decode(): value.decode() for name, value in head["headers"]}
        return Told(head["status"], headers, msgspec.json.decode(body["body"]) if body["body"] else None)


class Called:
    """A door, called from `SOURCE` unless a call says otherwise."""

    def __init__(self, warden: Warden, routes: Sequence[Route] = ROUTES) -> None:
        self.warden = warden
        metrics = Metrics(routes, ["test"])
        self.deadlines = Deadlines(30)
        self._door = Door(warden, routes, metrics.slot(0), self.deadlines)

    def begin(
        self,
        method: str,
        path: str,
        peer: PeerCertificate | None = None,
        *,
        body: bytes | None = None,
        headers: Headers = (),
        source: str = SOURCE,
        length: int | None = None,
        query: str = "",
    ) -> Call:
        """Begin a call, over mTLS when there is a peer; without a body it waits for one of `length` bytes."""
        size = len(body or b"") if length is None else length
        own = (("host", "localhost:8002"), ("content-type", "application/json"), ("content-length", str(size)))
        merged = {name.encode(): value.encode() for name, value in (*own, *headers)}
        scope = {
            "type": "http", "http_version": "1.1", "method": method,
            "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "headers": list(merged.items()), "client": (source, 1), "server": ("127.0.0.1", 8002), "scheme": "https",
            "extensions": {"tls": {}, **({} if peer is None else {PEER: peer})},
        }  # fmt: skip
        call = Call(body)
        call.task = asyncio.create_task(self._door(scope, call.receive, call.send))
        return call

    async def ask(
        self, method: str, path: str, peer: PeerCertificate | None, body: object = None, authorization: str = ""
    ) -> tuple[int, Any]:
        """Make a call and return its status and what it says."""
        data = b"" if body is None else msgspec.json.encode(body)
        headers = [("authorization", authorization)] if authorization else []
        told = await self.begin(method, path, peer, body=data, headers=headers).told()
        return told.status, told.body

    async def peer(self, service: str, *permissions: str) -> PeerCertificate:
        """Register a service, issue it a certificate, and return it as a connection would have it."""
        await self.warden.local.services.register(service, list(permissions))
        async with self.warden.entry(EventType.CERTIFICATE, "issue") as entry:
            grant = authorize(ADMIN, ALL, "credentials:issue", service)
            made = await self.warden.authority.issue(grant, IssueCredentials(service), entry)
        return identifier(self.warden.settings.trust_domain)(ssl.PEM_cert_to_DER_cert(made.certificate))

    async def revoke(self, peer: PeerCertificate) -> None:
        """Revoke a certificate."""
        async with self.warden.entry(EventType.CERTIFICATE, "revoke") as entry:
            grant = authorize(ADMIN, ALL, "credentials:revoke")
            await self.warden.authority.revoke(grant, RevokeCertificate(peer.serial), entry)

    def close(self) -> None:
        """End its timer."""
        self.deadlines.stop()

"""The door with a client certificate in the scope: behind proxies, throttled, and beside the plain port."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.types import Message

from tests.support.pki import csr
from tradewarden import Warden, load_settings
from tradewarden.access.grant import authorize
from tradewarden.access.permission import ALL
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.entry import EventType
from tradewarden.http import pipeline
from tradewarden.http.deadline import Deadlines
from tradewarden.http.metrics import Metrics
from tradewarden.http.peers import Peers
from tradewarden.http.pipeline import Door
from tradewarden.http.protocol import PEER
from tradewarden.http.route import Proof, Route
from tradewarden.http.routes import ROUTES
from tradewarden.pki import authority
from tradewarden.pki.certificate.issuer import Issuer
from tradewarden.pki.credentials import IssueCredentials, RevokeCertificate
from tradewarden.pki.peer import PeerCertificate, identifier

ADMIN = Principal(Kind.USER, "admin")


class Called:
    """A door, called in process."""

    def __init__(self, warden: Warden, routes: Sequence[Route] = ROUTES) -> None:
        self.warden = warden
        metrics = Metrics(routes, ["test"])
        self._deadlines = Deadlines(30)
        self._door = Door(warden, routes, metrics.slot(0), self._deadlines)

    async def ask(
        self, method: str, path: str, peer: PeerCertificate | None, body: object = None, authorization: str = ""
    ) -> tuple[int, Any]:
        """Make a call from 192.0.2.1, over mTLS when there is a peer."""
        data = b"" if body is None else msgspec.json.encode(body)
        headers = [(b"host", b"localhost:8002"), (b"content-type", b"application/json")]
        headers.append((b"content-length", str(len(data)).encode()))
        if authorization:
            headers.append((b"authorization", authorization.encode()))
        scope = {
            "type": "http", "http_version": "1.1", "method": method,
            "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": headers, "client": ("192.0.2.1", 1), "server": ("127.0.0.1", 8002), "scheme": "https",
            "extensions": {"tls": {}, **({} if peer is None else {PEER: peer})},
        }  # fmt: skip
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await self._door(scope, receive, send)
        return sent[0]["status"], msgspec.json.decode(sent[1]["body"])

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
        self._deadlines.stop()


@pytest.fixture
async def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Called]:
    """A production service behind proxies, where two anonymous calls a minute pass."""
    monkeypatch.setenv("DOOR_TEST_ROOT", b64encode(bytes(range(32))).decode())
    settings = load_settings(
        {
            "TRADEWARDEN_DATA_DIR": str(tmp_path / "data"),
            "ALPHAPULSE_ENV": "production",
            "TRADEWARDEN_ROOT_KEY": "env:DOOR_TEST_ROOT",
            "TRADEWARDEN_TRUSTED_PROXIES": "10.0.0.0/8",
            "TRADEWARDEN_RATE_LIMITS": "anonymous=2/60",
        }
    )
    warden = await Warden.start(settings, create=True)
    called = Called(warden)
    yield called
    called.close()
    await warden.close()


async def test_mtls_comes_without_a_proxy(door: Called) -> None:
    """Where the plain port is for listed proxies alone, a client certificate is let in from anywhere."""
    bot = await door.peer("bot", "read")
    assert (await door.ask("GET", "/secrets", bot))[0] == 200
    assert (await door.ask("GET", "/secrets", None))[0] == 403


async def test_a_known_certificate_passes_where_strangers_are_throttled(door: Called) -> None:
    """After a flood from its address a good certificate is still served; a revoked one is one of the strangers."""
    bot, gone = await door.peer("bot", "read"), await door.peer("gone", "read")
    await door.revoke(gone)
    statuses = [(await door.ask("GET", "/secrets", gone))[0] for _ in range(4)]
    assert statuses == [401, 401, 429, 429]
    assert (await door.ask("GET", "/secrets", bot))[0] == 200


async def test_a_revocation_counts_on_the_next_request(door: Called) -> None:
    """On routes that need a proof and on open ones, on the connection that stands."""
    bot = await door.peer("bot", "read")
    assert (await door.ask("GET", "/health", bot))[0] == 200
    assert (await door.ask("GET", "/secrets", bot))[0] == 200
    await door.revoke(bot)
    assert (await door.ask("GET", "/health", bot))[0] == 401
    status, problem = await door.ask("GET", "/secrets", bot)
    assert (status, problem["detail"]) == (401, "The client certificate is revoked")


async def test_requests_that_arrive_together_take_costly_steps_together(
    door: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are proven before any is read; all requests for a certificate are verified before any is signed."""
    both = await door.peer("one"), await door.peer("two")
    steps: list[str] = []

    def noted(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def step(*given: object, **named: object) -> object:
            steps.append(name)
            return real(*given, **named)

        monkeypatch.setattr(owner, name, step)

    noted(Peers, "require")
    noted(pipeline, "read_command")
    noted(authority, "requested_key")
    noted(Issuer, "issue")
    asked = [door.ask("POST", "/credentials/renew", peer, {"csr": csr(cn=peer.service_name)}) for peer in both]
    assert [status for status, _ in await asyncio.gather(*asked)] == [200, 200]
    assert steps == [each for each in ("require", "read_command", "requested_key", "issue") for _ in asked]


async def test_a_service_off_the_register_may_only_renew(door: Called) -> None:
    """Its certificate gives it nothing else, for good: a later registration of the name is not the one it is for."""
    bot = await door.peer("bot", "read")
    async with door.warden.entry(EventType.CONFIGURATION_CHANGE, "delete") as entry:
        await door.warden.services.delete(authorize(ADMIN, ALL, "services:manage", "bot"), "bot", entry)
    assert (await door.ask("GET", "/secrets", bot))[0] == 403
    assert (await door.ask("POST", "/tokens/generate", bot, {"service_name": "bot"}))[0] == 403
    status, problem = await door.ask("POST", "/credentials/renew", bot, {"csr": "rubbish"})
    assert status == 400, problem
    await door.warden.local.services.register("bot", ["read"])
    assert (await door.ask("GET", "/secrets", bot))[0] == 403
    assert (await door.ask("POST", "/credentials/renew", bot, {"csr": csr()}))[0] == 403


LASTING: dict[str, dict[str, object]] = {
    "/services": {"service_name": "made", "permissions": []},
    "/services/rotate-secret": {"service_name": "bot"},
    "/tokens/generate": {"service_name": "bot"},
    "/credentials/issue": {"service_name": "bot"},
    "/credentials/join-tokens": {"service_name": "bot"},
    "/credentials/renew": {"csr": csr(cn="bot")},
    "/acme/eab": {"service_name": "bot"},
}
"""What answers with a credential, and a call of it."""
RIGHTS = ("services:manage", "tokens:issue", "credentials:issue", "acme:manage", "read")


def meanwhile(route: Route, happens: Callable[[], Awaitable[object]]) -> Route:
    """Return a route whose handler has done its work, and something happens before it answers."""

    async def handler(*given: Any) -> Any:  # noqa: ANN401 - as a route's handler
        answer = await route.handler(*given)
        await happens()
        return answer

    return replace(route, handler=handler)


async def call_while(
    door: Called, path: str, bot: PeerCertificate, body: object, happens: Callable[[], Awaitable[object]]
) -> int:
    """Make a call during which something happens, and return its status."""
    routes = [meanwhile(each, happens) if each.path == path else each for each in ROUTES]
    return (await Called(door.warden, routes).ask("POST", path, bot, body))[0]


@pytest.mark.parametrize("path", LASTING)
async def test_who_is_revoked_during_a_call_gets_no_credential_from_it(door: Called, path: str) -> None:
    """The new credential would outlive the revocation; it is made, and handed to nobody, and the log tells of both."""
    bot, other = await door.peer("bot", *RIGHTS), await door.peer("other")
    body = LASTING[path]
    assert await call_while(door, path, bot, body, lambda: door.revoke(other)) == 200
    again = {**body, "service_name": "another"} if path == "/services" else body
    assert await call_while(door, path, bot, again, lambda: door.revoke(bot)) == 401


def test_every_answer_with_a_credential_asks_who_the_caller_is_once_more() -> None:
    """A route whose answer holds a credential is marked; those whose body is the proof check it where it is spent."""
    spent = (Proof.REFRESH_TOKEN, Proof.JOIN)
    holding = {"token", "client_secret", "certificate", "join_token", "hmac_key", "private_key"}
    shown = {"/credentials/revoke"}  # a certificate is no secret; what was not yet handed out is
    found = {
        each.path
        for each in ROUTES
        if each.method == "POST" and not isinstance(each.answer, str) and each.proof not in spent
        if holding & set(each.answer.__struct_fields__)
    }
    assert found - shown == {each.path for each in ROUTES if each.lasting} == set(LASTING)

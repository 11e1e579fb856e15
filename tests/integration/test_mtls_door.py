"""The door with a client certificate in the scope: behind proxies, throttled, and beside the plain port."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from tests.support.door import ADMIN, Called
from tests.support.pki import csr
from tradewarden import Warden, load_settings
from tradewarden.access.grant import authorize
from tradewarden.access.permission import ALL
from tradewarden.audit.entry import EventType
from tradewarden.http import pipeline
from tradewarden.http.peers import Peers
from tradewarden.http.route import Proof, Route
from tradewarden.http.routes import ROUTES
from tradewarden.pki import authority
from tradewarden.pki.certificate.issuer import Issuer
from tradewarden.pki.peer import PeerCertificate


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
        for answer in get_args(each.answer) or (each.answer,)
        if holding & {field.name for field in msgspec.structs.fields(answer)}
    }
    assert found - shown == {each.path for each in ROUTES if each.lasting} == set(LASTING)

"""TradPal's names beside the service: the ASGI application, the HTTP client, the demo, the lazy package."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import uvicorn

import services.security_service as door
from services.security_service import SecurityAPI, SecurityServiceClient, create_security_api
from services.security_service.client import SecurityServiceError
from tradewarden.errors import ConfigurationError, InvalidInputError, UnavailableError
from tradewarden.settings.table import VARIABLES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Message

ROOT = Path(__file__).resolve().parents[2]
NAME = "trading_bot_service"


@pytest.fixture(autouse=True)
def fresh_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Work in an empty directory, under no setting of this machine."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)
        monkeypatch.delenv(f"{variable.name}_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
async def api() -> AsyncIterator[SecurityAPI]:
    """A started application."""
    async with create_security_api() as started:
        yield started


def calling(api: SecurityAPI, token: str | None = None) -> SecurityServiceClient:
    """Return a client of an application in this process."""
    return SecurityServiceClient("http://localhost:8002", token, transport=httpx.ASGITransport(api.app))


def test_the_package_gives_every_name_it_promises() -> None:
    """Each name of `__all__` is there, and no other."""
    assert all(getattr(door, name).__name__ == name for name in door.__all__)
    with pytest.raises(AttributeError):
        _ = door.nothing_of_the_kind


async def test_every_documented_call_works_through_the_client(api: SecurityAPI, fresh_directory: Path) -> None:
    """The client's methods are TradPal's calls, end to end through the same pipeline as over a socket."""
    token = await api.service.generate_jwt_token(NAME, ["read", "write"])
    async with calling(api, token.token) as client:
        assert (await client.health())["status"] == "healthy"
        assert (await client.validate_token()).permissions == ("read", "write")
        assert await client.store_secret("api_keys/binance", {"api_key": "k"}) == 1
        assert await client.retrieve_secret("api_keys/binance") == {"api_key": "k"}
        renewed = await client.generate_token(NAME, ["read"])
        assert await api.service.validate_jwt_token(renewed.token) == renewed
    async with calling(api, (fresh_directory / "cache/security/admin.token").read_text()) as admin:
        made = await admin.issue_credentials(NAME)
        assert made.private_key.startswith("-----BEGIN PRIVATE KEY-----")
        assert made.expires_at > made.issued_at


async def test_problems_become_errors_with_the_service_s_own_words(api: SecurityAPI) -> None:
    """A problem answer is raised with its code and detail."""
    token = await api.service.generate_jwt_token(NAME, ["read"])
    async with calling(api, token.token) as client:
        with pytest.raises(SecurityServiceError, match="Secret 'a/b' not found") as missing:
            await client.retrieve_secret("a/b")
        with pytest.raises(SecurityServiceError, match="Insufficient permissions for operation"):
            await client.store_secret("a/b", {})
    assert missing.value.problem.code == "secret_not_found"
    async with calling(api, token.token + "x") as stranger:
        with pytest.raises(SecurityServiceError, match="JWT validation failed"):
            await stranger.validate_token()


async def test_an_application_gives_nobody_a_token_without_credentials(api: SecurityAPI) -> None:
    """Where a foreign server listens is unknown, so even a loopback peer gets no bootstrap token."""
    async with calling(api) as client:
        with pytest.raises(SecurityServiceError) as refused:
            await client.generate_token(NAME, ["read"])
    assert refused.value.problem.status == 401


async def test_it_starts_and_stops_with_the_server() -> None:
    """The lifespan events of a server open and close the service."""
    api = create_security_api()
    coming: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    running: list[tuple[str, bool]] = []

    async def receive() -> Message:
        return coming.pop(0)

    async def send(message: Message) -> None:
        running.append((str(message["type"]), api.service.is_running))

    await api.app({"type": "lifespan"}, receive, send)
    assert running == [("lifespan.startup.complete", True), ("lifespan.shutdown.complete", False)]


async def test_it_runs_in_a_server_that_is_not_ours() -> None:
    """Another server takes the application as it is, starts it, and its callers are judged by the same rules."""
    api = create_security_api()
    server = uvicorn.Server(uvicorn.Config(api.app, port=0, lifespan="on", log_config=None))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with SecurityServiceClient(f"http://localhost:{port}") as client:
        assert (await client.health())["status"] == "healthy"
        with pytest.raises(SecurityServiceError, match="Authentication required"):
            await client.generate_token(NAME)
        client.token = (await api.service.generate_jwt_token(NAME)).token
        assert (await client.validate_token()).service_name == NAME
    server.should_exit = True
    await serving
    assert not api.service.is_running


async def test_a_failed_start_is_told_to_the_server(fresh_directory: Path) -> None:
    """A directory that cannot be opened ends the server's start with the reason."""
    (fresh_directory / "cache/security").mkdir(parents=True)
    (fresh_directory / "cache/security/root.key").write_text("foreign")
    told: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        told.append(message)

    await create_security_api().app({"type": "lifespan"}, receive, send)
    assert told[0]["type"] == "lifespan.startup.failed"
    assert "root.key" in told[0]["message"]


async def test_a_call_before_the_start_is_refused() -> None:
    """Without lifespan and without start() a request says what is missing."""
    async with calling(create_security_api()) as client:
        with pytest.raises(UnavailableError, match="lifespan"):
            await client.health()


def test_the_client_sends_nothing_in_the_clear_to_another_host() -> None:
    """Only this machine is called without TLS."""
    with pytest.raises(InvalidInputError, match="https"):
        SecurityServiceClient("http://security.example:8002")


async def test_the_client_says_when_nobody_answers() -> None:
    """A refused connection is an error of ours that names the address."""
    async with SecurityServiceClient("http://localhost:1") as client:
        with pytest.raises(UnavailableError, match="localhost"):
            await client.health()


def test_the_demo_runs_twice_and_leaves_only_its_data(fresh_directory: Path) -> None:
    """The demo ends well on a fresh and on a used directory, shows no secret, and writes below its data directory."""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, ROOT / "services/security_service/demo.py"],
            cwd=fresh_directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "its forgery  refused" in done.stdout
        assert "eyJ" not in done.stdout + done.stderr
        assert "PRIVATE KEY" not in done.stdout + done.stderr
    assert [path.name for path in fresh_directory.iterdir()] == ["cache"]


def test_the_demo_says_what_is_wrong_with_the_settings(fresh_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in the environment is one line and no traceback."""
    monkeypatch.setenv("JWT_EXPIRATION_HOURS", "never")
    done = subprocess.run(
        [sys.executable, ROOT / "services/security_service/demo.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "JWT_EXPIRATION_HOURS" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(ConfigurationError):
        SecurityAPI()

"""The contexts in the libraries they are for: httpx, aiohttp, uvicorn, asyncpg with a real PostgreSQL."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import asyncpg  # type: ignore[import-untyped]
import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.support.postgres import OWNER, Postgres, Tls, postgres
from tests.support.service import free_port
from tests.support.workload import Issuer
from tradewarden.workload.contexts import Contexts, LiveContext
from tradewarden.workload.errors import PinMismatchError
from tradewarden.workload.pair import Pair
from tradewarden.workload.peer import Peer, peer, pin_text

ISSUER = Issuer()
RIGHT = peer([pin_text(ISSUER.issuing.certificate)], "orders", "trade.example")
WRONG = peer([pin_text(Issuer().root.certificate)], None, "trade.example")
heard: list[str] = []


def contexts(service: str) -> Contexts:
    """Return the contexts of a service."""
    made = Contexts()
    made.adopt(ISSUER.pair(service), b"")
    return made


def client(rules: Peer = RIGHT) -> LiveContext:
    """Return a context for calls of the service `trader`."""
    return contexts("trader").hand_out(LiveContext.client(rules, check_revocation=False))


async def hello(request: Request) -> PlainTextResponse:
    """Answer."""
    heard.append(request.url.path)
    return PlainTextResponse("hello")


@asynccontextmanager
async def served(held: Contexts, loop: str = "asyncio") -> AsyncIterator[str]:
    """Run uvicorn with a server context, in this event loop."""
    context = held.hand_out(LiveContext.server(Peer(), check_revocation=False, require_client=True))
    port = free_port()
    config = uvicorn.Config(
        Starlette(routes=[Route("/{path:path}", hello)]),
        port=port,
        ssl_context_factory=lambda _config, _default: context,
        log_config=None,
        lifespan="off",
        ws="none",
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


async def test_httpx_and_uvicorn() -> None:
    """An httpx client and a uvicorn server prove themselves to each other; a client without a certificate is nobody."""
    heard.clear()
    async with served(contexts("orders")) as url:
        async with httpx.AsyncClient(verify=client(), trust_env=False) as session:
            assert (await session.get(f"{url}/one")).text == "hello"
        async with httpx.AsyncClient(verify=client(WRONG), trust_env=False) as session:
            with pytest.raises(httpx.ConnectError, match="none of its keys is pinned"):
                await session.get(f"{url}/two")
        anyone = ssl.create_default_context(cadata=ISSUER.root.pem.decode())
        async with httpx.AsyncClient(verify=anyone, trust_env=False) as session:
            with pytest.raises(httpx.TransportError):
                await session.get(f"{url}/three")

        def blocking() -> str:
            with httpx.Client(verify=client(), trust_env=False) as session:
                return session.get(f"{url}/four").text

        assert await asyncio.to_thread(blocking) == "hello"
    assert heard == ["/one", "/four"]


async def test_aiohttp() -> None:
    """An aiohttp client does the same, and its error carries ours."""
    heard.clear()
    async with served(contexts("orders")) as url:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client())) as session,
            session.get(f"{url}/one") as answer,
        ):
            assert await answer.text() == "hello"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client(WRONG))) as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
                await session.get(f"{url}/two")
    assert isinstance(caught.value.certificate_error, PinMismatchError)
    assert heard == ["/one"]


async def test_a_server_in_use_changes_its_certificate() -> None:
    """Uvicorn shows the next certificate without a restart, and a kept-alive connection goes on."""
    held = contexts("orders")
    async with served(held) as url, httpx.AsyncClient(verify=client(), trust_env=False) as kept:

        async def shown(session: httpx.AsyncClient) -> str:
            answer = await session.get(url)
            stream = answer.extensions["network_stream"]
            return str(stream.get_extra_info("ssl_object").getpeercert()["serialNumber"])

        before = await shown(kept)
        replaced = ISSUER.pair("orders")
        held.adopt(replaced, b"")
        assert await shown(kept) == before
        async with httpx.AsyncClient(verify=client(), trust_env=False) as fresh:
            assert int(await shown(fresh), 16) == replaced.leaf.serial_number


def _tls(pair: Pair) -> Tls:
    return Tls(pair.key_pem, pair.chain_pem, pair.roots_pem)


HBA = "hostssl all all 127.0.0.1/32 trust clientcert=verify-full\n"


async def _who(server: Postgres, context: ssl.SSLContext, user: str) -> str:
    connection = await asyncpg.connect(
        host="127.0.0.1", port=server.port, user=user, database="postgres", ssl=context, timeout=10
    )
    try:
        return str(await connection.fetchval("SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
    finally:
        await connection.close()


async def test_asyncpg_and_postgresql() -> None:
    """PostgreSQL takes the service by its certificate, for its own name only, and asyncpg checks the server's."""
    owner = contexts(OWNER).hand_out(LiveContext.client(RIGHT, check_revocation=False))
    with postgres(hba=HBA, tls=_tls(ISSUER.pair("orders"))) as server:
        assert await _who(server, owner, OWNER) == f"/CN={OWNER}"
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="authentication failed for user"):
            await _who(server, client(), OWNER)
        with pytest.raises(PinMismatchError):
            await _who(server, contexts(OWNER).hand_out(LiveContext.client(WRONG, check_revocation=False)), OWNER)
        anyone = ssl.create_default_context(cadata=ISSUER.root.pem.decode())
        with pytest.raises((asyncpg.InvalidAuthorizationSpecificationError, OSError)):
            await _who(server, anyone, OWNER)
        replaced = ISSUER.pair("orders")
        server.show(_tls(replaced))
        server.reload()
        assert await _who(server, owner, OWNER) == f"/CN={OWNER}"

"""A client that offers another protocol in clear HTTP is served in this one: curl, Java's HttpClient, a browser."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from tests.support.http import Listening, answer_json, listening, on_uvloop, parse, read_body, until

POST = Path(__file__).parents[1] / "support" / "stacks" / "Post.java"
BODY = b'{"service_name":"demo"}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b'10;a=b\r\n{"service_name":\r\n7\r\n"demo"}\r\n0\r\nUpgrade: x\r\n\r\n'
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
WEBSOCKET = b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
OFFERS = pytest.mark.parametrize("offer", [H2C, WEBSOCKET, H2C + b"Upgrade: foo/2\r\n"])
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what arrived."""
    body = await read_body(receive)
    if body is not None:
        names = [name.decode() for name, _ in scope["headers"]]
        await answer_json(send, {"path": scope["path"], "body": body.decode(), "headers": names})


def head(offer: bytes, framing: bytes = b"", method: bytes = b"POST") -> bytes:
    """Write a head that offers another protocol."""
    return method + b" /tokens?a=b HTTP/1.1\r\nHost: a\r\n" + offer + framing + b"\r\n"


def both(raw: bytes) -> tuple[object, object]:
    """Return what two answers on one connection say of the bodies that came."""
    first, second = raw.split(b"HTTP/1.1 ")[1:]
    return parse(b"HTTP/1.1 " + first).json()["body"], parse(b"HTTP/1.1 " + second).json()["path"]


@OFFERS
@pytest.mark.parametrize(("framing", "body"), [(LENGTH, BODY), (CHUNKED, CHUNKS)])
@on_uvloop
async def test_a_body_in_the_same_segment_arrives(offer: bytes, framing: bytes, body: bytes) -> None:
    """Head, body and the next request in one segment are read as without the offer, and both are answered."""
    async with listening(echo) as here:
        assert both(await here.raw(head(offer, framing) + body + LAST)) == (BODY.decode(), "/last")
    assert not here.refused


@OFFERS
@pytest.mark.parametrize(("framing", "body"), [(LENGTH, BODY), (CHUNKED, CHUNKS)])
@on_uvloop
async def test_a_body_in_later_segments_arrives(offer: bytes, framing: bytes, body: bytes) -> None:
    """A body that comes later, byte by byte, is the body of the request that made the offer."""
    async with listening(echo) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        for piece in (head(offer, framing), *(body[at : at + 1] for at in range(len(body))), LAST):
            writer.write(piece)
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            raw = await reader.read()
        writer.close()
    assert both(raw) == (BODY.decode(), "/last")


@OFFERS
@on_uvloop
async def test_a_head_in_pieces_is_one_head(offer: bytes) -> None:
    """A head that comes byte by byte is read once, and its offer reaches no application."""
    async with listening(echo) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        for byte in head(offer, LENGTH + b"Connection: close\r\n"):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        writer.write(BODY)
        async with asyncio.timeout(10):
            answer = parse(await reader.read())
        writer.close()
    assert answer.json()["body"] == BODY.decode()
    assert answer.json()["path"] == "/tokens"
    assert "upgrade" not in answer.json()["headers"]


@on_uvloop
async def test_a_request_without_a_body_leaves_the_connection_open() -> None:
    """GETs with an offer are each answered once on one connection, in order; their number ahead is bounded as ever."""
    gate = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await echo(scope, receive, send)

    async with listening(echo) as here:
        raw = await here.raw(head(WEBSOCKET, method=b"GET") * 5 + LAST)
    assert raw.count(b"HTTP/1.1 200") == 6
    async with listening(slow, pipelined=3) as here:
        asking = asyncio.create_task(here.raw(head(H2C, method=b"GET") * 30))
        await until(lambda: here.refused)
        gate.set()
        assert (await asking).count(b"HTTP/1.1 200") == 4
    assert here.refused == ["pipeline 127.0.0.1"]


@pytest.mark.parametrize(
    ("framing", "status", "reason"),
    [
        (LENGTH + CHUNKED, 400, "malformed_request"),
        (LENGTH + LENGTH, 400, "malformed_request"),
        (b"Host: b\r\n", 400, "ambiguous_framing"),
        (b"X: " + b"y" * 33_000 + b"\r\n", 431, "headers_too_large"),
    ],
)
@on_uvloop
async def test_an_offer_changes_nothing_about_what_is_refused(framing: bytes, status: int, reason: str) -> None:
    """A head that is ambiguous or too large is refused with an offer in it, too, and reported once."""
    async with listening(echo) as here:
        answer = await here.ask(head(H2C, framing) + BODY)
    assert answer.status == status
    assert here.refused == [f"{reason} 127.0.0.1"]


@on_uvloop
async def test_a_large_body_behind_a_large_head_arrives() -> None:
    """A head near its limit and a body of many segments arrive whole behind an offer."""
    body = b"x" * 900_000
    lines = b"".join(b"X-%d: %b\r\n" % (number, b"y" * 900) for number in range(30))
    framing = lines + b"Content-Length: %d\r\nConnection: close\r\n" % len(body)
    async with listening(echo) as here:
        answer = await here.ask(head(H2C, framing) + body)
    assert answer.json()["body"] == body.decode()


async def said(here: Listening, *command: object) -> str:
    """Run a client against a listener, with no proxy between; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        f"http://127.0.0.1:{here.port}/tokens",
        env={"PATH": "/usr/bin:/bin", "NO_PROXY": "*"},
        stdout=asyncio.subprocess.PIPE,
        stderr=sys.stderr,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return output.decode()


@on_uvloop
async def test_curl_may_offer_http2() -> None:
    """`curl --http2` posts a body in clear HTTP and is answered in HTTP/1.1."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    async with listening(echo) as here:
        output = await said(here, curl, "-sS", "--http2", "-w", " %{http_version} %{http_code}", "-d", BODY.decode())
    assert BODY.decode().replace('"', '\\"') in output
    assert output.endswith(" 1.1 200")


@on_uvloop
async def test_javas_http_client_works_as_it_comes() -> None:
    """Java's HttpClient, which offers HTTP/2 with each first request, posts twice on one connection."""
    java = shutil.which("java")
    if java is None:
        pytest.skip("Java is not installed")
    async with listening(echo) as here:
        output = await said(here, java, "-XX:TieredStopAtLevel=1", "-Xshare:auto", POST, BODY.decode())
    first, second = output.splitlines()
    assert first == second
    assert first.startswith("HTTP_1_1 200 ")
    assert BODY.decode().replace('"', '\\"') in first

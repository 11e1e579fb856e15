"""The listener over real sockets: what it serves, what it refuses and how, its times, its end, and TLS."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.types import Receive, Scope, Send

from tests.support.http import Listening, answer_json, listening, on_uvloop, parse, read_body, until
from tradewarden.errors import ConfigurationError
from tradewarden.http.tls import server_context

CLOSE = b"Connection: close\r\n\r\n"
TOO_LARGE = "framing_too_large"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what arrived."""
    body = await read_body(receive)
    if body is None:
        return
    await answer_json(
        send,
        {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode(),
            "headers": [name.decode() for name, _ in scope["headers"]],
            "body": body.decode(),
            "client": scope["client"][0],
            "scheme": scope["scheme"],
        },
    )


def request(*lines: str, body: str = "", end: str = "Connection: close") -> bytes:
    """Write a request with a Host."""
    first, *headers = lines
    return "\r\n".join([first, "Host: a", *headers, *([end] if end else []), "", body]).encode()


async def refused(here: Listening, data: bytes, status: int, reason: str) -> None:
    """Check one refusal: a problem with our headers, the connection closed, the report made."""
    answer = await here.ask(data)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-content-type-options"] == "nosniff"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["code"] == reason
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert here.refused == [f"{reason} 127.0.0.1"]


@on_uvloop
async def test_a_request_arrives_as_it_was_sent() -> None:
    """Method, decoded path, query, headers, body and the peer's address reach the application."""
    async with listening(echo) as here:
        answer = await here.ask(request("POST /a%20b?c=d HTTP/1.1", "Content-Length: 2", "X-A: 1", body="hi"))
    assert answer.status == 200
    assert answer.json() == {
        "method": "POST",
        "path": "/a b",
        "query": "c=d",
        "headers": ["host", "content-length", "x-a", "connection"],
        "body": "hi",
        "client": "127.0.0.1",
        "scheme": "http",
    }
    assert "date" in answer.headers
    assert "server" not in answer.headers


@on_uvloop
async def test_proxy_headers_change_nothing() -> None:
    """The client is the socket's peer, whatever a header says."""
    async with listening(echo) as here:
        answer = await here.ask(request("GET / HTTP/1.1", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https"))
    assert answer.json()["client"] == "127.0.0.1"
    assert answer.json()["scheme"] == "http"


@on_uvloop
async def test_requests_sent_ahead_are_answered_in_order() -> None:
    """Three pipelined requests are answered in their order on one connection."""
    data = request("GET /1 HTTP/1.1", end="") * 1 + request("GET /2 HTTP/1.1", end="") + request("GET /3 HTTP/1.1")
    async with listening(echo) as here:
        raw = await here.raw(data)
    assert [raw.find(b'"/%d"' % number) > 0 for number in (1, 2, 3)] == [True] * 3
    assert raw.find(b'"/1"') < raw.find(b'"/2"') < raw.find(b'"/3"')


@on_uvloop
async def test_a_refused_request_does_not_answer_for_an_earlier_one() -> None:
    """While an earlier request is being answered, a refusal adds nothing to its answer; then the connection closes."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        await answer_json(send, {"path": scope["path"]})

    async with listening(slow) as here:
        raw = await here.raw(request("GET /1 HTTP/1.1", end="") + b"NONSENSE\r\n\r\n")
    assert raw.count(b"HTTP/1.1 ") == 1
    assert parse(raw).json() == {"path": "/1"}
    assert here.refused == ["malformed_request 127.0.0.1"]


@on_uvloop
async def test_too_many_requests_sent_ahead_end_the_connection() -> None:
    """The number of requests that wait on one connection is bounded."""
    gate = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await answer_json(send, {})

    async with listening(slow, pipelined=3) as here:
        asking = asyncio.create_task(here.raw(request("GET / HTTP/1.1", end="") * 10))
        await until(lambda: here.refused)
        gate.set()
        assert (await asking).count(b"HTTP/1.1 200") == 4
    assert here.refused == ["pipeline 127.0.0.1"]


@on_uvloop
async def test_chunks_arrive_and_trailers_do_not() -> None:
    """A chunked body is put together; a trailer never becomes a header (RFC 9110 6.5.1)."""
    body = "3\r\nabc\r\n2\r\nde\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
    async with listening(echo) as here:
        answer = await here.ask(request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=body))
    assert answer.json()["body"] == "abcde"
    assert "authorization" not in answer.json()["headers"]


NO_HOSTS = (b"", b" ", b"a b", b"a/c", b"a@d", b"a?b", b"a:b", b"a:80:80", b":80", b"a,b c", b"%zz", b"[::1", b"::1",
            b"a\\b", b"\xc3\xa4", b"http://a")  # fmt: skip
HOSTS = (b"a", b"A.example:8443", b"a_b", b"a:", b"127.0.0.1:80", b"[::1]", b"[2001:db8::1]:443", b"[v1.a:b]", b"a%20b")


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (request("POST / HTTP/1.1", "Content-Length: 3", "Transfer-Encoding: chunked", body="0\r\n\r\n"), 400, None),
        (request("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Content-Length: 3", body="0\r\n\r\n"), 400, None),
        (request("POST / HTTP/1.1", "Content-Length: 3", "Content-Length: 3", body="abc"), 400, None),
        (request("POST / HTTP/1.1", "Content-Length: +3", body="abc"), 400, None),
        (request("POST / HTTP/1.1", "Content-Length: 3, 3", body="abc"), 400, None),
        (
            request("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body="0\r\n\r\n"),
            400,
            None,
        ),
        (request("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked", body="0\r\n\r\n"), 400, "unknown_framing"),
        (request("POST / HTTP/1.1", "Transfer-Encoding: gzip", body="0\r\n\r\n"), 400, "unknown_framing"),
        (request("POST / HTTP/1.1", "Transfer-Encoding: xchunked", body="0\r\n\r\n"), 400, "unknown_framing"),
        (request("POST / HTTP/1.0", "Transfer-Encoding: chunked", body="0\r\n\r\n"), 400, "unknown_framing"),
        (request("GET / HTTP/1.1", "Host: b"), 400, "ambiguous_framing"),
        (b"GET / HTTP/1.1\r\n" + CLOSE, 400, "malformed_request"),
        *((b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", 400, "malformed_request") for host in NO_HOSTS),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400, "malformed_request"),
        (request("GET / HTTP/1.1", "X : y"), 400, "malformed_request"),
        (request("GET / HTTP/1.1", "X: a", " folded"), 400, "malformed_request"),
        (request("GET / HTTP/1.1", "X: a\x00b"), 400, "malformed_request"),
        (request("GET /a#b HTTP/1.1"), 400, "malformed_request"),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_request"),
        (request("GET http://other/ HTTP/1.1"), 400, "malformed_request"),
        (request("GET http://a HTTP/1.1"), 400, "malformed_request"),
        (request("GET * HTTP/1.1"), 400, "malformed_request"),
        (request("CONNECT a:80 HTTP/1.1"), 400, "malformed_request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed_request"),
        (request("GET / HTTP/2.0"), 505, "http_version"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "malformed_request"),
        (request("GET / HTTP/1.1", *(f"X-{n}: y" for n in range(99))), 431, "headers_too_large"),
        (request("GET / HTTP/1.1", "X: " + "y" * 33000), 431, "headers_too_large"),
        (request("GET / HTTP/1.1", *(f"X-{n}: {'y' * 900}" for n in range(40))), 431, "headers_too_large"),
        (request("GET /" + "a" * 8192 + " HTTP/1.1"), 414, "target_too_long"),
        (request("GET /?" + "a" * 300_000 + " HTTP/1.1"), 414, "target_too_long"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 700_000, 431, "headers_too_large"),
    ],
)
@on_uvloop
async def test_what_is_not_one_clear_request_is_refused(data: bytes, status: int, reason: str | None) -> None:
    """Ambiguous, unknown or oversize heads get a problem, are reported, close the connection, reach no application."""
    reached = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope)
        await echo(scope, receive, send)

    async with listening(app) as here:
        if reason:
            await refused(here, data, status, reason)
        else:  # the parser or we: either names it in its way
            assert (await here.ask(data)).status == status
            assert len(here.refused) == 1
    assert not reached


@on_uvloop
async def test_every_host_of_a_url_passes() -> None:
    """Names, addresses and ports as URLs have them (RFC 3986 section 3.2); HTTP/1.0 may say anything, or nothing."""
    async with listening(echo) as here:
        for host in HOSTS:
            assert (await here.ask(b"GET / HTTP/1.1\r\nHost: %b\r\n%b" % (host, CLOSE))).status == 200, host
        for line in (b"", b"Host:\r\n", b"Host: a b\r\n"):
            assert (await here.ask(b"GET / HTTP/1.0\r\n%b\r\n" % line)).status == 200, line


@on_uvloop
async def test_heads_at_the_limits_pass() -> None:
    """A hundred headers, and a target of exactly the limit, are served."""
    async with listening(echo) as here:
        many = await here.ask(request("GET / HTTP/1.1", *(f"X-{n}: y" for n in range(98))))
        long = await here.ask(request("GET /" + "a" * 8191 + " HTTP/1.1"))
    assert (many.status, long.status) == (200, 200)


@on_uvloop
async def test_an_absolute_target_for_this_host_is_served() -> None:
    """RFC 9112 3.2.2: a server accepts the absolute form; here when it names the Host."""
    async with listening(echo) as here:
        answer = await here.ask(request("GET http://A/b?c HTTP/1.1"))
    assert answer.json()["path"] == "/b"


@pytest.mark.parametrize(
    "body",
    [
        "3;" + "x" * 20_000 + "\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0;x=" + "y" * 20_000 + "\r\n\r\n",
        "".join("1;x=yyyyyyyyyyyyyyyyyyyyyyyy\r\na\r\n" for _ in range(1000)) + "0\r\n\r\n",
        "0" * 20_000 + "3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: " + "y" * 20_000 + "\r\n\r\n",
        "3\r\nabc\r\n0\r\n" + "X: yyyy\r\n" * 3000 + "\r\n",
        "3\r\nabc\r\n0\r\n" + "X: yyyy\r\n" * 100_000,
        f"{100_000:x}\r\n" + "y" * 100_000 + "\r\n0\r\n" + "X: yyyy\r\n" * 3000 + "\r\n",
    ],
)
@pytest.mark.parametrize("apart", [False, True])
@on_uvloop
async def test_what_is_no_content_of_a_chunked_body_is_bounded(body: str, apart: bool) -> None:
    """Chunk extensions, trailers and long sizes end the request with 413, in one read or in many."""
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await read_body(receive))

    async with listening(app) as here:
        if not apart:
            await refused(here, request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=body), 413, TOO_LARGE)
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
            for piece in (request("POST / HTTP/1.1", "Transfer-Encoding: chunked"), body.encode()):
                writer.write(piece)
                await asyncio.sleep(0.02)
            assert parse(await reader.read()).status == 413
            writer.close()
    assert seen == [None]


@on_uvloop
async def test_a_chunked_body_of_any_size_of_chunk_arrives() -> None:
    """Small chunks, large ones and padded sizes pass; a few extensions and trailers are ignored."""
    one = "1\r\na\r\n" * 50_000
    large = f"{500_000:08X}\r\n" + "b" * 500_000 + "\r\n"
    marked = "1;x=y\r\nc\r\n" * 100
    body = one + large + marked + "0;last\r\n" + "X: y\r\n" * 200 + "\r\n"
    async with listening(echo) as here:
        answer = await here.ask(request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=body))
    assert answer.json()["body"] == "a" * 50_000 + "b" * 500_000 + "c" * 100


@on_uvloop
async def test_a_broken_body_is_refused_and_the_application_sees_the_client_gone() -> None:
    """A chunk that is none ends the request with 400; the application gets http.disconnect."""
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await read_body(receive))

    async with listening(app) as here:
        await refused(
            here,
            request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body="zz\r\n"),
            400,
            "malformed_request",
        )
    assert seen == [None]


@on_uvloop
async def test_an_answer_before_the_whole_body_closes_the_connection() -> None:
    """Who is refused before its body was read gets the answer whole, and the rest of the body is not waited for."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer_json(send, {"too": "large"}, 413)

    async with listening(app) as here:
        answer = await here.ask(request("POST / HTTP/1.1", "Content-Length: 900000", body="x" * 600_000, end=""))
    assert answer.status == 413
    assert answer.headers["connection"] == "close"


@on_uvloop
async def test_expect_100_is_answered_when_the_body_is_wanted() -> None:
    """The client is told to go on only when the application reads."""
    async with listening(echo) as here:
        raw = await here.raw(request("POST / HTTP/1.1", "Content-Length: 2", "Expect: 100-continue", body="hi"))
    assert raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


@on_uvloop
async def test_a_slow_head_is_closed_with_408() -> None:
    """A head that is not whole in time is refused, however steadily it drips."""
    async with listening(echo, header_seconds=0.3) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writer.write(b"GET / HTTP/1.1\r\n")
        for _ in range(100):
            if reader.at_eof() or here.refused:
                break
            writer.write(b"X: y\r\n")
            await asyncio.sleep(0.02)
        assert parse(await asyncio.wait_for(reader.read(), 5)).status == 408
        writer.close()
    assert here.refused == ["slow_headers 127.0.0.1"]


@on_uvloop
async def test_a_slow_body_is_closed_with_408() -> None:
    """A body that is not whole in time is refused."""
    async with listening(echo, body_seconds=0.2) as here:
        answer = await here.ask(request("POST / HTTP/1.1", "Content-Length: 10", body="abc"))
    assert answer.status == 408
    assert here.refused == ["slow_body 127.0.0.1"]


@on_uvloop
async def test_silent_and_idle_connections_are_closed_without_a_word() -> None:
    """Nothing sent: closed after the head's time; an idle kept-alive one after its own."""
    async with listening(echo, header_seconds=0.2, keep_alive_seconds=0.2) as here:
        assert await here.raw(b"") == b""
        assert (await here.raw(request("GET / HTTP/1.1", end=""))).count(b"HTTP/1.1 200") == 1
    assert here.refused == []


@on_uvloop
async def test_connections_over_the_limit_get_503() -> None:
    """One connection more than the limit is told so; the others live."""
    async with listening(echo, connections=2) as here:
        first = await asyncio.open_connection("127.0.0.1", here.port)
        second = await asyncio.open_connection("127.0.0.1", here.port)
        second[1].write(request("GET / HTTP/1.1", end=""))
        await second[0].readuntil(b"}")
        await refused(here, request("GET / HTTP/1.1"), 503, "too_many_connections")
        first[1].write(request("GET / HTTP/1.1"))
        assert parse(await first[0].read()).status == 200
        for _, writer in (first, second):
            writer.close()


@pytest.mark.parametrize("fault", ["raise", "nothing", "header", "short", "long"])
@on_uvloop
async def test_a_faulty_application_is_answered_for(fault: str) -> None:
    """Whatever escapes the application ends in a 500 problem or a closed connection, never in a broken answer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if fault == "raise":
            raise ValueError("made up")
        if fault == "nothing":
            return
        value = b"1\r\nX-Injected: 1" if fault == "header" else b"1"
        headers = [(b"content-length", b"2"), (b"x-a", value)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": {"short": b"a", "long": b"aaa"}.get(fault, b"aa")})

    async with listening(app) as here:
        answer = await here.ask(request("GET / HTTP/1.1"))
    assert answer.status == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"made up" not in answer.body


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
@on_uvloop
async def test_answers_without_a_body_have_none(method: str, status: int) -> None:
    """HEAD, 204 and 304 send no body, and the next answer on the connection is whole."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/next":
            await answer_json(send, {"next": True})
            return
        headers = [(b"content-length", b"5")] if method == "HEAD" else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello" if method == "HEAD" else b""})

    async with listening(app) as here:
        raw = await here.raw(request(f"{method} / HTTP/1.1", end="") + request("GET /next HTTP/1.1"))
    first, _, rest = raw.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 %d" % status)
    assert parse(rest).json() == {"next": True}


@on_uvloop
async def test_a_streamed_answer_is_chunked() -> None:
    """Without a length an answer goes out in chunks."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body", "body": b"de"})

    async with listening(app) as here:
        answer = await here.ask(request("GET / HTTP/1.1"))
    assert answer.body == b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


@on_uvloop
async def test_a_stop_answers_what_was_accepted() -> None:
    """After the stop a running request is answered with `connection: close`, and an idle connection is closed."""
    started = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        started.set()
        await asyncio.sleep(0.3)
        await answer_json(send, {})

    async with listening(slow) as here:
        idle = await asyncio.open_connection("127.0.0.1", here.port)
        asking = asyncio.create_task(here.raw(request("GET / HTTP/1.1", end="")))
        await started.wait()
        here.stop.set()
        answer = parse(await asking)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await idle[0].read() == b""
        idle[1].close()
        await here.done


@on_uvloop
async def test_a_stop_does_not_wait_for_ever() -> None:
    """What is not answered within the time for the shutdown is cancelled, and the listener ends."""
    ended = []

    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async with listening(stuck, shutdown_seconds=0.2) as here:
        asking = asyncio.create_task(here.raw(request("GET / HTTP/1.1")))
        await asyncio.sleep(0.1)
        here.stop.set()
        await asyncio.wait_for(here.done, 3)
        await asyncio.wait([asking])
    assert ended == [True]


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pem() -> tuple[bytes, bytes]:
    """A self-signed certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _client(pem: tuple[bytes, bytes]) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=pem[0].decode())
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@on_uvloop
async def test_tls_serves_and_tells_the_application(pem: tuple[bytes, bytes]) -> None:
    """TLS 1.3 with ALPN http/1.1; the scope carries the ASGI TLS extension; no session ticket is given."""
    seen: dict[str, Any] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update(scope)
        await answer_json(send, {})

    async with listening(app, context=server_context(*pem)) as here:
        reader, writer = await asyncio.open_connection("localhost", here.port, ssl=_client(pem))
        tls = writer.get_extra_info("ssl_object")
        writer.write(request("GET / HTTP/1.1"))
        answer = parse(await reader.read())
        assert (tls.version(), tls.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
        assert tls.session is None or not tls.session.has_ticket
        writer.close()
    assert answer.status == 200
    assert seen["scheme"] == "https"
    extension = seen["extensions"]["tls"]
    assert (extension["tls_version"], extension["client_cert_chain"]) == (0x0304, [])
    assert extension["cipher_suite"] in (0x1301, 0x1302, 0x1303)


@on_uvloop
async def test_an_older_tls_is_refused(pem: tuple[bytes, bytes]) -> None:
    """A client that speaks TLS 1.2 at most gets no connection, and that is reported."""
    client = _client(pem)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening(echo, context=server_context(*pem)) as here:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("localhost", here.port, ssl=client)
        await until(lambda: here.refused)
    assert here.refused == ["tls_handshake 127.0.0.1"]


@on_uvloop
async def test_a_handshake_that_stalls_is_ended(pem: tuple[bytes, bytes]) -> None:
    """A client that connects and never greets is closed after the head's time."""
    async with listening(echo, context=server_context(*pem), header_seconds=0.2) as here:
        assert await here.raw(b"") == b""
    assert here.refused == ["tls_handshake 127.0.0.1"]


@on_uvloop
async def test_a_refusal_reaches_the_client_over_tls(pem: tuple[bytes, bytes]) -> None:
    """A refused request is answered over TLS too."""
    async with listening(echo, context=server_context(*pem)) as here:
        reader, writer = await asyncio.open_connection("localhost", here.port, ssl=_client(pem))
        writer.write(b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert parse(await reader.read()).status == 400
        writer.close()


def test_paths_and_bytes_load_alike_and_mistakes_are_named(tmp_path: Path, pem: tuple[bytes, bytes]) -> None:
    """A certificate and key come from files or memory; what does not fit is a ConfigurationError without content."""
    chain, key = tmp_path / "c.pem", tmp_path / "k.pem"
    chain.write_bytes(pem[0])
    key.write_bytes(pem[1])
    assert server_context(chain, key).minimum_version is ssl.TLSVersion.TLSv1_3
    with pytest.raises(ConfigurationError, match=str(tmp_path / "none.pem")):
        server_context(chain, tmp_path / "none.pem")
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    with pytest.raises(ConfigurationError, match="password"):
        server_context(pem[0], other)

"""Tradewarden over HTTP and mTLS as a provider: what a token may do, what breaks off, and what only looks like it."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.mtls import issued, mtls_port
from tests.support.providers import fresh
from tests.support.service import Service, service, wait_until
from tests.support.trial import done
from tests.support.wire import Wire
from tradewarden import ServiceIdentity
from tradewarden.errors import (
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
    TradewardenError,
)
from tradewarden.secrets.providers import service_calls
from tradewarden.secrets.providers.service import ServiceProvider

__all__ = ["service"]
FOUND = b'{"path":"key","data":{"value":"content"},"version":3,"created_at":"x"}'
STORED = b'{"path":"key","version":4,"created_at":"x"}'


def answer(body: bytes = FOUND, status: int = 200, *headers: bytes, length: int | None = None) -> bytes:
    """Return an HTTP answer; `length` is the length that it claims."""
    size = len(body) if length is None else length
    head = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n" % (status, size)
    return head + b"".join(each + b"\r\n" for each in headers) + b"\r\n" + body


def problem(status: int, code: str) -> bytes:
    """Return a refusal as Tradewarden writes it."""
    body = {"type": "x", "title": "t", "status": status, "detail": "what is wrong", "code": code, "request_id": "r1"}
    return answer(msgspec.json.encode(body), status, b"Content-Type: application/problem+json")


class StandIn:
    """A server that answers each request with the next of `answers`; after one that is cut off it resets."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.asked: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Stop it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                self._speak(connection)

    def _speak(self, connection: socket.socket) -> None:
        while request := _request(connection):
            self.asked.append(request)
            said = self.answers.pop(0) if self.answers else b""
            connection.sendall(said)
            head, _, body = said.partition(b"\r\n\r\n")
            if not said or int(head.partition(b"Content-Length: ")[2].split()[0]) != len(body):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return


def _request(connection: socket.socket) -> bytes:
    read = b""
    while b"\r\n\r\n" not in read and (piece := connection.recv(65536)):
        read += piece
    head, _, body = read.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].split()
    while length and len(body) < int(length[0]) and (piece := connection.recv(65536)):
        body += piece
    return head


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """A server that is told what to answer."""
    made = StandIn()
    yield made
    made.close()


@pytest.fixture
def provider(standin: StandIn) -> Iterator[ServiceProvider]:
    """A provider of that server."""
    made = ServiceProvider(standin.url, token="token")
    yield made
    made.close()


@pytest.fixture
def admin(service: Service) -> Iterator[ServiceProvider]:
    """A provider that may do everything."""
    made = ServiceProvider(service.url, token=service.admin_token)
    yield made
    made.close()


def token(service: Service, *permissions: str, **more: object) -> str:
    """Return a token with these permissions."""
    name = fresh("svc")
    body: dict[str, Any] = {"service_name": name, "permissions": list(permissions), **more}
    with Wire(service.url, token=service.admin_token) as wire:
        done(wire.ask("POST", "/services", {"service_name": name, "permissions": list(permissions)}))
        return str(done(wire.ask("POST", "/tokens/generate", body))["token"])


def test_a_token_opens_what_it_is_for(service: Service, admin: ServiceProvider) -> None:
    """Reading where reading is granted; elsewhere the refusal is no missing secret."""
    stem = fresh("dir")
    admin.put(f"{stem}/key", "content")
    bot = ServiceProvider(service.url, token=token(service, f"secrets:read:{stem}/*", f"secrets:list:{stem}/*"))
    assert bot.get(f"{stem}/key").content == "content"
    assert bot.names(f"{stem}/") == [f"{stem}/key"]
    for ask in (lambda: bot.get(f"{stem}x"), lambda: bot.put(f"{stem}/key", "x"), lambda: bot.delete(f"{stem}/key")):
        with pytest.raises(ProviderRefusedError, match="Insufficient permissions") as raised:
            ask()
        assert "hunter2" not in str(raised.value)
    bot.close()


def test_a_token_that_has_ended_is_refused_until_there_is_a_new_one(service: Service, admin: ServiceProvider) -> None:
    """An expired token is *not allowed*; the next call sends what the caller has by then."""
    name = fresh()
    admin.put(name, "content")
    tokens = [token(service, "read", ttl_seconds=1)]
    bot = ServiceProvider(service.url, token=lambda: tokens[-1])

    said: list[str] = []

    def refused() -> bool:
        try:
            bot.get(name)
        except ProviderRefusedError as error:
            said.append(str(error))
        return bool(said)

    wait_until(refused, "the token does not end")
    assert "answers 401" in said[0]
    assert tokens[0] not in said[0]
    tokens.append(token(service, "read"))
    assert bot.get(name).content == "content"
    bot.close()


def test_without_a_token_nothing_is_given(service: Service) -> None:
    """Nobody is let in without proof."""
    bot = ServiceProvider(service.url)
    with pytest.raises(ProviderRefusedError, match="401"):
        bot.get("key")
    bot.close()


def test_a_client_certificate_is_proof_enough(service: Service, admin: ServiceProvider) -> None:
    """Over mTLS no token is sent."""
    name = fresh()
    admin.put(name, {"user": "u"})
    identity = issued(service, fresh("svc"))
    context = ssl.create_default_context(cafile=service.data_dir / "ca" / "ca_cert.pem")
    context.load_cert_chain(identity.certificate, identity.key)
    bot = ServiceProvider(f"https://127.0.0.1:{mtls_port(service)}", context=context)
    assert bot.get(name).content == {"user": "u"}
    bot.close()


async def test_an_identity_is_proof_enough(service: Service, admin: ServiceProvider, tmp_path: Path) -> None:
    """A service that enrolled reads with the certificate that it keeps itself."""
    name, svc = fresh(), fresh("svc")
    admin.put(name, "content")
    with Wire(service.url, token=service.admin_token) as wire:
        done(wire.ask("POST", "/services", {"service_name": svc, "permissions": [f"secrets:read:{name}"]}))
        joining = done(wire.ask("POST", "/credentials/join-tokens", {"service_name": svc}))["join_token"]
    mtls = f"https://127.0.0.1:{mtls_port(service)}"
    async with ServiceIdentity(tmp_path / svc, service.url, mtls_url=mtls, join_token=joining) as identity:
        bot = ServiceProvider(mtls, context=identity.client_context())
        assert (await asyncio.to_thread(bot.get, name)).content == "content"
        with pytest.raises(ProviderRefusedError):
            await asyncio.to_thread(bot.get, f"{name}x")
        bot.close()


def test_a_server_that_does_not_prove_itself_is_not_asked(service: Service) -> None:
    """Another CA's server gets no token; the reason is said."""
    bot = ServiceProvider(f"https://127.0.0.1:{mtls_port(service)}", token="hunter2")
    with pytest.raises(ProviderUnavailableError, match="no TLS connection"):
        bot.get("key")
    bot.close()


@pytest.mark.parametrize("url", ["http://tradewarden.example.com", "ftp://127.0.0.1", "https://u:p@127.0.0.1", "x", ""])
def test_nothing_goes_in_the_clear_to_another_host(url: str) -> None:
    """https, or this machine; the address holds no password."""
    with pytest.raises(ConfigurationError):
        ServiceProvider(url)


@pytest.mark.parametrize("bad", ["a\r\nX:b", "tökén", "two words"])
def test_a_token_that_is_none_is_not_sent(standin: StandIn, bad: str) -> None:
    """A line end in it would be a header of its own; the text is not shown."""
    bot = ServiceProvider(standin.url, token=bad)
    with pytest.raises(ConfigurationError) as raised:
        bot.get("key")
    assert bad not in str(raised.value)
    assert not standin.asked


@pytest.mark.parametrize("cut", [b"", answer(FOUND[:20], length=len(FOUND)), answer(b"", length=10)])
def test_a_read_that_breaks_off_is_asked_once_more(provider: ServiceProvider, standin: StandIn, cut: bytes) -> None:
    """A connection that is reset in the middle of an answer is not noticed once, and twice it is unavailable."""
    standin.answers = [cut, answer()]
    assert provider.get("key").content == "content"
    standin.answers = [cut, cut, answer()]
    with pytest.raises(ProviderUnavailableError, match="does not answer"):
        provider.get("key")
    assert len(standin.asked) == 4


def test_a_change_that_breaks_off_is_not_repeated(provider: ServiceProvider, standin: StandIn) -> None:
    """It may have been made; the caller is told to look."""
    standin.answers = [answer(STORED[:10], length=len(STORED)), answer(STORED)]
    with pytest.raises(ProviderUnavailableError, match="may have been made"):
        provider.put("key", "content")
    assert len(standin.asked) == 1


@pytest.mark.parametrize(
    ("said", "kind", "says"),
    [
        (problem(404, "secret_not_found"), SecretNotFoundError, "Secret 'key' not found"),
        (problem(404, "unknown_route"), ProviderUnavailableError, "not as Tradewarden does"),
        (answer(b"<html>", 404), ProviderUnavailableError, "not as Tradewarden does"),
        (answer(b"<html>"), ProviderUnavailableError, "not as Tradewarden does"),
        (answer(b'{"data": "hunter2"}'), ProviderUnavailableError, "not as Tradewarden does"),
        (problem(401, "invalid_token"), ProviderRefusedError, "request_id r1"),
        (problem(403, "permission_denied"), ProviderRefusedError, "permissions"),
        (problem(400, "invalid_request"), InvalidInputError, "what is wrong"),
        (problem(409, "conflict"), ConflictError, "what is wrong"),
        (problem(413, "too_large"), LimitExceededError, "what is wrong"),
        (problem(429, "rate_limited"), ProviderUnavailableError, "429"),
        (problem(503, "unavailable"), ProviderUnavailableError, "503"),
        (problem(500, "internal"), ProviderUnavailableError, "500"),
        (problem(418, "new"), ProviderUnavailableError, "418"),
        (answer(b"", 307, b"Location: /elsewhere"), ProviderUnavailableError, "redirects are not followed"),
    ],
)
def test_each_answer_is_one_of_three(
    provider: ServiceProvider, standin: StandIn, said: bytes, kind: type[TradewardenError], says: str
) -> None:
    """Not found, not allowed and not reachable are told apart; a wrong address is never a missing secret."""
    standin.answers = [said]
    with pytest.raises(kind, match=says) as raised:
        provider.get("key")
    assert type(raised.value) is kind
    assert "hunter2" not in str(raised.value)
    assert len(standin.asked) == 1


def test_an_answer_for_another_secret_is_not_taken(provider: ServiceProvider, standin: StandIn) -> None:
    """Whatever came between: a secret is given out under its own name only."""
    standin.answers = [answer()]
    with pytest.raises(ProviderUnavailableError, match="another secret than 'other'"):
        provider.get("other")


def test_a_child_of_a_fork_has_connections_of_its_own(
    provider: ServiceProvider, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On its parent's it could read the answer to its parent's question."""
    standin.answers = [answer(), answer()]
    provider.get("key")
    parents = provider._calls._http.get()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert provider._calls._http.get() is not parents
    provider.close()
    monkeypatch.undo()
    assert not parents.is_closed
    parents.close()


def test_who_may_delete_and_not_read_deletes(service: Service, admin: ServiceProvider) -> None:
    """No more is asked for than what is done."""
    name = fresh()
    admin.put(name, "content")
    bot = ServiceProvider(service.url, token=token(service, f"secrets:delete:{name}"))
    bot.delete(name)
    with pytest.raises(SecretNotFoundError):
        admin.get(name)
    bot.close()


def test_an_answer_has_a_largest_size(
    provider: ServiceProvider, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More is not read."""
    monkeypatch.setattr(service_calls, "MAX_BYTES", 1000)
    standin.answers = [answer(b"x" * 2000)]
    with pytest.raises(ProviderUnavailableError, match="more than 1000 bytes"):
        provider.get("key")


def test_silence_is_unavailable_within_the_stated_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who takes the connection and says nothing, and nobody."""
    monkeypatch.setattr(service_calls, "STEP_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        bot = ServiceProvider(f"http://127.0.0.1:{mute.getsockname()[1]}", token="t")
        with pytest.raises(ProviderUnavailableError, match="ReadTimeout"):
            bot.get("key")
    with pytest.raises(ProviderUnavailableError, match="ConnectError"):
        bot.get("key")
    bot.close()


def test_connections_have_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes when all are in use waits the stated time, and is told."""
    monkeypatch.setattr(service_calls, "POOL_SECONDS", 0.1)
    monkeypatch.setattr(service_calls, "STEP_SECONDS", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        bot = ServiceProvider(f"http://127.0.0.1:{mute.getsockname()[1]}", token="t", connections=1)

        def occupy() -> None:
            with pytest.raises(ProviderUnavailableError):
                bot.get("first")

        first = threading.Thread(target=occupy)
        first.start()
        connection, _ = mute.accept()
        with pytest.raises(ProviderUnavailableError, match="PoolTimeout"):
            bot.get("second")
        connection.close()
        mute.accept()[0].close()
        first.join(10)
        assert not first.is_alive()
        bot.close()


def test_the_token_is_sent_to_that_service_alone(provider: ServiceProvider, standin: StandIn) -> None:
    """With the name in the path, encoded, and nothing of the environment's proxies."""
    odd = "a b/c@d+e=f,g~h"
    standin.answers = [
        answer(FOUND.replace(b"key", odd.encode())),
        answer(b'{"keys": [], "next": null}'),
        answer(STORED),
    ]
    asks: list[Callable[[], object]] = [
        lambda: provider.get(odd, "3"),
        lambda: provider.names("a+b"),
        lambda: provider.put("key", "x"),
    ]
    for ask in asks:
        ask()
    first = [each.split(b"\r\n")[0] for each in standin.asked]
    assert first == [
        b"GET /secrets/a%20b/c%40d%2Be%3Df%2Cg~h?version=3 HTTP/1.1",
        b"GET /secrets?limit=1000&prefix=a%2Bb&after= HTTP/1.1",
        b"POST /secrets/store HTTP/1.1",
    ]
    assert all(b"Authorization: Bearer token" in each for each in standin.asked)

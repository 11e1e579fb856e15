"""One request and its answer on a connection: uvicorn's cycle, writing each answer in one piece.

Always true here: a header that would break out of its line is never written, and what is sent matches the
Content-Length that was announced.
"""

from __future__ import annotations

import asyncio
import http
import logging
import os
from typing import TYPE_CHECKING, Any, Final

import msgspec
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tradewarden.http.head import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uvicorn._types import ASGISendEvent, HTTPScope

    from tradewarden.http.guard import Guard
    from tradewarden.http.protocol import GuardedProtocol

_LOG: Final = logging.getLogger("uvicorn.error")
_STATUS_LINE: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus
}
_BODILESS: Final = frozenset({204, 304})
_CLOSE: Final = b"connection: close\r\n"


class Cycle(RequestResponseCycle):
    """A request that was accepted. The head of its answer waits for the first piece of the body."""

    def __init__(
        self,
        connection: GuardedProtocol,
        scope: HTTPScope,
        *,
        expect_100_continue: bool,
        keep_alive: bool,
    ) -> None:
        super().__init__(
            scope=scope,
            transport=connection.transport,
            flow=connection.flow,
            logger=_LOG,
            access_logger=_LOG,
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=expect_100_continue,
            keep_alive=keep_alive,
            on_response=connection.on_response_complete,
        )
        self._connection = connection
        self._head: Any = None

    async def send(self, message: ASGISendEvent) -> None:
        """Take one ASGI event; raises `RuntimeError` when it is out of order or does not match the announced length."""
        if self.disconnected:
            return
        kind = message["type"]
        if self._head is None:
            if kind != "http.response.start":
                raise RuntimeError(f"expected http.response.start, got {kind}")
            self._head = message
            return
        if kind != "http.response.body" or self.response_complete:
            raise RuntimeError(f"expected no {kind} here")
        if self.flow.write_paused:
            await self.flow.drain()
        self._write(message.get("body", b""), more=message.get("more_body", False))  # type: ignore[arg-type]

    def _write(self, body: bytes, *, more: bool) -> None:
        if self.disconnected:  # while it waited to write
            return
        head = b""
        if not self.response_started:
            head = self._render(self._head["status"], self._head.get("headers", ()))
        silent = self.scope["method"] == "HEAD" or self._head["status"] in _BODILESS
        if not silent:
            body = self._frame(body, more=more)
        self.response_started = True
        self.transport.write(head if silent else head + body)
        if not more:
            self._complete()

    def _render(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        connection = self._connection
        if self.more_body or connection.guard.draining:
            self.keep_alive = False
        self.waiting_for_100_continue = False
        lines = [_STATUS_LINE.get(status) or b"HTTP/1.1 %d \r\n" % status, connection.guard.date]
        extra = 2
        for name, value in headers:
            if name == b"content-length":
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif name == b"connection":
                self.keep_alive = self.keep_alive and value.lower() != b"close"
                continue
            extra += 1
            lines += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            lines.append(_CLOSE)
            extra += 1
        if self.chunked_encoding is None and status not in _BODILESS:
            if self.scope["http_version"] == "1.0":
                # RFC 9112 6.3: an HTTP/1.0 client knows no chunks; the end of the connection ends the body.
                raise RuntimeError("an answer without Content-Length to HTTP/1.0")
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
            extra += 1
        lines.append(b"\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != extra + 1 or head.count(b"\r") != extra + 1 or b"\0" in head:
            raise RuntimeError("a header of the answer holds a line break")
        return head

    def _frame(self, body: bytes, *, more: bool) -> bytes:
        if self.chunked_encoding:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk if more else chunk + b"0\r\n\r\n"
        self.expected_content_length -= len(body)
        if self.expected_content_length < 0 or (self.expected_content_length and not more):
            raise RuntimeError("the body of the answer does not match its Content-Length")
        return body

    def _complete(self) -> None:
        self.response_complete = True
        self.message_event.set()
        connection = self._connection
        if not self.keep_alive:
            if connection.pipeline:
                connection.pipeline.clear()
            connection.linger()
        self.on_response()

    async def send_500_response(self) -> None:
        """Answer what the application left unanswered; nothing it had begun is sent."""
        if self.disconnected or self.transport.is_closing():
            return
        refusal = Refusal(500, "Internal error", "internal", "Something went wrong here")
        self.response_started = self.response_complete = True
        self.transport.write(closing_answer(refusal, self._connection.guard))
        self.message_event.set()
        self._connection.linger()


class _Problem(msgspec.Struct):
    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str


def closing_answer(refusal: Refusal, guard: Guard) -> bytes:
    """Return a whole answer with a problem (RFC 9457) as its body, after which the connection closes."""
    request_id = os.urandom(10).hex()
    kind = f"urn:tradewarden:problem:{refusal.reason}"
    body = msgspec.json.encode(
        _Problem(kind, refusal.title, refusal.status, refusal.detail, refusal.reason, request_id)
    )
    _LOG.info("refused a request: %s (request_id %s)", refusal.reason, request_id)
    return b"".join(
        (
            _STATUS_LINE[refusal.status],
            guard.date,
            guard.headers,
            b"content-type: application/problem+json\r\n",
            b"content-length: %d\r\n" % len(body),
            b"x-request-id: %b\r\n" % request_id.encode(),
            _CLOSE,
            b"\r\n",
            body,
        )
    )

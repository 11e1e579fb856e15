"""HTTP/1.1 on one connection: uvicorn's httptools protocol with limits, exact framing and time bounds.

Always true here: a request reaches the application only when its head is whole, within the limits and can be read in
one way (RFC 9112): one `Host`, one framing, no trailers merged into its headers. What is refused before that is
answered here as a problem (RFC 9457) and reported through `Guard.on_refused`; the connection then closes.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tradewarden.http.cycle import Cycle, closing_answer
from tradewarden.http.handshake import Handshake
from tradewarden.http.head import (
    Refusal,
    framing_too_large,
    headers_too_large,
    origin_form,
    require_one_reading,
    require_small,
    target_too_long,
    unreadable,
    without_upgrade,
)
from tradewarden.http.tls import tls_extension

if TYPE_CHECKING:
    import ssl

    from uvicorn._types import ASGI3Application
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from tradewarden.http.guard import Guard
    from tradewarden.pki.peer import PeerCertificate

PEER: Final = "tradewarden.peer"
"""The scope's extension that carries the `PeerCertificate` of an mTLS connection."""
_WATCHED: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
_PIECE_BYTES: Final = 4096
"""What the parser gets at once where a limit is counted between pieces."""
_CHUNK_BYTES: Final = 12
"""What each chunk may take beyond its content: a size of eight digits and two line ends (RFC 9112 7.1)."""
_LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 1 << 20
_STALLED_SECONDS: Final = 30.0


class GuardedProtocol(HttpToolsProtocol):
    """One connection. `due` is the coarse time at which it has taken too long over what it is at."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        guard: Guard,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(config, state, {}, loop)
        self.guard = guard
        self.due = inf
        self.extensions: dict[str, Any] | None = None
        self.peer: PeerCertificate | None = None
        self._in_head = False
        self._in_body = False
        self._chunked = False
        self._fresh = False
        self._head_bytes = 0
        self._framing_bytes = 0
        self._framing: dict[bytes, bytes] = {}
        self._twice = b""
        self._ending = False
        self._lingering = False
        self._discarded = 0

    # --- the connection -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; more connections than the limit are told so and closed."""
        super().connection_made(transport)
        guard = self.guard
        guard.connections.add(self)
        guard.share.hold(len(guard.connections))
        self.due = guard.now + guard.limits.header_seconds
        if self.scheme == "https":
            self._know(transport.get_extra_info("ssl_object"))
        if len(guard.connections) > guard.limits.connections:
            self.refuse(Refusal(503, "Unavailable", "too_many_connections", "Too many connections; retry"))

    def _know(self, connection: ssl.SSLObject) -> None:
        """Tell the application of the TLS connection, and who it is with: from OpenSSL alone, never from a header."""
        self.extensions = {"tls": tls_extension(connection)}
        if self.guard.peers is not None:
            self.peer = self.extensions[PEER] = connection.peer if isinstance(connection, Handshake) else None
            if self.peer is None:
                self.abort()  # never: OpenSSL lets nobody in without one
            self.guard.peers.arrived(self)

    def abort(self) -> None:
        """End the connection at once."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; a request that still runs sees the client gone."""
        guard = self.guard
        guard.connections.discard(self)
        if guard.peers is not None:
            guard.peers.left(self)
        if not guard.draining:
            guard.share.hold(len(guard.connections))
        self.due = inf
        for cycle, _ in self.pipeline:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    @property
    def address(self) -> str:
        """The peer's address as the socket tells it."""
        return self.client[0] if self.client else ""

    @property
    def busy(self) -> bool:
        """Whether a request that was accepted is still unanswered."""
        cycle: Cycle | None = self.cycle  # type: ignore[assignment]
        return cycle is not None and not cycle.response_complete

    @property
    def unanswered(self) -> bool:
        """Whether a request is still being read or answered, or its answer is still leaving."""
        return self.busy or self._in_head or self.transport.get_write_buffer_size() > 0

    def expire(self) -> None:
        """End a connection that took too long: a slow request with 408, an idle one without a word."""
        if self._lingering or self.flow.write_paused or self.transport.is_closing():
            self.transport.abort()
        elif self._in_head:
            self.refuse(Refusal(408, "Timeout", "slow_headers", "The request head took too long"))
        elif self._in_body:
            self.refuse(Refusal(408, "Timeout", "slow_body", "The request body took too long"))
        else:
            self.close()

    def close(self) -> None:
        """Close when everything written has left; at the latest at the next expiry."""
        self.due = self.guard.now + _LINGER_SECONDS
        self.transport.close()

    def linger(self) -> None:
        """End our side and read on for a moment: a plain close could take the answer from the client (RFC 9112 9.6)."""
        if self._lingering:
            return
        self._lingering = self._ending = True
        self.due = self.guard.now + _LINGER_SECONDS
        self._in_head = self._in_body = False
        if self.transport.is_closing():
            return
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()

    def shutdown(self) -> None:
        """Close at once when nothing is unanswered, else after the answer."""
        if self.busy:
            self.cycle.keep_alive = False
        elif not self._in_head:
            self.close()

    def pause_writing(self) -> None:
        """The client reads too slowly: it has a while to catch up."""
        super().pause_writing()
        self.due = self.guard.now + _STALLED_SECONDS

    def resume_writing(self) -> None:
        """The client caught up."""
        super().resume_writing()
        if not self._lingering:
            self.due = inf if self.busy else self.guard.now + self.guard.limits.keep_alive_seconds

    def refuse(self, refusal: Refusal) -> None:
        """Answer a refusal when no earlier answer is outstanding, report it, and close."""
        if self._ending:
            return
        self._ending = True
        self.guard.on_refused(refusal.reason, self.address)
        if self._in_head and self.busy:
            self.cycle.keep_alive = False
            self._in_head = False
            self.due = inf
            return
        if self._in_body and self.busy and (self.cycle.response_started or self.pipeline):
            self.transport.abort()
            return
        if self.busy:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(closing_answer(refusal, self.guard))
        self.linger()

    # --- reading --------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Feed the parser; nothing is buffered here, and a head that is not whole has a largest size."""
        if self._ending:
            self._discarded += len(data)
            if self._discarded > _LINGER_BYTES:
                self.transport.abort()
            return
        if len(data) > _PIECE_BYTES and (self._chunked or not self._in_body):
            self._take_in_pieces(data)
            return
        self._fresh = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            end = stop.args[0]
        except httptools.HttpParserError as error:
            cause = error.__context__
            self.refuse(cause if isinstance(cause, Refusal) else unreadable(f"Not HTTP/1.1: {error}"))
            return
        else:
            if self._in_head and not self._ending:
                self._bound_head(0 if self._fresh else len(data))
            elif self._in_body and self._chunked and not self._ending:
                self._bound_framing(0 if self._fresh else len(data))
            return
        self._ignore_upgrade(data[end:])

    def _take_in_pieces(self, data: bytes) -> None:
        """Feed heads and chunks a piece at a time, so that their limits hold within one read; a plain body whole."""
        rest = memoryview(data)
        while rest and not self._ending:
            size = len(rest) if self._in_body and not self._chunked else _PIECE_BYTES
            self.data_received(rest[:size])  # type: ignore[arg-type]  # the parser takes any buffer
            rest = rest[size:]

    def eof_received(self) -> None:
        """A client that ends its side ends the connection."""

    def _bound_head(self, received: int) -> None:
        limits = self.guard.limits
        self._head_bytes += received
        if self._head_bytes > limits.header_bytes + limits.target_bytes:
            self.refuse(target_too_long() if not self.headers and not self._framing else headers_too_large())

    def _bound_framing(self, received: int) -> None:
        """Count what of a chunked body is no content: extensions, trailers, sizes with many zeros (RFC 9112 7.1)."""
        self._framing_bytes = max(0, self._framing_bytes + received)
        if self._framing_bytes > self.guard.limits.framing_bytes:
            self.refuse(framing_too_large())

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read the request once more without its Upgrade, which a server may ignore (RFC 9110 7.8), then what follows.

        The parser takes what follows the head for another protocol; here it is the body, and the next requests.
        """
        upgrading, self.parser = self.parser, _parser(self)
        version: str = upgrading.get_http_version()
        self.data_received(without_upgrade(upgrading.get_method(), self.url, version, self.headers))
        if rest:
            self.data_received(rest)

    def on_message_begin(self) -> None:
        """Start a head."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._framing = {}
        self._twice = b""
        self._in_head = self._fresh = True
        self._head_bytes = 0
        self.due = self.guard.now + self.guard.limits.header_seconds

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one field. A trailer comes here too, after the head is done, and is dropped (RFC 9110 6.5.1)."""
        if not self._in_head:
            return
        name = name.lower()
        if name in _WATCHED:
            if name in self._framing:
                self._twice = name
            self._framing[name] = value
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Check the head as a whole, and only then hand the request to the application."""
        version: str = self.parser.get_http_version()
        method: bytes = self.parser.get_method()
        framing = self._framing
        require_small(self.url, self.headers, self.guard.limits)
        require_one_reading(framing, self._twice, version, method)
        target = self.url
        if target[:1] != b"/" or b"#" in target:
            target = origin_form(target, method, self.scheme or "http", framing.get(b"host", b""))
        if self.parser.should_upgrade():
            return  # the parser stops here: `_ignore_upgrade`
        raw_path, _, query = target.partition(b"?")
        path = raw_path.decode("ascii")
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "root_path": "",
            "headers": self.headers,
            "method": method.decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
        }
        if self.extensions is not None:
            self.scope["extensions"] = self.extensions
        self._begin(version)

    def _begin(self, version: str) -> None:
        expected = self._framing.get(b"expect", b"").lower() == b"100-continue"
        waiting = self.busy
        if waiting and len(self.pipeline) >= self.guard.limits.pipelined:
            raise unreadable("Too many requests sent ahead", "pipeline")
        self._in_head = False
        self._in_body = True
        self._chunked = b"transfer-encoding" in self._framing
        self._framing_bytes = 0
        self.due = self.guard.now + self.guard.limits.body_seconds
        keep = version == "1.1" and not self.guard.draining and self.parser.should_keep_alive()
        self.cycle = Cycle(self, self.scope, expect_100_continue=expected, keep_alive=keep)
        if waiting:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start_asgi_task(self.cycle, self.app)

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body on, or drop it when its answer has left already."""
        if self._chunked:
            self._framing_bytes -= len(body)
        if not self.cycle.response_complete:
            super().on_body(body)

    def on_chunk_header(self) -> None:
        """Allow each chunk its size and line ends."""
        self._framing_bytes -= _CHUNK_BYTES

    def on_message_complete(self) -> None:
        """The request is whole: from here on its time is the application's."""
        if self._in_head:
            return  # an Upgrade, not begun yet
        self._in_body = False
        self.due = inf
        cycle = self.cycle
        if cycle.response_complete:
            self.due = self.guard.now + self.guard.limits.keep_alive_seconds
            return
        cycle.more_body = False
        cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one."""
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._ending:
            self.linger()
        elif not self._in_head and not self._in_body:
            self.due = self.guard.now + self.guard.limits.keep_alive_seconds

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)


def _parser(connection: GuardedProtocol) -> httptools.HttpRequestParser:
    """Return a parser as uvicorn makes them."""
    parser = httptools.HttpRequestParser(connection)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser

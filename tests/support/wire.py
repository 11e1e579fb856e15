"""One connection to a running service, spoken to byte by byte: what a client library would never send, goes."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from tests.support.http import Answer

HANG_SECONDS = 10.0
Headers = Sequence[tuple[str, str]]


class ClosedError(ConnectionError):
    """The service closed the connection where an answer was expected."""


class Wire:
    """A keep-alive connection from `source`, an address on loopback; it connects again after a close.

    With `tls` it speaks TLS, with the certificate of that context if it has one.
    `token` goes as bearer token with what `ask` sends. An answer that does not come within `seconds` is a
    `TimeoutError`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        source: str = "127.0.0.1",
        seconds: float = HANG_SECONDS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host = urlsplit(url).netloc
        self._tls = tls
        self.token = token
        self.source = source
        self._seconds = seconds
        self._socket: socket.socket | None = None
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close; the next call connects again."""
        self._received = b""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self._socket is None:
            name, _, port = self.host.rpartition(":")
            connection = socket.create_connection((name, int(port)), self._seconds, (self.source, 0))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = connection if self._tls is None else self._tls.wrap_socket(connection, server_hostname=name)
        self._socket.sendall(data)

    def finish(self) -> None:
        """Send nothing more; what the service still says can be read."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it closed first
                self._socket.shutdown(socket.SHUT_WR)

    def answer(self, method: str = "GET") -> Answer:
        """Read one answer to a request of that method; raises `ClosedError` when the connection ends first."""
        while b"\r\n\r\n" not in self._received:
            self._read()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = 0 if method == "HEAD" or status == 100 else int(headers.get("content-length", 0))
        while len(self._received) < length:
            self._read()
        body, self._received = self._received[:length], self._received[length:]
        return Answer(status, headers, body)

    def _read(self) -> None:
        assert self._socket is not None, "nothing was sent yet"
        data = self._socket.recv(1 << 16)
        if not data:
            raise ClosedError(f"closed; unread: {self._received[:200]!r}")
        self._received += data

    def is_closed(self) -> bool:
        """Tell whether the service closes the connection, with nothing more to say."""
        try:
            while True:
                self._read()
                assert not self._received, f"one answer too many: {self._received[:300]!r}"
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def request(self, method: str, target: str, body: Any = None, headers: Headers = ()) -> bytes:  # noqa: ANN401
        """Return a request; `body` are bytes, or what becomes JSON."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}"]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else msgspec.json.encode(body)
            lines.append(f"Content-Length: {len(data)}")
            if not any(name.lower() == "content-type" for name, _ in headers):
                lines.append("Content-Type: application/json")
        lines += [f"{name}: {value}" for name, value in headers]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + data

    def ask(self, method: str, target: str, body: Any = None, headers: Headers = ()) -> Answer:  # noqa: ANN401
        """Send one request and return its answer."""
        data = self.request(method, target, body, headers)
        try:
            self.send(data)
            found = self.answer(method)
        except (OSError, AssertionError):
            self.close()
            raise
        if found.headers.get("connection") == "close":
            self.close()
        return found

    def exchange(self, data: bytes, *, end: bool = False) -> Answer:
        """Send bytes on a connection of their own; return the one answer, after which the service must close."""
        self.close()
        with contextlib.closing(self):
            self.send(data)
            if end:
                self.finish()
            found = self.answer("HEAD" if data.startswith(b"HEAD ") else "GET")
            assert self.is_closed(), "the connection stays open"
        return found

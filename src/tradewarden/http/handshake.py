"""One TLS handshake on the server's side: what the client showed, whether we know it, and why it was refused.

Always true here: a connection reaches the application only after `identify` knew its certificate; a client that is
refused is told so by OpenSSL's own alert (RFC 8446 6.2), which the event loop alone would throw away.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from tradewarden.errors import InvalidInputError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tradewarden.pki.peer import PeerCertificate

_CERTIFICATE: Final = 11
"""The handshake message that carries a certificate chain (RFC 8446 4.4.2)."""
_HANDSHAKE: Final = 22
_LINGER_SECONDS: Final = 1.0
_LINGERING: Final = 64
"""So many refused clients at most may read their alert at once; the others are cut off."""
_AT_REST: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
"""What an established connection is moved to, so that it keeps no old revocation list alive."""


class StrangerError(ssl.SSLError):
    """OpenSSL accepted the certificate, and it names nobody that we know."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Arrival:
    """A connection from its first byte until its handshake is over."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.chain: list[bytes] = []
        self.farewell: socket.socket | None = None

    def refuse(self, alert: bytes) -> None:
        """Send the alert and end our side; the socket that is left lets the client read it."""
        if not alert:
            return
        with contextlib.suppress(OSError):
            self.farewell = self._connection.dup()
            self.farewell.setblocking(False)  # noqa: FBT003 - the library's signature
            self.farewell.send(alert)
            self.farewell.shutdown(socket.SHUT_WR)


ARRIVAL: Final[ContextVar[Arrival | None]] = ContextVar("arrival", default=None)
"""The arrival whose handshake the current task, and the loop on its behalf, is at."""


class Handshake(ssl.SSLObject):
    """OpenSSL's side of a connection; `peer` is who it is with, once the handshake is over."""

    arrival: Arrival | None = None
    outgoing: ssl.MemoryBIO | None = None
    identify: Callable[[bytes], PeerCertificate] | None = None
    peer: PeerCertificate | None = None
    message: bytes = b""
    chain: tuple[bytes, ...] = ()

    def do_handshake(self) -> None:
        """Go on with the handshake; raises `ssl.SSLError` once it has failed."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            self._refuse()
            raise
        self.context = _AT_REST
        if self.identify is not None:
            self._know(self.identify)
        self.message = b""
        self.arrival = self.outgoing = self.identify = None

    def _refuse(self) -> None:
        if self.arrival is not None and self.outgoing is not None:
            self.arrival.chain = presented(self.message)
            self.arrival.refuse(self.outgoing.read())

    def _know(self, identify: Callable[[bytes], PeerCertificate]) -> None:
        leaf = self.getpeercert(binary_form=True) or b""
        self.chain = tuple(presented(self.message)) or (leaf,)
        try:
            self.peer = identify(leaf)
        except InvalidInputError as error:
            if self.arrival is not None:
                self.arrival.chain = list(self.chain)
            raise StrangerError(error.detail) from error


def keep_certificate(connection: Any, direction: str, _version: int, content: int, kind: int, data: bytes) -> None:  # noqa: ANN401 - the library's signature
    """Keep the client's Certificate message: all there is to tell who was refused (a callback for OpenSSL)."""
    if kind == _CERTIFICATE and direction == "read" and content == _HANDSHAKE:
        connection.message = data


def presented(message: bytes) -> list[bytes]:
    """Return the certificates (DER) of a Certificate message, leaf first (RFC 8446 4.4.2); none when it is cut off."""
    found: list[bytes] = []
    at = 4  # type and length of the message
    at += 1 + (message[at] if len(message) > at else 0)  # certificate_request_context
    at += 3  # length of the list
    while at + 3 <= len(message):
        size = int.from_bytes(message[at : at + 3], "big")
        certificate = message[at + 3 : at + 3 + size]
        at += 3 + size
        if len(certificate) != size or at + 2 > len(message):
            return found
        found.append(certificate)
        at += 2 + int.from_bytes(message[at : at + 2], "big")  # extensions
    return found


def reason_of(error: Exception) -> str:
    """Return what OpenSSL says about a failed handshake, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    if isinstance(error, StrangerError):
        return error.why
    return str(getattr(error, "reason", None) or type(error).__name__).replace("_", " ").lower()


class Farewells:
    """Refused clients that may still read why."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: dict[socket.socket, asyncio.TimerHandle] = {}

    def take(self, farewell: socket.socket | None) -> None:
        """Read on until the client closes, for a second at most: a plain close could take the alert from it."""
        if farewell is None:
            return
        if len(self._open) >= _LINGERING:
            farewell.close()
            return
        self._open[farewell] = self._loop.call_later(_LINGER_SECONDS, self._end, farewell)
        self._loop.add_reader(farewell, self._drain, farewell)

    def close(self) -> None:
        """Cut off whoever still reads."""
        for each in list(self._open):
            self._end(each)

    def _drain(self, farewell: socket.socket) -> None:
        try:
            data = farewell.recv(65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end(farewell)

    def _end(self, farewell: socket.socket) -> None:
        self._open.pop(farewell).cancel()
        self._loop.remove_reader(farewell)
        farewell.close()

"""One request as the door sees it: method, path, headers, body, and where it really came from."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from tradewarden.access.address import client_address
from tradewarden.access.throttle import peer_key
from tradewarden.audit.entry import Origin
from tradewarden.errors import InvalidInputError, LimitExceededError, UnsupportedMediaTypeError
from tradewarden.http.protocol import PEER
from tradewarden.http.room import StrangersBody

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Receive, Scope

    from tradewarden.access.address import Network
    from tradewarden.http.room import Room
    from tradewarden.pki.peer import PeerCertificate
    from tradewarden.storage.database import Revisions

_SINGLE = frozenset({b"authorization", b"content-length", b"content-type", b"host", b"origin", b"transfer-encoding"})
_STRUCTURAL = re.compile(rb"%(2f|5c|00)", re.IGNORECASE)
_OCSP = b"/ca/ocsp/"
_SHOWN_USER_AGENT = 256
_MAX_QUERY = 4096
_MAX_FIELDS = 64
_STRANGERS_BODY = 64 * 1024
"""What a body may hold that comes before anybody is proven: as much as an ACME call, and no CSR needs more."""


class Connection:
    """What the pipeline reads of a request. `peer` is the raw socket's address, `origin` what is proven of the rest.

    `peer_certificate` is the client's, from its TLS connection alone: no header makes one, and none tells of another
    address there, since no proxy stands between. `proven` tells that somebody was proven, `proven_at` by what last;
    `held` that the body was waited for, so that what was known of the caller may not be so any more.
    """

    __slots__ = (
        "_body",
        "_pairs",
        "_receive",
        "_room",
        "headers",
        "held",
        "http_version",
        "method",
        "origin",
        "path",
        "peer",
        "peer_certificate",
        "port",
        "proven",
        "proven_at",
        "query",
        "raw_path",
    )

    def __init__(self, scope: Scope, receive: Receive, request_id: str, proxies: Sequence[Network], room: Room) -> None:
        pairs: list[tuple[bytes, bytes]] = scope["headers"]
        self._receive = receive
        self._room = room
        self._body: bytes | None = None
        self.held = False
        self.proven = False
        self.proven_at: Revisions | None = None
        self._pairs = pairs
        self.headers = dict(pairs)
        self.method: str = scope["method"]
        self.http_version: str = scope["http_version"]
        self.path: str = scope["path"]
        self.raw_path: bytes = scope["raw_path"]
        self.query: bytes = scope["query_string"]
        client = scope["client"]
        self.peer: str = client[0] if client else ""
        self.port: int = scope["server"][1]
        extensions = scope.get("extensions")
        self.peer_certificate: PeerCertificate | None = extensions.get(PEER) if extensions else None
        address = self.peer
        if proxies and self.peer_certificate is None:
            address = client_address(address, self.text(b"x-forwarded-for"), proxies)
        self.origin = Origin(address, self.text(b"user-agent")[:_SHOWN_USER_AGENT], request_id)

    def require_sound(self) -> None:
        """Refuse what can be read in two ways: a repeated header that counts once, an escape that changes the path."""
        if len(self._pairs) != len(self.headers):
            names = [name for name, _ in self._pairs]
            for name in _SINGLE:
                if names.count(name) > 1:
                    raise InvalidInputError(f"The header {name.decode()} stands more than once")
        if b"%" in self.raw_path and _STRUCTURAL.search(_without_base64(self.raw_path)):
            raise InvalidInputError("An escaped slash, backslash or NUL has no place in a path")

    def text(self, name: bytes) -> str:
        """Return a header's value, or the empty string."""
        value = self.headers.get(name)
        return value.decode("latin-1") if value else ""

    async def body(self, limit: int) -> bytes:
        """Return the whole body; raises `LimitExceededError` as soon as it is known to pass `limit` bytes.

        A second reader gets what the first one read. While nobody is proven less is taken, and `RateLimitedError` is
        raised when its address has too many newer unfinished ones; `OverloadedError` when there is no room any more.
        """
        if self._body is None:
            self._body = await self._read(limit if self.proven else min(limit, _STRANGERS_BODY))
        return self._body

    async def _read(self, limit: int) -> bytes:
        declared = self.headers.get(b"content-length")
        if declared is not None and int(declared) > limit:
            raise LimitExceededError(f"The body is larger than {limit} bytes")
        self._room.begin_wait()
        try:
            body = await (self._whole(limit, self._receive) if self.proven else self._strangers(limit))
        finally:
            self._room.end_wait()
        if self.held:
            self._room.require()
        return body

    async def _strangers(self, limit: int) -> bytes:
        coming = StrangersBody(self._room, peer_key(self.origin.ip_address), self._receive)
        try:
            body = await self._whole(limit, coming.receive)
        finally:
            coming.end()
        self.held = coming.waited
        return body

    async def _whole(self, limit: int, receive: Receive) -> bytes:
        loop = asyncio.get_running_loop()
        turn = loop.call_soon(self._hold)  # comes when the loop turns, so not for a body that is here already
        message = await receive()
        turn.cancel()
        body: bytes = message.get("body", b"")
        if message["type"] != "http.request":
            raise InvalidInputError("The client went away before its request was whole")
        if message.get("more_body"):
            self.held = True
            body = await self._rest(bytearray(body), limit, receive)
        if len(body) > limit:
            raise LimitExceededError(f"The body is larger than {limit} bytes")
        return body

    def _hold(self) -> None:
        self.held = True

    @staticmethod
    async def _rest(body: bytearray, limit: int, receive: Receive) -> bytes:
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise InvalidInputError("The client went away before its request was whole")
            body += message.get("body", b"")
            if len(body) > limit:
                raise LimitExceededError(f"The body is larger than {limit} bytes")
            more = message.get("more_body", False)
        return bytes(body)

    def media_type(self) -> str:
        """Return the body's media type without parameters; a charset other than UTF-8 is refused."""
        kind, _, parameters = self.text(b"content-type").lower().partition(";")
        if "charset=" in parameters and "utf-8" not in parameters:
            raise UnsupportedMediaTypeError("The body must be UTF-8")
        return kind.strip()


def _without_base64(raw_path: bytes) -> bytes:
    """Return a path without the escaped slashes of base64 behind `/ca/ocsp/` (RFC 6960 appendix A.1): no path there."""
    return re.sub(rb"%2f", b"/", raw_path, flags=re.IGNORECASE) if raw_path.startswith(_OCSP) else raw_path


def fields(text: bytes, what: str) -> dict[str, str]:
    """Read `a=b&c=d` (a query, a form) into a dictionary; a repeated or malformed field is refused."""
    if len(text) > _MAX_QUERY and what == "query":
        raise LimitExceededError(f"The query is longer than {_MAX_QUERY} bytes")
    try:
        pairs = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError as error:
        raise InvalidInputError(f"The {what} cannot be read as name=value pairs") from error
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidInputError(f"A field of the {what} stands more than once")
    return found

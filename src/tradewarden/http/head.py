"""What may pass as the head of a request: pure checks, each with the one refusal that it leads to.

Always true here: a head that two readers could frame or address differently is refused, never repaired (RFC 9112 6.1).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_HOST: Final = re.compile(
    rb"(?:\[(?:[0-9a-f:.]+|v[0-9a-f]+\.[a-z0-9._~!$&'()*+,;=:-]+)\]|(?:[a-z0-9._~!$&'()*+,;=-]|%[0-9a-f]{2})+)(?::[0-9]*)?",
    re.IGNORECASE,
)
"""`uri-host [ ":" port ]` (RFC 9112 3.2, RFC 3986 3.2.2), its name not empty: every URL of ours has one."""


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one listener accepts. Sizes in bytes, times in seconds.

    `framing_bytes` are what a chunked body may hold beside its content: chunk extensions and trailers together.
    """

    connections: int = 4096
    headers: int = 100
    header_bytes: int = 32 * 1024
    target_bytes: int = 8 * 1024
    framing_bytes: int = 4 * 1024
    pipelined: int = 16
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    keep_alive_seconds: float = 75.0
    shutdown_seconds: float = 30.0


class Refusal(Exception):  # noqa: N818 - what the listener answers by itself, no error of ours
    """A request, or a connection, that is not accepted; `reason` is a stable word for the log and the audit."""

    def __init__(self, status: int, title: str, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.reason = reason
        self.detail = detail


def unreadable(detail: str, reason: str = "malformed_request") -> Refusal:
    """Return the refusal of what is no HTTP/1.1, or more than one thing at once."""
    return Refusal(400, "Invalid request", reason, detail)


def target_too_long() -> Refusal:
    """Return the refusal of a request line over the limit."""
    return Refusal(414, "URI too long", "target_too_long", "The request target is too long")


def headers_too_large() -> Refusal:
    """Return the refusal of too many headers, or of too many bytes of them (RFC 6585 5)."""
    return Refusal(431, "Headers too large", "headers_too_large", "Too many or too large headers")


def framing_too_large() -> Refusal:
    """Return the refusal of a chunked body with too much in it that is no content (RFC 9112 7.1.1)."""
    return Refusal(413, "Content too large", "framing_too_large", "Too large chunk extensions or trailers")


def require_small(target: bytes, headers: Sequence[tuple[bytes, bytes]], limits: ServerLimits) -> None:
    """Check the sizes of a whole head; raises `Refusal`."""
    if len(target) > limits.target_bytes:
        raise target_too_long()
    if len(headers) > limits.headers:
        raise headers_too_large()
    if sum([len(name) + len(value) for name, value in headers]) > limits.header_bytes:
        raise headers_too_large()


def require_one_reading(framing: Mapping[bytes, bytes], twice: bytes, version: str, method: bytes) -> None:
    """Check that a head has one framing and one host (RFC 9112 3.2, 6.1); raises `Refusal`.

    `framing` are the fields that decide where a request ends and whom it is for; `twice` is one that was repeated.
    """
    if twice:
        raise unreadable(f"{twice.decode()} stands more than once", "ambiguous_framing")
    coding = framing.get(b"transfer-encoding")
    if coding is not None:
        if b"content-length" in framing:
            raise unreadable("Content-Length and Transfer-Encoding exclude each other", "ambiguous_framing")
        if version != "1.1" or coding.lower() != b"chunked":
            raise unreadable("The only Transfer-Encoding is chunked", "unknown_framing")
    if version not in ("1.1", "1.0"):
        raise Refusal(505, "HTTP version", "http_version", "This service speaks HTTP/1.1")
    if version == "1.1" and not _is_host(framing.get(b"host", b"")):
        raise unreadable("A request names one Host, as name or address with or without a port")
    if method == b"CONNECT":
        raise unreadable("This is no proxy")


@lru_cache(maxsize=256)
def _is_host(value: bytes) -> bool:
    """Tell whether a Host names one; a client sends the same in every request."""
    return _HOST.fullmatch(value) is not None


def origin_form(target: bytes, method: bytes, scheme: str, host: bytes) -> bytes:
    """Return the path of an absolute target whose authority is the Host (RFC 9112 3.2.2), or the `*` of OPTIONS."""
    if target == b"*" and method == b"OPTIONS":
        return target
    if b"#" in target:
        raise unreadable("A request target has no fragment")
    prefix = f"{scheme}://".encode()
    authority, slash, path = target[len(prefix) :].partition(b"/")
    if target[: len(prefix)].lower() != prefix or not slash or authority.lower() != host.lower():
        raise unreadable("The target is a path, or a URL whose authority is the Host")
    return slash + path


def without_upgrade(method: bytes, target: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a head that was read already, written anew without its `Upgrade`."""
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    lines += [b"%b: %b" % header for header in headers if header[0] != b"upgrade"]
    return b"\r\n".join([*lines, b"", b""])

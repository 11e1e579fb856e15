"""What every HTTP client of ours does the same: whom it may call, how much it reads, what it makes of a refusal.

Always true here: nothing goes in the clear to another host; an answer has a largest size and a longest time.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.errors import ConfigurationError, UnavailableError
from tradewarden.ip import is_this_machine, web_address

if TYPE_CHECKING:
    import httpx

_SHOWN: Final = 200
_NO_LOGIN: Final = "an address of a service holds no user name and no password; write https://host:port"


class Problem(msgspec.Struct, frozen=True):
    """What is read of a problem answer (RFC 9457)."""

    detail: str = ""
    title: str = ""
    code: str = ""
    request_id: str = ""

    def __str__(self) -> str:
        text = self.detail or self.title
        marks = ", ".join(filter(None, (self.code, self.request_id and f"request_id {self.request_id}")))
        return f"{text} ({marks})" if marks else text


def problem_in(content: bytes) -> Problem | None:
    """Return the problem in an answer; None when it is not one of ours."""
    try:
        return msgspec.json.decode(content, type=Problem)
    except msgspec.MsgspecError:
        return None


def address(url: str) -> str:
    """Return a base address without its last slash: https, or http to this very machine."""
    shown = repr(url[:_SHOWN])
    try:
        parts = web_address(url)
    except ValueError:
        if "@" in url:  # it may be a password that is shown
            raise ConfigurationError(_NO_LOGIN) from None
        raise ConfigurationError(f"{shown} is no address of a service; write https://host:port") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(_NO_LOGIN)
    if parts.query or parts.fragment:
        raise ConfigurationError(f"{shown} is no address of a service; write https://host:port")
    if parts.scheme == "http" and not is_this_machine(parts.hostname or ""):
        raise ConfigurationError(f"{shown}: nothing is sent in the clear to another host; use https")
    return url.rstrip("/")


def read_answer(answer: httpx.Response, most: int, seconds: float) -> bytes:
    """Read a streamed answer; raises `UnavailableError` above `most` bytes and after `seconds` seconds."""
    read = bytearray()
    end = time.monotonic() + seconds
    for piece in answer.iter_bytes():
        read += piece
        if len(read) > most:
            raise UnavailableError(f"{answer.request.url} answered with more than {most} bytes")
        if time.monotonic() > end:
            raise UnavailableError(f"{answer.request.url} took more than {seconds:.0f} seconds to answer")
    return bytes(read)


def tls_failure(error: BaseException) -> ssl.SSLError | None:
    """Return the failure of TLS that a client's error is about; None when it is about something else."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def tls_reason(failure: ssl.SSLError) -> str:
    """Return why TLS failed, in OpenSSL's words."""
    return getattr(failure, "verify_message", "") or failure.reason or "TLS failed"

"""What is sent: HTTP requests as values, as the bytes that wrk replays, and as the one that is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import msgspec


class BenchError(Exception):
    """A measurement that does not count; the message says why, for the person who runs the benchmark."""


class Request(msgspec.Struct, frozen=True):
    """One HTTP request; a `body` is sent as JSON, bytes as they are (with the content type in `headers`)."""

    method: str
    path: str
    headers: Mapping[str, str] = {}
    body: object = None

    def content(self) -> bytes:
        """Return the body's bytes, empty when there is none."""
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else msgspec.json.encode(self.body)

    def all_headers(self) -> dict[str, str]:
        """Return the headers with the body's content type."""
        typed = {} if self.body is None or isinstance(self.body, bytes) else {"Content-Type": "application/json"}
        return typed | dict(self.headers)

    def raw(self, host: str) -> bytes:
        """Return the request as HTTP/1.1 puts it on the wire (RFC 9112)."""
        content = self.content()
        fields = {"Host": host} | self.all_headers()
        if content or self.method != "GET":
            fields["Content-Length"] = str(len(content))
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        return "\r\n".join((*lines, "", "")).encode() + content


class Load(msgspec.Struct, frozen=True):
    """Requests that are replayed in turn, and what a right answer to each of them contains."""

    requests: Sequence[Request]
    shows: str


def write_replay(path: Path, requests: Sequence[Request], host: str) -> None:
    """Write the file that `scripts/replay.lua` reads: each request after a line with its length."""
    with path.open("wb") as file:
        for request in requests:
            raw = request.raw(host)
            file.write(b"%d\n%s" % (len(raw), raw))


def send(client: httpx.Client, request: Request) -> httpx.Response:
    """Send one request; raises `BenchError` unless it is answered with a 2xx status."""
    try:
        answer = client.request(
            request.method,
            request.path,
            headers=request.all_headers(),
            content=request.content(),
        )
    except httpx.HTTPError as error:
        raise BenchError(f"{request.method} {request.path}: {error}") from error
    if not answer.is_success:
        raise BenchError(f"{request.method} {request.path}: {answer.status_code} {answer.text[:300]}")
    return answer


def look(client: httpx.Client, request: Request, shows: str) -> None:
    """Send one request and read the answer; raises `BenchError` when it does not contain `shows`."""
    answer = send(client, request)
    if shows not in answer.text:
        raise BenchError(f"{request.method} {request.path}: no {shows!r} in the answer {answer.text[:300]}")

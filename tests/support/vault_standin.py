"""Behaves as Vault's HTTP API does, as far as we use it.

It is there for machines without a `bao`, and for what a real server cannot be made to do.
What it answers was seen from OpenBao 2.5. It stays honest because the contract suite of providers and the tests of
logins run against it and against a real server alike.
"""

from __future__ import annotations

import json
import secrets
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.support.vault import Place

ROOT = "standin-root"
_CAS = "check-and-set parameter did not match the current version"


class Token:
    """A token it knows."""

    def __init__(self, seconds: float = 0, *, renewable: bool = False, longest: float = 0) -> None:
        self.began = time.monotonic()
        self.seconds = seconds
        self.renewable = renewable
        self.longest = longest
        self.until = self.began + seconds if seconds else float("inf")

    def renew(self) -> float:
        """Give it its whole time again, as far as its longest life allows; returns the seconds."""
        now = time.monotonic()
        end = now + self.seconds
        self.until = min(end, self.began + self.longest) if self.longest else end
        return self.until - now


class StandIn:
    """One such server. `faults` are taken one by one, before a request is looked at; `seen` are the requests."""

    def __init__(self) -> None:
        self.tokens: dict[str, Token] = {ROOT: Token()}
        self.approles: dict[str, str] = {}
        self.service_accounts: dict[str, str] = {}
        self.login_token: Callable[[], Token] = lambda: Token(3600, renewable=True)
        self.sealed = False
        self.may_look_up = True
        self.secrets: dict[str, dict[str, Any]] = {}
        self.faults: deque[Callable[[Handler], bool]] = deque()
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.lock = threading.RLock()
        self.url = ""

    @property
    def place(self) -> Place:
        """Where it answers."""
        return Place(self.url, ROOT)

    def asked(self, part: str) -> int:
        """Return how many requests had `part` in their path."""
        return sum(part in path for _, path, _ in self.seen)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # an answer in one packet
    standin: StandIn

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path).removeprefix("/v1/")
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        standin = self.standin
        with standin.lock:
            standin.seen.append((self.command, path, {k.lower(): v for k, v in self.headers.items()}))
            fault = standin.faults.popleft() if standin.faults else None
        if fault is not None and fault(self):
            return
        with standin.lock:
            self.answer(*self._route(path, body, parse_qs(parts.query)))

    do_GET = do_POST = do_PUT = do_DELETE = do_LIST = _handle  # noqa: N815 - the base class's names

    def answer(self, status: int, body: object = None, **headers: str) -> None:
        """Send an answer."""
        encoded = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def _route(  # noqa: PLR0911 - a table of routes
        self, path: str, body: dict[str, Any], query: dict[str, list[str]]
    ) -> tuple[int, object]:
        standin = self.standin
        if path == "sys/health":
            return (503 if standin.sealed else 200), {"sealed": standin.sealed, "initialized": True}
        if standin.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if path.startswith("auth/") and path.endswith("/login"):
            return self._login(path, body)
        name = self.headers.get("X-Vault-Token", "")
        token = standin.tokens.get(name)
        if token is None or token.until < time.monotonic():
            return 403, {"errors": ["permission denied"]}
        if path.startswith("auth/token/"):
            return self._token(path, name, token)
        if path == "sys/internal/ui/mounts/secret":
            return 200, {"data": {"type": "kv", "options": {"version": "2"}}}
        if not path.startswith("secret/"):
            return 404, {"errors": [f'no handler for route "{path}". route entry not found.']}
        kind, _, rest = path.removeprefix("secret/").partition("/")
        return self._secret(kind, rest, body, query)

    def _login(self, path: str, body: dict[str, Any]) -> tuple[int, object]:
        standin = self.standin
        if path == "auth/approle/login":
            good = standin.approles.get(body.get("role_id", "")) == body.get("secret_id", "")
            refusal: tuple[int, object] = (400, {"errors": ["invalid role or secret ID"]})
        elif path == "auth/kubernetes/login":
            good = standin.service_accounts.get(body.get("role", "")) == body.get("jwt", "")
            refusal = (403, {"errors": ["permission denied"]})
        else:
            return 403, {"errors": ["permission denied"]}
        if not good:
            return refusal
        name = f"s.{secrets.token_hex(12)}"
        standin.tokens[name] = made = standin.login_token()
        return 200, _auth(name, made, made.seconds)

    def _token(self, path: str, name: str, token: Token) -> tuple[int, object]:
        if path.endswith("lookup-self"):
            if not self.standin.may_look_up:
                return 403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}
            left = 0 if token.until == float("inf") else int(token.until - time.monotonic())
            return 200, {"data": {"ttl": left, "renewable": token.renewable, "creation_ttl": int(token.seconds)}}
        if path.endswith("renew-self"):
            if not token.renewable:
                return 400, {"errors": ["lease is not renewable"]}
            return 200, _auth(name, token, token.renew())
        if path.endswith("revoke-self"):
            del self.standin.tokens[name]
            return 204, None
        return 404, {"errors": ["unsupported path"]}

    def _secret(  # noqa: PLR0911 - a table of routes
        self, kind: str, path: str, body: dict[str, Any], query: dict[str, list[str]]
    ) -> tuple[int, object]:
        kept = self.standin.secrets
        if kind == "metadata" and self.command == "LIST":
            folder = f"{path}/" if path else ""
            below = [each.removeprefix(folder) for each in kept if each.startswith(folder)]
            keys = sorted({each.partition("/")[0] + ("/" if "/" in each else "") for each in below})
            return (200, {"data": {"keys": keys}}) if keys else (404, {"errors": []})
        if kind == "data" and self.command != "GET":
            return self._write(path, body)
        found = kept.get(path)
        if kind == "metadata" and self.command != "GET":
            found = kept.setdefault(path, _new())
            found["custom_metadata"] = body.get("custom_metadata", found["custom_metadata"])
            found["max_versions"] = body.get("max_versions", found["max_versions"])
            return 204, None
        if kind in {"delete", "undelete", "destroy"}:
            for number in body["versions"]:
                if found is not None and number in found["versions"]:
                    _mark(found["versions"][number], kind)
            return 204, None
        if found is None:
            return 404, {"errors": []}
        if kind == "metadata":
            shown = {str(number): _shown(each) for number, each in found["versions"].items()}
            return 200, {"data": {**found, "versions": shown}}
        number = int(query.get("version", [found["current_version"]])[0]) or found["current_version"]
        version = found["versions"].get(number)
        if version is None:
            return 404, {"errors": []}
        gone = version["deletion_time"] or version["destroyed"]
        value = None if gone else version["data"]
        return (404 if gone else 200), {"data": {"metadata": {**_shown(version), "version": number}, "data": value}}

    def _write(self, path: str, body: dict[str, Any]) -> tuple[int, object]:
        found = self.standin.secrets.get(path) or _new()
        cas = body.get("options", {}).get("cas")
        if cas is not None and cas != found["current_version"]:
            return 400, {"errors": [_CAS]}
        number = found["current_version"] + 1
        found["versions"][number] = {
            "created_time": _now(), "deletion_time": "", "destroyed": False, "data": _doubles(body["data"])
        }  # fmt: skip
        found["current_version"], found["updated_time"] = number, _now()
        for old in [each for each in found["versions"] if each <= number - (found["max_versions"] or 10)]:
            del found["versions"][old]
        self.standin.secrets[path] = found
        return 200, {"data": {**_shown(found["versions"][number]), "version": number}}


def _doubles(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what OpenBao keeps of JSON: its numbers are doubles."""
    if isinstance(value, dict):
        return {name: _doubles(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_doubles(each) for each in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(float(value)) if float(value).is_integer() else float(value)
    return value


def _auth(name: str, token: Token, left: float) -> object:
    return {"auth": {"client_token": name, "lease_duration": int(left), "renewable": token.renewable}}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "123Z")


def _new() -> dict[str, Any]:
    return {
        "created_time": _now(), "updated_time": _now(), "current_version": 0, "max_versions": 0,
        "custom_metadata": None, "versions": {},
    }  # fmt: skip


def _shown(version: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in version.items() if name != "data"}


def _mark(version: dict[str, Any], kind: str) -> None:
    if kind == "destroy":
        version |= {"destroyed": True, "data": None}
    elif not version["destroyed"]:
        version["deletion_time"] = "" if kind == "undelete" else version["deletion_time"] or _now()


# --- faults ---------------------------------------------------------------------------------------


def reset_in_the_middle(handler: Handler) -> bool:
    """Announce a body, send the half of it, and reset the connection."""
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"data":')
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
    return True


def saying(status: int, body: object = None, **headers: str) -> Callable[[Handler], bool]:
    """Return the fault of another answer."""

    def fault(handler: Handler) -> bool:
        handler.answer(status, body, **headers)
        return True

    return fault


def silent(released: threading.Event) -> Callable[[Handler], bool]:
    """Return the fault of no answer until `released`."""

    def fault(handler: Handler) -> bool:
        released.wait(20)
        handler.close_connection = True
        return True

    return fault


def trickling(released: threading.Event) -> Callable[[Handler], bool]:
    """Return the fault of an answer that comes byte by byte and never ends."""

    def fault(handler: Handler) -> bool:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while not released.wait(0.01):
                handler.wfile.write(b" ")
                handler.wfile.flush()
        except OSError:
            pass  # the client had enough
        handler.close_connection = True
        return True

    return fault


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """Run one."""
    standin = StandIn()
    handler = type("BoundHandler", (Handler,), {"standin": standin})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    standin.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield standin
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """A stand-in of a test's own."""
    with standing_in() as made:
        yield made


@pytest.fixture(scope="session")
def vault_standin() -> Iterator[StandIn]:
    """A stand-in for the whole session."""
    with standing_in() as made:
        yield made

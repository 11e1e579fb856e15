"""Our service, started as a user starts it: `tradewarden serve`, two workers, a fresh data directory."""

from __future__ import annotations

import ssl
import sys
import time
from pathlib import Path

import httpx

from bench.peers.authority import make_authority, make_server, signing_request
from bench.process import Process, free_port
from bench.request import BenchError, Load, Request, send
from bench.side import PATHS, Work, answers_ok, field, secret_value, send_all

WORKERS = 2
_SERVICE = "bench"
_BACKLOG = ("tradewarden_audit_unshipped_bytes ", "tradewarden_audit_unnumbered_entries ")
_GAUGE_SECONDS = 1.0
_REST_SECONDS = 30.0


class Tradewarden:
    """The running service with 1,000 secrets, 1,000 tokens and one registered service."""

    def __init__(self, directory: Path, *, tls: bool = False, unlimited: bool = False) -> None:
        data, port = directory / "data", free_port()
        self.works = frozenset({Work.SIGN}) if tls else frozenset(Work) - {Work.SIGN}
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        environment = _environment(data, port)
        if unlimited:  # by default one address may ask a thousand times a second for what anyone may have
            environment["TRADEWARDEN_RATE_LIMITS"] = "open=1000000/1"
        self._trust: ssl.SSLContext | bool = True
        if tls:
            make_authority(directory)
            make_server(directory)
            self._trust = ssl.create_default_context(cafile=str(directory / "root.pem"))
            environment |= {
                "TRADEWARDEN_TLS_CERT": str(directory / "server.pem"),
                "TRADEWARDEN_TLS_KEY": str(directory / "server-key.pem"),
            }
        self._csr = signing_request(_SERVICE)
        self._process = Process("tradewarden", (str(_command()), "serve"), directory, environment)
        self.session = self._process.session
        try:
            with self.client() as client:
                self._process.wait_until(lambda: answers_ok(client, "/health/ready"))
                self.admin_token = (data / "admin.token").read_text().strip()
                self._tokens = self._prepare(client)
        except BaseException:
            self.stop()
            raise

    def client(self) -> httpx.Client:
        """Return a client for single requests."""
        return httpx.Client(base_url=self.url, verify=self._trust, timeout=60)

    def load(self, work: Work, at_most: int) -> Load:  # noqa: ARG002 - all of it can be repeated
        """Return the requests of a work."""
        token = self._tokens[0]
        if work is Work.READ:
            return Load([self._read(n, token) for n in range(PATHS)], '"password"')
        if work is Work.WRITE:
            return Load([self._write(0, token)], '"version"')
        if work is Work.WRITE_MANY:
            return Load([self._write(n, token) for n in range(PATHS)], '"version"')
        if work is Work.VALIDATE:
            return Load([self._validate(token)], '"valid":true')
        if work is Work.VALIDATE_MANY:
            return Load([self._validate(token) for token in self._tokens], '"valid":true')
        asked = {"service_name": _SERVICE} | ({"csr": self._csr} if work is Work.SIGN else {})
        return Load([self.admin_request("/credentials/issue", asked)], "BEGIN CERTIFICATE")

    def admin_request(self, path: str, body: object = None) -> Request:
        """Return a call of the admin: POST with a body, GET without."""
        return Request("GET" if body is None else "POST", path, _bearer(self.admin_token), body)

    def rest(self) -> None:
        """Wait until the audit log has numbered every entry of the last load; raises `BenchError` when it does not."""
        deadline = time.monotonic() + _REST_SECONDS
        metrics = Request("GET", "/metrics", _bearer(self.admin_token))
        with self.client() as client:
            # The gauges are set once a round of the audit's own process: they must have been set after the load.
            time.sleep(_GAUGE_SECONDS)
            while behind := [line for line in _backlog(send(client, metrics).text) if not line.endswith(" 0.0")]:
                if time.monotonic() > deadline:
                    raise BenchError(f"the audit log was behind {_REST_SECONDS:.0f} s after the load: {behind}")
                time.sleep(_GAUGE_SECONDS / 4)

    def stop(self) -> None:
        """End the service."""
        self._process.stop()

    def _prepare(self, client: httpx.Client) -> list[str]:
        service = {"service_name": _SERVICE, "permissions": ["read", "write"]}
        admin = _bearer(self.admin_token)
        send(client, self.admin_request("/services", service))
        generate = Request("POST", "/tokens/generate", admin, service)
        tokens = [field(answer, "token") for answer in send_all(client, [generate] * PATHS)]
        send_all(client, [self._write(n, tokens[0]) for n in range(PATHS)])
        return tokens

    @staticmethod
    def _read(number: int, token: str) -> Request:
        return Request("GET", f"/secrets/bench/{number:04d}", _bearer(token))

    @staticmethod
    def _write(number: int, token: str) -> Request:
        body = {"path": f"bench/{number:04d}", "data": secret_value(number)}
        return Request("POST", "/secrets/store", _bearer(token), body)

    @staticmethod
    def _validate(token: str) -> Request:
        return Request("POST", "/tokens/validate", _bearer(token))


def _command() -> Path:
    return Path(sys.executable).parent / "tradewarden"


def _environment(data: Path, port: int) -> dict[str, str]:
    return {
        "ALPHAPULSE_ENV": "development",
        "SERVICE_PORT": str(port),
        "TRADEWARDEN_MTLS_PORT": str(free_port()),
        "TRADEWARDEN_DATA_DIR": str(data),
        "TRADEWARDEN_WORKERS": str(WORKERS),
    }


def _backlog(metrics: str) -> list[str]:
    """Return the lines of the two gauges that tell what the audit log has still to do."""
    lines = [line for line in metrics.splitlines() if line.startswith(_BACKLOG)]
    if len(lines) != len(_BACKLOG):
        raise BenchError(f"/metrics does not tell the audit backlog: {lines}")
    return lines


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}

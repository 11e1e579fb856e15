"""OpenBao (`BAO` names its binary): raft storage, file audit device, KV version 2, PKI.

Its callers hold the root token, which skips its policies and leases: its fastest way, about twice as fast as a token
with a policy, so the ratios are the strictest ones. Ours hold a token with just the permissions they need. Many tokens
in turn cannot all be the root token; those are ordinary ones.
"""

from __future__ import annotations

from pathlib import Path

import httpx
import msgspec

from bench.process import Process, free_port
from bench.request import Load, Request, send
from bench.side import PATHS, Work, answers_ok, field, secret_value, send_all

VARIABLE = "BAO"
_AUDIT = "/v1/sys/audit/file"


class OpenBao:
    """The running, unsealed server with 1,000 secrets, 1,000 tokens and a P-256 certificate authority."""

    works = frozenset(Work) - {Work.SIGN}

    def __init__(self, binary: Path, directory: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._audited = False
        self._audit_log = directory / "audit.log"
        config = directory / "config.json"
        config.write_bytes(msgspec.json.encode(_config(directory, port)))
        command = (str(binary), "server", f"-config={config}", "-log-level=warn")
        self._process = Process("openbao", command, directory, {})
        self.session = self._process.session
        try:
            with self.client() as client:
                self._root = self._unseal(client)
                self._tokens = self._prepare(client)
        except BaseException:
            self.stop()
            raise

    def client(self) -> httpx.Client:
        """Return a client for single requests."""
        return httpx.Client(base_url=self.url, timeout=60)

    def load(self, work: Work, at_most: int) -> Load:  # noqa: ARG002 - all of it can be repeated
        """Return the requests of a work."""
        token = self._root
        if work is Work.READ:
            return Load([_read(n, token) for n in range(PATHS)], '"password"')
        if work is Work.WRITE:
            return Load([_write(0, token)], '"version"')
        if work is Work.WRITE_MANY:
            return Load([_write(n, token) for n in range(PATHS)], '"version"')
        if work is Work.VALIDATE:
            return Load([_look_up(token)], '"policies"')
        if work is Work.VALIDATE_MANY:
            return Load([_look_up(token) for token in self._tokens], '"policies"')
        body = {"common_name": "bench.internal"}
        return Load([Request("POST", "/v1/pki/issue/bench", _held(token), body)], "BEGIN CERTIFICATE")

    def audit_on(self) -> None:
        """Turn the file audit device on, from the next request."""
        if not self._audited:
            device = {"type": "file", "options": {"file_path": str(self._audit_log)}}
            self._call("PUT", _AUDIT, device)
            self._audited = True

    def audit_off(self) -> None:
        """Turn the file audit device off, from the next request."""
        if self._audited:
            self._call("DELETE", _AUDIT)
            self._audited = False

    def rest(self) -> None:
        """Return at once. It says nothing about work that is left."""

    def stop(self) -> None:
        """End the server."""
        self._process.stop()

    def _call(self, method: str, path: str, body: object = None) -> None:
        with self.client() as client:
            send(client, Request(method, path, _held(self._root), body))

    def _unseal(self, client: httpx.Client) -> str:
        self._process.wait_until(lambda: answers_ok(client, "/v1/sys/seal-status"))
        shares = {"secret_shares": 1, "secret_threshold": 1}
        made = send(client, Request("PUT", "/v1/sys/init", body=shares))
        send(client, Request("PUT", "/v1/sys/unseal", body={"key": made.json()["keys"][0]}))
        self._process.wait_until(lambda: answers_ok(client, "/v1/sys/health"))
        return field(made, "root_token")

    def _prepare(self, client: httpx.Client) -> list[str]:
        self.audit_on()
        for path, body in _SET_UP:
            self._call("POST", path, body)
        ordinary = {"policies": ["default"], "ttl": "24h"}
        create = Request("POST", "/v1/auth/token/create", _held(self._root), ordinary)
        answers = send_all(client, [create] * PATHS)
        tokens = [field(answer, "auth", "client_token") for answer in answers]
        first = _write(0, self._root)
        # A new KV mount upgrades itself in the background and refuses writes until it is done.
        self._process.wait_until(lambda: _accepted(client, first))
        send_all(client, [_write(n, self._root) for n in range(PATHS)])
        return tokens


_SET_UP: tuple[tuple[str, object], ...] = (
    ("/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}),
    ("/v1/sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": "87600h"}}),
    (
        "/v1/pki/root/generate/internal",
        {"common_name": "Bench CA", "key_type": "ec", "key_bits": 256, "ttl": "87600h"},
    ),
    (
        "/v1/pki/roles/bench",
        {
            "allow_any_name": True,
            "key_type": "ec",
            "key_bits": 256,
            "ttl": "24h",
            "no_store": False,
            "generate_lease": False,
        },
    ),
)


def _config(directory: Path, port: int) -> dict[str, object]:
    data = directory / "raft"
    data.mkdir()
    return {
        "storage": {"raft": {"path": str(data), "node_id": "bench"}},
        "listener": {"tcp": {"address": f"127.0.0.1:{port}", "tls_disable": True}},
        "api_addr": f"http://127.0.0.1:{port}",
        "cluster_addr": f"https://127.0.0.1:{free_port()}",
        "disable_mlock": True,
        # So that audit on and audit off are measured in one process.
        "unsafe_allow_api_audit_creation": True,
    }


def _held(token: str) -> dict[str, str]:
    return {"X-Vault-Token": token}


def _read(number: int, token: str) -> Request:
    return Request("GET", f"/v1/secret/data/bench/{number:04d}", _held(token))


def _write(number: int, token: str) -> Request:
    path = f"/v1/secret/data/bench/{number:04d}"
    return Request("POST", path, _held(token), {"data": secret_value(number)})


def _look_up(token: str) -> Request:
    return Request("GET", "/v1/auth/token/lookup-self", _held(token))


def _accepted(client: httpx.Client, request: Request) -> bool:
    content = request.content()
    answer = client.request(request.method, request.path, headers=request.all_headers(), content=content)
    return answer.is_success

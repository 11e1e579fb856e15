"""A real Vault for tests: OpenBao's `bao` or HashiCorp's `vault`, as a server of our own.

The program is `BAO`'s, or `bao` or `vault` on PATH; without one such tests are skipped with a reason. With `VAULT_ADDR`
and `VAULT_TOKEN` set, tests that need not start, seal or kill a server use that one, in mounts of their own.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.service import free_port, wait_until
from tradewarden.secrets.providers.vault.config import Login, TokenLogin, VaultConfig
from tradewarden.settings.secret import Secret

_START_SECONDS = 20.0
_EVERYTHING = 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo", "patch"] }'


def program() -> str:
    """Return the program; skips the test where there is none."""
    found = os.environ.get("BAO") or shutil.which("bao") or shutil.which("vault")
    if found is None:
        pytest.skip("needs a bao or vault binary on PATH (or named by BAO), or a server at VAULT_ADDR")
    return found


class Tls(NamedTuple):
    """What a server shows, and the roots of the clients that it lets log in by certificate: files, PEM."""

    certificate: Path
    key: Path
    roots: Path


class Place(NamedTuple):
    """A Vault that answers: where, and a token that may do everything there."""

    url: str
    root: str
    roots: Path | None = None

    def config(self, login: Login | None = None, **more: Any) -> VaultConfig:  # noqa: ANN401 - as VaultConfig has them
        """Return a config for it."""
        return VaultConfig(**{"url": self.url, "login": login or self.token(), "ca_file": self.roots, **more})

    def token(self) -> TokenLogin:
        """Return the login that may do everything."""
        return TokenLogin(Secret(self.root))

    def ask(self, method: str, path: str, body: object = None, token: str | None = None) -> Any:  # noqa: ANN401 - JSON
        """Call its API as an operator would; returns the JSON answer, or None."""
        headers = {"X-Vault-Token": self.root if token is None else token}
        trust = ssl.create_default_context(cafile=self.roots) if self.roots else True
        answer = httpx.request(
            method, f"{self.url}/v1/{path}", headers=headers, json=body, trust_env=False, verify=trust, timeout=20
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def mounted(self) -> str:
        """Make a KV engine of version 2 for one test, and return its mount."""
        mount = f"kv-{secrets.token_hex(4)}"
        self.ask("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
        config = f"{mount}/config"
        wait_until(lambda: self._answers(config), "the KV engine did not become ready")
        return mount

    def has_namespaces(self) -> bool:
        """Tell whether it knows namespaces: OpenBao does, HashiCorp's Vault only in its enterprise edition."""
        return self._answers("sys/namespaces?list=true", 200, 404)

    def _answers(self, path: str, *statuses: int) -> bool:
        """Tell whether something is there and ready: right after an engine is mounted it is upgraded, and says 400."""
        trust = ssl.create_default_context(cafile=self.roots) if self.roots else True
        headers = {"X-Vault-Token": self.root}
        answer = httpx.get(f"{self.url}/v1/{path}", headers=headers, trust_env=False, verify=trust)
        return answer.status_code in (statuses or (200,)) and "unsupported path" not in answer.text

    def issued(self, rules: str = _EVERYTHING, **options: object) -> str:
        """Return a new token with a policy of its own."""
        policy = f"test-{secrets.token_hex(4)}"
        self.ask("PUT", f"sys/policies/acl/{policy}", {"policy": rules})
        wanted = {"policies": [policy], **options}
        token: str = self.ask("POST", "auth/token/create-orphan", wanted)["auth"]["client_token"]
        return token


class Server:
    """A server on 127.0.0.1 with its data in a directory; it survives being killed."""

    def __init__(self, directory: Path, tls: Tls | None = None) -> None:
        self.directory = directory
        self.port = free_port()
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self._unseal_key = ""
        self.place = Place(f"{'https' if tls else 'http'}://127.0.0.1:{self.port}", "", tls.roots if tls else None)

    def _configure(self) -> Path:
        listener: dict[str, object] = {"address": f"127.0.0.1:{self.port}", "tls_disable": self._tls is None}
        if self._tls is not None:
            listener |= {
                "tls_cert_file": str(self._tls.certificate),
                "tls_key_file": str(self._tls.key),
                "tls_client_ca_file": str(self._tls.roots),
            }
        config = {
            "listener": {"tcp": listener},
            "storage": {"file": {"path": str(self.directory / "data")}},
            "disable_mlock": True,
            "ui": False,
            "api_addr": self.place.url,
        }
        path = self.directory / "config.json"
        path.write_text(json.dumps(config))
        return path

    def start(self) -> None:
        """Start it and return once it answers; it is sealed then, or not initialised."""
        config = self._configure()
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory)}
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program(), "server", f"-config={config}"], stdout=log, stderr=log, env=environment, cwd=self.directory
            )
        wait_until(lambda: self.health() != 0, "the server did not start", _START_SECONDS)

    def health(self) -> int:
        """Return the status of `sys/health`; 0 when nobody answers."""
        trust = ssl.create_default_context(cafile=self.place.roots) if self.place.roots else True
        try:
            return httpx.get(f"{self.place.url}/v1/sys/health", trust_env=False, verify=trust).status_code
        except httpx.TransportError:
            assert self._process is not None
            assert self._process.poll() is None, (self.directory / "log").read_text(errors="replace")[-3000:]
            return 0

    def initialise(self) -> None:
        """Make its keys, unseal it, and mount KV version 2 at `secret/`."""
        made = self.place.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._unseal_key = made["keys_base64"][0]
        self.place = self.place._replace(root=made["root_token"])
        self.unseal()
        self.place.ask("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        wait_until(lambda: self.place._answers("secret/config"), "the KV engine did not become ready")

    def unseal(self) -> None:
        """Unseal it, and wait until it is active."""
        self.place.ask("PUT", "sys/unseal", {"key": self._unseal_key})
        wait_until(lambda: self.health() == 200, "the server did not become active")

    def seal(self) -> None:
        """Seal it."""
        self.place.ask("PUT", "sys/seal")

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def served(tls: Tls | None = None) -> Iterator[Server]:
    """Run a server of one's own, initialised and unsealed."""
    directory = Path(tempfile.mkdtemp(prefix="vault-"))
    server = Server(directory, tls)
    try:
        server.start()
        server.initialise()
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def vault() -> Iterator[Place]:
    """A real Vault for the whole session, which nobody seals or kills."""
    address, token = os.environ.get("VAULT_ADDR"), os.environ.get("VAULT_TOKEN")
    if address and token:
        yield Place(address.rstrip("/"), token)
        return
    program()
    with served() as server:
        yield server.place


@pytest.fixture
def vault_server() -> Iterator[Server]:
    """A real Vault of a test's own, to seal and to kill."""
    program()
    with served() as server:
        yield server

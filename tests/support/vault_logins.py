"""What vouches for us to a real Vault in tests: AppRoles, a made-up Kubernetes, certificates of a made-up CA."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.standin_ca import authority, leaf, pem_key
from tests.support.vault import Place, Tls
from tradewarden.secrets.providers.vault.config import AppRoleLogin, ClientCertificate
from tradewarden.settings.secret import Secret

RULES = 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }'


class Role(NamedTuple):
    """An AppRole of a test: where it is, and what logs in with it."""

    place: Place
    name: str
    role_id: str

    def secret_id(self, wrap: str = "") -> str:
        """Return a new secret ID, or a token that wraps it for so long."""
        path = f"auth/approle/role/{self.name}/secret-id"
        if not wrap:
            made: str = self.place.ask("POST", path, {})["data"]["secret_id"]
            return made
        return wrapped(self.place, path, wrap)

    def login(self, *, wrap: str = "") -> AppRoleLogin:
        """Return a login with it."""
        return AppRoleLogin(Secret(self.role_id), Secret(self.secret_id(wrap)), wrapped=bool(wrap))


def wrapped(place: Place, path: str, seconds: str) -> str:
    """Return the token that wraps the answer of a call."""
    headers = {"X-Vault-Token": place.root, "X-Vault-Wrap-TTL": seconds}
    answer = httpx.post(f"{place.url}/v1/{path}", headers=headers, json={}, trust_env=False)
    token: str = answer.json()["wrap_info"]["token"]
    return token


def approle(place: Place, rules: str = RULES, **options: object) -> Role:
    """Make an AppRole, with a policy of its own."""
    name = f"role-{secrets.token_hex(4)}"
    if "approle/" not in place.ask("GET", "sys/auth")["data"]:
        place.ask("POST", "sys/auth/approle", {"type": "approle"})
    place.ask("PUT", f"sys/policies/acl/{name}", {"policy": rules})
    place.ask("POST", f"auth/approle/role/{name}", {"token_policies": [name], **options})
    role_id = place.ask("GET", f"auth/approle/role/{name}/role-id")["data"]["role_id"]
    return Role(place, name, role_id)


# --- Kubernetes -----------------------------------------------------------------------------------


def service_account_token(name: str) -> str:
    """Return a token as a pod has it; only the made-up API server below can judge it."""
    claims = {
        "iss": "kubernetes/serviceaccount",
        "sub": f"system:serviceaccount:trading:{name}",
        "aud": ["vault"],
        "iat": 1_700_000_000,
        "nbf": 1_700_000_000,
        "exp": 4_102_444_800,
        "kubernetes.io": {"namespace": "trading", "serviceaccount": {"name": name, "uid": "u-1"}},
    }
    parts = [json.dumps({"alg": "RS256", "typ": "JWT"}), json.dumps(claims), secrets.token_hex(32)]
    return ".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts)


@contextmanager
def kubernetes(accepted: dict[str, str]) -> Iterator[str]:
    """Run an API server that has nothing but token reviews: `accepted` are service accounts by their token."""

    class Review(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            account = accepted.get(asked["spec"]["token"])
            status: dict[str, object] = {"authenticated": account is not None}
            if account is not None:
                user = {"username": f"system:serviceaccount:trading:{account}", "uid": "u-1", "groups": []}
                status |= {"user": user, "audiences": asked["spec"].get("audiences", [])}
            body = json.dumps({**asked, "status": status}).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Review)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


# --- certificates ---------------------------------------------------------------------------------


class Files:
    """Certificates of a made-up CA, as files below a directory."""

    def __init__(self, directory: Path, name: str = "test-ca") -> None:
        self._directory = directory
        self._ca = authority(name)
        self.roots = directory / f"{name}.pem"
        self.roots.write_bytes(self._ca.pem)

    def issue(self, name: str) -> ClientCertificate:
        """Make a certificate and its key, good for a client of that name and for a server on 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = ClientCertificate(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        made.certificate.write_bytes(leaf(self._ca, key.public_key(), name, 3600.0).public_bytes(Encoding.PEM))
        made.key.write_bytes(pem_key(key))
        return made

    def server(self) -> Tls:
        """Return what a Vault of a test shows, and trusts for logins."""
        pair = self.issue("vault")
        return Tls(pair.certificate, pair.key, self.roots)

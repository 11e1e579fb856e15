"""step-ca (`STEP_CA` names its binary): signs a certificate request over TLS for a one-time token of a JWK provisioner.

Each request needs a token of its own, so they are made before the load; one that is sent twice is refused, and that
would show as an error of the run.
"""

from __future__ import annotations

import secrets
import ssl
import time
from pathlib import Path

import httpx
import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey

from bench.peers.authority import make_authority, signing_request
from bench.process import Process, free_port
from bench.request import Load, Request
from bench.side import Work, answers_ok

VARIABLE = "STEP_CA"
_NAME = "bench.internal"
_PROVISIONER = "bench"
_TOKEN_SECONDS = 900


class StepCa:
    """The running certificate authority, with a database and the logger that `step ca init` sets up."""

    works = frozenset({Work.ISSUE, Work.SIGN})

    def __init__(self, binary: Path, directory: Path) -> None:
        self._port = free_port()
        self.url = f"https://127.0.0.1:{self._port}"
        make_authority(directory)
        self._trust = ssl.create_default_context(cafile=str(directory / "root.pem"))
        self._key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
        self._csr = signing_request(_NAME)
        config = directory / "ca.json"
        config.write_bytes(msgspec.json.encode(self._config(directory)))
        # STEPPATH: else it looks into the home directory.
        environment = {"STEPPATH": str(directory)}
        self._process = Process("step-ca", (str(binary), str(config)), directory, environment)
        self.session = self._process.session
        try:
            with self.client() as client:
                self._process.wait_until(lambda: answers_ok(client, "/health"))
        except BaseException:
            self.stop()
            raise

    def client(self) -> httpx.Client:
        """Return a client for single requests, that trusts this authority only."""
        return httpx.Client(base_url=self.url, verify=self._trust, timeout=60)

    def load(self, work: Work, at_most: int) -> Load:  # noqa: ARG002 - both works are the same here
        """Return `at_most` signing requests, each with a one-time token of its own."""
        return Load([self._sign() for _ in range(at_most)], "BEGIN CERTIFICATE")

    def rest(self) -> None:
        """Return at once. It leaves no work behind an answer."""

    def stop(self) -> None:
        """End the service."""
        self._process.stop()

    def _sign(self) -> Request:
        return Request("POST", "/1.0/sign", body={"csr": self._csr, "ott": self._one_time_token()})

    def _one_time_token(self) -> str:
        now = int(time.time())
        claims = {
            "iss": _PROVISIONER,
            "aud": f"{self.url}/1.0/sign",
            "sub": _NAME,
            "sans": [_NAME],
            "iat": now,
            "nbf": now - 30,
            "exp": now + _TOKEN_SECONDS,
            "jti": secrets.token_hex(16),
        }
        return jwt.encode({"alg": "ES256", "kid": self._key.kid}, claims, self._key)

    def _config(self, directory: Path) -> dict[str, object]:
        provisioner = {
            "type": "JWK",
            "name": _PROVISIONER,
            "key": self._key.as_dict(private=False),
        }
        return {
            "root": str(directory / "root.pem"),
            "crt": str(directory / "issuing.pem"),
            "key": str(directory / "issuing-key.pem"),
            "address": f"127.0.0.1:{self._port}",
            "dnsNames": ["127.0.0.1"],
            "logger": {"format": "text"},
            "db": {"type": "badgerv2", "dataSource": str(directory / "db")},
            "authority": {"provisioners": [provisioner]},
        }

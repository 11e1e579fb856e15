"""Other people's TLS stacks as clients and as judges of chains: OpenSSL's command, Go's, Java's."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    load_pem_private_key,
    pkcs12,
)

from tests.support.mtls import Identity
from tests.support.service import bare_environment

_SOURCES: Final = Path(__file__).with_name("stacks")
_PATH: Final = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/go/bin"))  # where Go's own archive puts it
_PASSWORD: Final = b"changeit"
_OPTIONAL: Final = "is not installed: one of the stacks that are tried where they are on the machine, in CI too"


class Told(NamedTuple):
    """How a program ended: all that it printed, and what it had to say about a refusal."""

    good: bool
    said: str
    why: str


class Stack(Protocol):
    """One TLS stack. `checks_revocation`: it follows the pointers of a chain and refuses a revoked certificate."""

    checks_revocation: bool

    def verify(self, chain: Path, roots: Path, purpose: str, name: str) -> Told:
        """Judge a chain (PEM) of the service `name` for a purpose (`client`, `server`), knowing only `roots` (PEM)."""
        ...

    def get(self, url: str, shown: Identity, roots: Path) -> Told:
        """Make a GET request over mTLS; what is said begins with the status."""
        ...


def run(command: Sequence[object], folder: Path, text: str = "", more: Mapping[str, str] | None = None) -> Told:
    """Run a program without any proxy between it and this machine."""
    kept = {name: value for name, value in bare_environment().items() if not name.lower().endswith("_proxy")}
    ran = subprocess.run(
        list(map(str, command)), cwd=folder, env={**kept, **(more or {})}, input=text, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    return Told(ran.returncode == 0, ran.stdout, ran.stderr)


def list_place(certificate: x509.Certificate) -> str:
    """Return where a certificate points for the list that it would stand on."""
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert points[0].full_name is not None
    return str(points[0].full_name[0].value)


def fetch_list(certificate: x509.Certificate) -> bytes:
    """Return the list (PEM) that a certificate points to."""
    answer = httpx.get(list_place(certificate), trust_env=False)
    return x509.load_der_x509_crl(answer.content).public_bytes(Encoding.PEM)


class OpenSsl:
    """The `openssl` command. It fetches the list that a certificate points to.

    A root points to none, and is on its own; where a whole chain is checked, OpenSSL must be given the roots' lists.
    """

    checks_revocation = True

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs the openssl command")
        self._folder = folder
        self._trust = ["-x509_strict", "-crl_download", "-no-CApath", "-no-CAstore"]

    def verify(self, chain: Path, roots: Path, purpose: str, name: str) -> Told:
        """Judge it with `openssl verify`, the revocation of every CA too."""
        names = ["-verify_hostname", name] if purpose == "server" else []
        lists = chain.with_suffix(".crls.pem")
        lists.write_bytes(b"".join(map(fetch_list, x509.load_pem_x509_certificates(chain.read_bytes())[1:])))
        checks = ["-crl_check_all", "-CRLfile", lists, "-purpose", f"ssl{purpose}"]
        how = [*self._trust, "-CAfile", roots, *checks, *names]
        return run(["openssl", "verify", *how, "-untrusted", chain, chain], self._folder)

    def get(self, url: str, shown: Identity, roots: Path) -> Told:
        """Ask with `openssl s_client`, which looks for the list of the server's certificate."""
        place = urlsplit(url)
        own = ["-cert", shown.certificate, "-cert_chain", shown.certificate, "-key", shown.key]
        names = ["-verify_ip", place.hostname, "-verify_return_error"]
        told = run(
            ["openssl", "s_client", "-connect", place.netloc, "-CAfile", roots, *self._trust, "-crl_check",
             *names, *own, "-tls1_3", "-quiet"],
            self._folder,
            f"GET {place.path}?{place.query} HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n\r\n",
        )  # fmt: skip
        return told._replace(good=told.said.startswith("HTTP/1.1 "), said=told.said.removeprefix("HTTP/1.1 "))


class Go:
    """Go's crypto/x509 and crypto/tls. It looks at no list by itself."""

    checks_revocation = False

    def __init__(self, folder: Path) -> None:
        go = shutil.which("go", path=_PATH)
        if go is None:
            pytest.skip(f"Go {_OPTIONAL}")
        self._folder = folder
        settings = {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
        if "HOME" not in os.environ and "GOCACHE" not in os.environ:
            settings["GOCACHE"] = str(folder / "go-cache")
        made = run([go, "build", "-o", "client", _SOURCES / "client.go"], folder, more=settings)
        assert made.good, made.why
        self._run = partial(run, folder=folder)

    def verify(self, chain: Path, roots: Path, purpose: str, name: str) -> Told:
        """Judge it with x509.Certificate.Verify; the one URI must be the service's SPIFFE ID."""
        uri = f"spiffe://tradewarden.internal/{name}"
        return self._run([self._folder / "client", "verify", chain, roots, purpose, name, uri])

    def get(self, url: str, shown: Identity, roots: Path) -> Told:
        """Ask with net/http."""
        return self._run([self._folder / "client", "get", url, shown.certificate, shown.key, roots])

    def crl(self, found: Path, issuer: Path, serial: str) -> Told:
        """Read a list (DER), check its signature by `issuer` (PEM) and look for a serial number (hex)."""
        return self._run([self._folder / "client", "crl", found, issuer, serial])


class Java:
    """Java's javax.net.ssl with a hard PKIXRevocationChecker: by OCSP, or (`by` is "crl") by lists alone."""

    checks_revocation = True

    def __init__(self, folder: Path, by: str = "ocsp") -> None:
        java, javac = shutil.which("java"), shutil.which("javac")
        if java is None or javac is None:
            pytest.skip(f"a JDK {_OPTIONAL}")
        self._folder = folder
        self._by = by
        if not (folder / "Client.class").exists():
            made = run([javac, "-d", folder, _SOURCES / "Client.java"], folder)
            assert made.good, made.why
        self._command = [java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp", folder, "Client"]

    def verify(self, chain: Path, roots: Path, purpose: str, name: str) -> Told:
        """Judge it with an X509TrustManager."""
        return run([*self._command, "verify", self._by, chain, roots, purpose], self._folder)

    def get(self, url: str, shown: Identity, roots: Path) -> Told:
        """Ask with java.net.http."""
        store = shown.certificate.with_suffix(".p12")
        leaf, *above = x509.load_pem_x509_certificates(shown.certificate.read_bytes())
        key = load_pem_private_key(shown.key.read_bytes(), None)
        how = BestAvailableEncryption(_PASSWORD)
        store.write_bytes(pkcs12.serialize_key_and_certificates(b"own", key, leaf, above, how))  # type: ignore[arg-type]
        return run([*self._command, "get", self._by, url, store, _PASSWORD.decode(), roots], self._folder)

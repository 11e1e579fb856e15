"""nginx with issued certificates: as a client of the mTLS listener, and as a server of other services' clients."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.mtls import Identity, ca_file, issued, mtls_url, revoke
from tests.support.service import Service, free_port, start, stop, wait_until
from tests.support.trial import done, entry_of
from tests.support.wire import Wire
from tradewarden.pki.certificate.pointers import NAME_DIGITS

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx (make test-tools)")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own for this module."""
    running = start(tmp_path_factory.mktemp("nginx"))
    yield running
    assert stop(running) == 0


@contextmanager
def nginx(folder: Path, server: str) -> Iterator[int]:
    """Run nginx with one server block until the block ends; gives its port."""
    folder.mkdir()
    port = free_port()
    temporary = "".join(
        f"{kind}_temp_path {folder / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; master_process off; pid {folder / 'pid'}; error_log {folder / 'error.log'} info;"
        f"events {{}} http {{ access_log off; {temporary} server {{ {server.replace('PORT', str(port))} }} }}"
    )
    process = subprocess.Popen(["nginx", "-p", folder, "-c", configuration], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port) or process.poll() is not None, "nginx does not start")
        assert process.poll() is None, (folder / "error.log").read_text()
        yield port
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(10)


def listens(port: int) -> bool:
    """Tell whether somebody accepts connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_nginx_is_a_client(service: Service, tmp_path: Path) -> None:
    """It shows its certificate to the service, which answers it as the service it is; forged headers change nothing."""
    edge = issued(service, "edge", ["read"])
    with nginx(
        tmp_path / "nginx",
        f"listen 127.0.0.1:PORT; location / {{ proxy_pass {mtls_url(service)}; proxy_http_version 1.1;"
        f" proxy_ssl_protocols TLSv1.3; proxy_ssl_certificate {edge.certificate}; proxy_ssl_certificate_key {edge.key};"
        f" proxy_ssl_trusted_certificate {ca_file(service)}; proxy_ssl_verify on; proxy_ssl_name localhost;"
        ' proxy_set_header Connection ""; }',
    ) as port:
        with Wire(f"http://127.0.0.1:{port}") as wire:
            read = wire.ask("GET", "/secrets?limit=1", headers=[("X-SSL-Client-Cert", "spiffe://x/admin")])
            done(read)
            assert wire.ask("GET", "/services").status == 403
        with Wire(service.url, token=service.admin_token) as admin:
            entry = entry_of(admin, read.headers["x-request-id"])
            assert (entry["user"], entry["method"]) == ("service:edge", "certificate")
        revoke(service, edge)
        with Wire(f"http://127.0.0.1:{port}") as wire:
            answer = wire.ask("GET", "/secrets?limit=1")
            assert answer.status in (401, 502), answer.body
            wait_until(lambda: wire.ask("GET", "/secrets?limit=1").status == 502, "the revoked nginx is let in")


def curl(port: int, service: Service, identity: Identity | None) -> subprocess.CompletedProcess[str]:
    """Call nginx over TLS."""
    shown = identity.curl() if identity is not None else []
    return subprocess.run(
        ["curl", "-sS", "--max-time", "10", "--cacert", ca_file(service), *shown, f"https://localhost:{port}/"],
        capture_output=True,
        text=True,
        check=False,
    )


def crls(service: Service) -> str:
    """Return the revocation lists of all CAs (PEM): nginx wants one for each certificate of a chain."""
    with Wire(service.url, token=service.admin_token) as admin:
        known = [each for each in done(admin.ask("GET", "/ca"))["authorities"] if each["state"] == "active"]
        found = [admin.ask("GET", f"/ca/crl/{each['fingerprint_sha256'][:NAME_DIGITS]}.crl") for each in known]
    assert [each.status for each in found] == [200] * len(known), found
    told = ["openssl", "crl", "-inform", "DER"]
    lists = [subprocess.run(told, input=each.body, capture_output=True, check=True).stdout for each in found]
    return b"".join(lists).decode()


def test_nginx_is_a_server(service: Service, tmp_path: Path) -> None:
    """With an issued certificate, our root and our CRL it lets our services in by name, and revoked ones not."""
    with Wire(service.url, token=service.admin_token) as admin:
        done(admin.ask("POST", "/services", {"service_name": "localhost", "permissions": []}))
    server, good, bad = issued(service, "localhost", None), issued(service, "good", []), issued(service, "bad", [])
    revoke(service, bad)
    crl = tmp_path / "crl.pem"
    crl.write_text(crls(service))
    trusted = tmp_path / "trusted.pem"
    issuing = server.certificate.read_text().partition("END CERTIFICATE-----\n")[2]
    trusted.write_text(ca_file(service).read_text() + issuing)
    with nginx(
        tmp_path / "nginx",
        "listen 127.0.0.1:PORT ssl; ssl_protocols TLSv1.3;"
        f" ssl_certificate {server.certificate}; ssl_certificate_key {server.key};"
        f" ssl_client_certificate {trusted}; ssl_verify_client on; ssl_verify_depth 2;"
        f" ssl_crl {crl}; location / {{ return 200 $ssl_client_s_dn; }}",
    ) as port:
        assert curl(port, service, good).stdout == "CN=good"
        assert "No required SSL certificate" in curl(port, service, None).stdout
        refused = curl(port, service, bad).stdout
        assert "CN=bad" not in refused
        assert "certificate error" in refused
    assert "certificate revoked" in (tmp_path / "nginx" / "error.log").read_text()

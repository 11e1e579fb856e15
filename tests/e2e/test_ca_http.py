"""Outside development, a port in plain HTTP for what verifiers of certificates fetch, and for nothing else."""

from __future__ import annotations

import json
import subprocess
from base64 import b64encode
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID as Access

from tests.support.service import PROGRAM, bare_environment, free_port, start, stop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.service import Service

ROOT_KEY = b64encode(bytes(range(32))).decode()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that speaks TLS on its API, with a port for verifiers beside it."""
    folder = tmp_path_factory.mktemp("ca_http")
    settings = {"ALPHAPULSE_ENV": "staging", "TRADEWARDEN_ROOT_KEY": "env:CA_ROOT_KEY", "CA_ROOT_KEY": ROOT_KEY}
    settings |= {"TRADEWARDEN_CA_HTTP_PORT": str(free_port()), "SERVICE_PORT": str(free_port())}
    data = {"TRADEWARDEN_DATA_DIR": str(folder / "security")}
    subprocess.run([PROGRAM, "init"], env={**bare_environment(), **settings, **data}, check=True, capture_output=True)
    running = start(folder, **settings)
    yield running
    assert stop(running) == 0


@pytest.fixture(scope="module")
def base(service: Service) -> str:
    """Where verifiers ask."""
    return f"http://127.0.0.1:{service.environment['TRADEWARDEN_CA_HTTP_PORT']}"


def test_verifiers_follow_the_pointers_of_a_certificate(service: Service, base: str, tmp_path: Path) -> None:
    """The list, the issuer and the OCSP responder are where the certificate says, and openssl is answered there."""
    assert service.run("services", "add", "bot").returncode == 0
    issued = service.run("ca", "issue", "bot", "--json")
    assert issued.returncode == 0, issued.stderr
    pem = tmp_path / "bot.pem"
    pem.write_text(json.loads(issued.stdout)["certificate"])
    leaf = x509.load_pem_x509_certificate(pem.read_bytes())
    points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    (listed,) = [name.value for point in points for name in point.full_name or ()]
    access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    found = {each.access_method: each.access_location.value for each in access}
    assert all(url.startswith(f"{base}/ca/") for url in (listed, *found.values()))

    issuer = x509.load_der_x509_certificate(httpx.get(found[Access.CA_ISSUERS], trust_env=False).content)
    revoked = x509.load_der_x509_crl(httpx.get(listed, trust_env=False).content)
    assert revoked.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    leaf.verify_directly_issued_by(issuer)
    (tmp_path / "issuer.pem").write_bytes(issuer.public_bytes(Encoding.PEM))
    roots = service.data_dir / "ca" / "ca_cert.pem"
    files = ["-issuer", str(tmp_path / "issuer.pem"), "-cert", str(pem), "-CAfile", str(roots)]
    asked = subprocess.run(
        ["openssl", "ocsp", *files, "-url", found[Access.OCSP]], capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr
    assert ": good" in asked.stdout


@pytest.mark.parametrize(
    "path", ["/health", "/services", "/tokens/generate", "/metrics", "/docs", "/ca", "/acme/directory"]
)
def test_nothing_else_is_there(service: Service, base: str, path: str) -> None:
    """Neither the API nor a health check nor a page: whoever sends a credential there is told nothing."""
    headers = {"Authorization": f"Bearer {service.admin_token}"}
    assert httpx.get(f"{base}{path}", headers=headers, trust_env=False).status_code == 404
    assert httpx.post(f"{base}{path}", headers=headers, json={}, trust_env=False).status_code == 404

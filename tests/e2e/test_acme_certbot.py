"""The real certbot, as it is installed from its package: obtain, renew, revoke."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.acme_service import NAME, Installation, installation
from tests.support.trial import done

__all__ = ["installation"]

PROGRAM = Path(sys.executable).with_name("certbot")
HOOK = f"""#!{sys.executable}
import os, socket, sys
name = "_acme-challenge." + os.environ["CERTBOT_DOMAIN"]
value = os.environ["CERTBOT_VALIDATION"] if sys.argv[1] == "put" else ""
with open(os.environ["RECORDS"], "a") as records:
    records.write(name + " " + value + "\\n")
"""


class Certbot:
    """Certbot in a directory of its own."""

    def __init__(self, directory: Path, installation: Installation) -> None:
        self._directory = directory
        self._installation = installation
        self.environment = {**os.environ, "REQUESTS_CA_BUNDLE": ""}

    def __call__(self, command: str, *arguments: str) -> str:
        """Run one command, and return what it said; it must succeed."""
        places = (f"--{name}-dir={self._directory / name}" for name in ("config", "work", "logs"))
        server = f"--server={self._installation.base}/acme/directory"
        ran = subprocess.run(
            [PROGRAM, command, *places, server, "--non-interactive", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def register(self, service: str = "web") -> None:
        """Open an account for a service."""
        key = self._installation.key(service)
        bound = (f"--eab-kid={key['kid']}", f"--eab-hmac-key={key['hmac_key']}")
        self("register", "--agree-tos", "--register-unsafely-without-email", *bound)

    def live(self, name: str, lineage: str = NAME) -> Path:
        """Return one of the files that servers read."""
        return self._directory / "config" / "live" / lineage / name

    def leaf(self, lineage: str = NAME) -> x509.Certificate:
        """Return the certificate that is in use."""
        return x509.load_pem_x509_certificate(self.live("cert.pem", lineage).read_bytes())


@pytest.fixture
def certbot(tmp_path: Path, installation: Installation) -> Iterator[Certbot]:
    """A certbot with an account."""
    made = Certbot(tmp_path, installation)
    made.register()
    yield made
    made("unregister")


def state(installation: Installation, leaf: x509.Certificate) -> str:
    """Return what the inventory says of a certificate."""
    with installation.admin() as admin:
        return str(done(admin.ask("GET", f"/credentials/{leaf.serial_number:040x}"))["state"])


def assert_trusted(installation: Installation, chain: Path, key: Path, name: str) -> None:
    """Check with openssl and with Python's TLS that a server with this chain and key is believed for a name."""
    root = installation.service.data_dir / "ca" / "ca_cert.pem"
    asked = ("-purpose", "sslserver", "-verify_hostname", name)
    files = ("-CAfile", str(root), "-untrusted", str(chain), str(chain))
    subprocess.run(["openssl", "verify", "-x509_strict", *asked, *files], check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, key)
    client = ssl.create_default_context(cafile=root)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    waiting = list(ends)
    for _ in range(6):
        for end in tuple(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)
    assert waiting == []


@pytest.mark.slow
def test_certbot_gets_renews_and_revokes_over_http(installation: Installation, certbot: Certbot) -> None:
    """`certbot certonly --standalone`, `renew` and `revoke` do what their users expect."""
    port = f"--http-01-port={installation.http_port}"
    certbot("certonly", "--standalone", port, "--http-01-address=127.0.0.1", f"--domain={NAME}")
    first = certbot.leaf()
    assert_trusted(installation, certbot.live("fullchain.pem"), certbot.live("privkey.pem"), NAME)
    assert state(installation, first) == "active"

    assert "not yet due for renewal" in certbot("renew", "--no-random-sleep-on-renew")
    certbot("renew", "--force-renewal", "--no-random-sleep-on-renew")
    second = certbot.leaf()
    assert second.serial_number != first.serial_number
    assert_trusted(installation, certbot.live("fullchain.pem"), certbot.live("privkey.pem"), NAME)

    certbot("revoke", f"--cert-name={NAME}", "--reason=superseded", "--no-delete-after-revoke")
    assert (state(installation, first), state(installation, second)) == ("active", "revoked")


@pytest.mark.slow
def test_certbot_renews_what_was_revoked(installation: Installation, certbot: Certbot) -> None:
    """Certbot asks for the renewal information (RFC 9773), and replaces a certificate that was revoked, by itself."""
    port = f"--http-01-port={installation.http_port}"
    certbot("certonly", "--standalone", port, "--http-01-address=127.0.0.1", f"--domain={NAME}")
    first = certbot.leaf()
    with installation.admin() as admin:
        serial = f"{first.serial_number:040x}"
        done(admin.ask("POST", "/credentials/revoke", {"serial_number": serial, "reason": "keyCompromise"}))
    certbot("renew", "--no-random-sleep-on-renew")
    assert certbot.leaf().serial_number != first.serial_number


@pytest.mark.slow
def test_certbot_proves_names_over_dns(installation: Installation, certbot: Certbot, tmp_path: Path) -> None:
    """`certbot certonly --manual --preferred-challenges dns` with hooks proves names that have no address."""
    hook, records = tmp_path / "hook", tmp_path / "records"
    hook.write_text(HOOK)
    hook.chmod(0o700)
    records.touch()
    certbot.environment["RECORDS"] = str(records)
    names = ("a.test.internal", "b.test.internal")
    installation.names.follow(records)
    certbot(
        "certonly",
        "--manual",
        "--preferred-challenges=dns",
        f"--manual-auth-hook={hook} put",
        f"--manual-cleanup-hook={hook} take",
        "--key-type=rsa",
        "--rsa-key-size=3072",
        *(f"--domain={name}" for name in names),
    )
    for name in names:
        assert_trusted(
            installation, certbot.live("fullchain.pem", names[0]), certbot.live("privkey.pem", names[0]), name
        )
    certbot("renew", "--force-renewal", "--no-random-sleep-on-renew")
    assert [line for line in records.read_text().splitlines() if line.endswith(" ")], "the clean-up hook ran"


def test_certbot_is_told_why_a_name_is_refused(installation: Installation, certbot: Certbot) -> None:
    """A name of another service is refused in words that certbot shows."""
    port = f"--http-01-port={installation.http_port}"
    with pytest.raises(AssertionError, match="is not among the names of this account's external account key"):
        certbot("certonly", "--standalone", port, "--domain=evil.example")

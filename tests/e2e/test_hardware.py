"""The service with its CA and root keys in a PKCS#11 token: SoftHSM 2 stands in for one in hardware."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.support.mtls import Identity, connect, issued, revoke
from tests.support.pki import key_usage
from tests.support.service import PROGRAM, Service, bare_environment, start, stop, wait_until
from tests.support.softhsm import PIN, SoftHsm, module, softhsm
from tradewarden.cli.exit_codes import ExitCode
from tradewarden.crypto.pkcs11 import release
from tradewarden.crypto.token_keys import EcKey, make_ec

__all__ = ["module", "softhsm"]
_PEM = Encoding.PEM


class Hardware:
    """A service on trial, and its token."""

    def __init__(self, service: Service, token: SoftHsm) -> None:
        self.service = service
        self.token = token

    def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Call as the admin."""
        headers = {"Authorization": f"Bearer {self.service.admin_token}"}
        return httpx.request(method, f"{self.service.url}{path}", json=body, headers=headers, trust_env=False)

    def issue(self) -> httpx.Response:
        """Ask for a certificate."""
        return self.call("POST", "/credentials/issue", {"service_name": "ledger"})

    def reasons(self) -> str:
        """Return why the service is not ready."""
        return " ".join(self.call("GET", "/health/ready").json()["reasons"])


def settings(token: SoftHsm) -> dict[str, str]:
    """Return what the service needs in its environment."""
    return {
        **token.settings,
        "TRADEWARDEN_CA_KEYS": token.uri,
        "TRADEWARDEN_ROOT_KEY": token.uri,
        "TRADEWARDEN_MTLS_PORT": "0",
    }


@pytest.fixture
def hardware(softhsm: SoftHsm, tmp_path: Path) -> Iterator[Hardware]:
    """A service of its own whose keys are all in the token."""
    release()
    trial = Hardware(start(tmp_path, **settings(softhsm)), softhsm)
    yield trial
    stop(trial.service)


def openssl(*arguments: str, cwd: Path) -> str:
    """Run openssl and return what it says."""
    return subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


def company_ca(key: EcKey) -> x509.Certificate:
    """Sign the certificate of a CA that is brought along."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Company CA")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), 77, now - timedelta(days=1), now + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=True, signs_crls=True), critical=True)
    )
    return builder.sign(key, hashes.SHA256())


def test_no_key_is_on_disk(hardware: Hardware, tmp_path: Path) -> None:
    """The data directory holds certificates and no private key; what is issued verifies with openssl, CRL and all."""
    data = hardware.service.data_dir
    assert not [path for path in data.rglob("*") if "_key" in path.name or path.name == "root.key"]
    made = hardware.issue().json()
    (tmp_path / "leaf.pem").write_text(made["certificate"])
    crl = hardware.call("GET", "/ca/crl").content
    (tmp_path / "crl.pem").write_bytes(x509.load_der_x509_crl(crl).public_bytes(_PEM))
    trust = ["-CAfile", str(data / "ca/ca_cert.pem"), "-untrusted", str(data / "ca/issuing_cert.pem")]
    check = ["verify", *trust, "-CRLfile", "crl.pem", "-crl_check", "leaf.pem"]
    assert "OK" in openssl(*check, cwd=tmp_path)
    revoked = hardware.call("POST", "/credentials/revoke", {"serial_number": made["serial_number"]})
    assert revoked.is_success, revoked.text
    crl = hardware.call("GET", "/ca/crl").content
    (tmp_path / "crl.pem").write_bytes(x509.load_der_x509_crl(crl).public_bytes(_PEM))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        openssl(*check, cwd=tmp_path)
    assert "certificate revoked" in refused.value.stderr


def test_the_token_goes_away_and_comes_back(hardware: Hardware) -> None:
    """Issuing answers 503 and names the token; the rest goes on; back again it works by itself."""
    assert hardware.issue().is_success
    hardware.token.take_away()
    refused = hardware.issue()
    assert refused.status_code == 503
    assert refused.json()["code"] == "unavailable"
    assert f"token '{hardware.token.label}' is away" in refused.json()["detail"]
    assert "object 'issuing_key" in refused.json()["detail"]
    wait_until(lambda: "ca keys: The token" in hardware.reasons(), "readiness does not tell")
    stored = hardware.call("POST", "/secrets/store", {"path": "a/b", "data": {"key": "value"}})
    assert stored.is_success, stored.text
    assert hardware.call("GET", "/secrets/a/b").json()["data"] == {"key": "value"}
    assert hardware.call("GET", "/credentials").is_success
    assert hardware.call("GET", "/ca/crl").is_success
    hardware.token.put_back()
    wait_until(lambda: hardware.issue().is_success, "the token is back and nothing is issued")
    wait_until(lambda: not hardware.reasons(), "the service does not become ready again")


def test_rotations_make_their_keys_in_the_token(hardware: Hardware, tmp_path: Path) -> None:
    """Issuing CA and root are rotated with keys made in the token; the root is not while the token is away."""
    hardware.token.take_away()
    refused = hardware.call("POST", "/ca/rotate", {"what": "root"})
    assert refused.status_code in (409, 503), refused.text
    assert hardware.token.label in refused.text
    hardware.token.put_back()
    for what in ("issuing", "root", "issuing"):
        wait_until(lambda: hardware.issue().is_success, "the token is back and nothing is issued")
        rotated = hardware.call("POST", "/ca/rotate", {"what": what})
        assert rotated.is_success, rotated.text
        made = hardware.issue().json()
        (tmp_path / "leaf.pem").write_text(made["certificate"])
        (tmp_path / "chain.pem").write_text(made["certificate_chain"])
        (tmp_path / "trust.pem").write_text(hardware.call("GET", "/ca/certificate").text)
        check = ["verify", "-CAfile", "trust.pem", "-untrusted", "chain.pem", "leaf.pem"]
        assert "OK" in openssl(*check, cwd=tmp_path)
    assert not [path for path in hardware.service.data_dir.rglob("*") if "_key" in path.name]


def test_a_worker_that_dies_while_the_ca_token_is_away(softhsm: SoftHsm, tmp_path: Path) -> None:
    """A worker's successor serves without the token that CA keys are in, and issues when it is back."""
    release()
    root = {**settings(softhsm), "TRADEWARDEN_ROOT_KEY": f"file:{tmp_path}/root.key"}
    trial = Hardware(start(tmp_path, **root), softhsm)
    try:
        softhsm.take_away()
        worker = trial.service.children()[0]
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: worker not in trial.service.children() and _answers(trial), "no successor answers")
        assert trial.issue().status_code == 503
        softhsm.put_back()
        wait_until(lambda: trial.issue().is_success, "the token is back and nothing is issued")
    finally:
        stop(trial.service)


def test_clients_are_served_while_the_ca_token_is_away(softhsm: SoftHsm, tmp_path: Path) -> None:
    """A revocation meanwhile ends the one and not the others, before a restart and after it; then all is as before."""
    release()
    environment = {**settings(softhsm), "TRADEWARDEN_ROOT_KEY": f"file:{tmp_path}/root.key"}
    service = start(tmp_path, **environment)
    try:
        good, lost = issued(service, "good"), issued(service, "lost")
        assert _is_served(service, good)
        assert _is_served(service, lost)
        softhsm.take_away()
        revoke(service, lost)
        _require_for_a_while(service, good, lost)
        assert stop(service) == 0
        service = service.again(ready=False)
        _require_for_a_while(service, good, lost)
        assert httpx.get(f"{service.url}/ca/crls", trust_env=False).status_code == 503
        softhsm.put_back()
        trial = Hardware(service, softhsm)
        wait_until(lambda: trial.issue().is_success, "the token is back and nothing is issued")
        lists = httpx.get(f"{service.url}/ca/crls", trust_env=False)
        assert lists.is_success, lists.text
        _require_for_a_while(service, good, lost)
    finally:
        stop(service)


def _is_served(service: Service, identity: Identity) -> bool:
    """Tell whether the mTLS port takes a client and answers it."""
    try:
        with connect(service, identity) as wire:
            return wire.ask("GET", "/health/live").status == 200
    except OSError:
        return False


def _require_for_a_while(service: Service, good: Identity, lost: Identity) -> None:
    """Look for longer than a listener takes to follow."""
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        assert _is_served(service, good)
        assert not _is_served(service, lost)


def test_a_worker_that_dies_while_the_root_token_is_away(softhsm: SoftHsm, tmp_path: Path) -> None:
    """The other worker goes on; the successor waits for the token that opens the root key, and then serves."""
    release()
    trial = Hardware(start(tmp_path, **settings(softhsm), TRADEWARDEN_WORKERS="2"), softhsm)
    try:
        softhsm.take_away()
        dead = trial.service.children()[0]
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda: dead not in trial.service.children() and _answers(trial), "the other does not go on")
        wait_until(lambda: len(trial.service.children()) == 3, "there is no successor")
        softhsm.put_back()
        wait_until(lambda: trial.issue().is_success, "the token is back and nothing is issued")
    finally:
        assert stop(trial.service) == 0


def _answers(trial: Hardware) -> bool:
    try:
        return trial.call("GET", "/credentials").is_success
    except httpx.TransportError:
        return False


def refused(environment: dict[str, str], folder: Path, code: int = ExitCode.USAGE) -> str:
    """Try to start the service, which must end with that code, and return what it says."""
    done = subprocess.run(
        [PROGRAM, "serve"], env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == code, done.stderr
    return done.stderr


def test_starts_that_cannot_be(softhsm: SoftHsm, tmp_path: Path) -> None:
    """A wrong PIN, no PIN and a root key whose token is away end the start with a sentence; the PIN is not shown."""
    release()
    stop(start(tmp_path, **settings(softhsm)))
    release()

    def says(code: int = ExitCode.USAGE, **changed: str) -> str:
        environment = {**bare_environment(), **settings(softhsm), **changed, "SERVICE_PORT": "0"}
        environment["TRADEWARDEN_DATA_DIR"] = str(tmp_path / "security")
        return refused(environment, tmp_path, code)

    wrong = says(TRADEWARDEN_PKCS11_PIN="00112233")
    assert "refused its PIN" in wrong
    assert "00112233" not in wrong
    assert "needs a PIN; set TRADEWARDEN_PKCS11_PIN" in says(TRADEWARDEN_PKCS11_PIN="")
    softhsm.take_away()
    away = says(ExitCode.UNAVAILABLE)
    assert "The root key cannot be opened" in away
    assert PIN not in away


def test_missing_and_foreign_ca_keys(softhsm: SoftHsm, tmp_path: Path) -> None:
    """A CA key that the token does not hold any more is named at the start, and nothing is made in its place."""
    import pkcs11

    release()
    running = start(tmp_path, **settings(softhsm), TRADEWARDEN_WORKERS="1")
    stop(running)

    def remove(session: pkcs11.Session) -> None:
        for key in session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}):
            if key[pkcs11.Attribute.LABEL].startswith("issuing_key"):
                key.destroy()

    softhsm.token().use(remove, "the test", write=True)
    release()
    said = refused(running.environment, tmp_path)
    assert "There is no private EC key as object 'issuing_key" in said
    assert f"in token '{softhsm.label}'; put it back" in said


def test_a_brought_ca_whose_key_is_in_the_token(softhsm: SoftHsm, tmp_path: Path) -> None:
    """`CA_CERT_PATH` is a file and `CA_KEY_PATH` a key in the token: it signs our issuing CA, whose key is on disk."""
    key = make_ec(softhsm.token(), "company ca", ec.SECP256R1())
    (tmp_path / "company.pem").write_bytes(company_ca(key).public_bytes(_PEM))
    release()
    chosen = {
        **softhsm.settings,
        "CA_CERT_PATH": str(tmp_path / "company.pem"),
        "CA_KEY_PATH": f"{softhsm.uri};object=company%20ca",
        "TRADEWARDEN_MTLS_PORT": "0",
    }
    trial = Hardware(start(tmp_path, **chosen), softhsm)
    try:
        (tmp_path / "leaf.pem").write_text(trial.issue().json()["certificate"])
        trust = ["-CAfile", "company.pem", "-untrusted", str(trial.service.data_dir / "ca/issuing_cert.pem")]
        assert "OK" in openssl("verify", *trust, "leaf.pem", cwd=tmp_path)
        softhsm.take_away()
        assert trial.issue().is_success, "the root's key is not needed to issue"
    finally:
        stop(trial.service)

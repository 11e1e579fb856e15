"""What OpenSSL's command line says about our certificates, CRLs and key files."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tests.support.keys import keyring
from tests.support.pki import POLICY, SetClock, entry, grant, opened
from tests.support.storage import sqlite_database
from tradewarden.errors import InvalidInputError
from tradewarden.keys.purpose import Purpose
from tradewarden.pki.certificate.algorithm import Algorithm
from tradewarden.pki.credentials import IssueCredentials, Reason, RevokeCertificate
from tradewarden.storage.sql_pki import SqlPkiStore

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.pki.authority import Authority
    from tradewarden.pki.credentials import Credentials


pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")


def openssl(*arguments: object, cwd: Path, given: str | None = None) -> tuple[int, str]:
    """Run openssl and return (exit code, everything it said)."""
    ran = subprocess.run(
        ["openssl", *map(str, arguments)],
        cwd=cwd, input=given, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return ran.returncode, ran.stdout + ran.stderr


async def issue(authority: Authority, service: str = "bot", **asked: Any) -> Credentials:  # noqa: ANN401  (the fields of the command)
    """Issue to a service, as an admin."""
    return await authority.issue(grant("credentials:issue", service), IssueCredentials(service, **asked), entry())


@pytest.mark.parametrize("algorithm", list(Algorithm))
async def test_openssl_verifies_certificate_and_crl(tmp_path: Path, algorithm: Algorithm) -> None:
    """`openssl verify` takes an issued certificate, and with the CRL refuses the revoked one only."""
    policy = replace(POLICY, algorithm=algorithm)
    async with sqlite_database(tmp_path) as database:
        authority = await opened(tmp_path, SqlPkiStore(database), policy=policy, clock=SetClock(time.time()))
        good = await issue(authority, dns_names=("bot.internal",), ip_addresses=("10.0.0.7",))
        bad = await issue(authority)
        command = RevokeCertificate(bad.serial_number, Reason.KEY_COMPROMISE)
        await authority.revoke(grant("credentials:revoke"), command, entry())
        (tmp_path / "good.pem").write_text(good.certificate)
        (tmp_path / "bad.pem").write_text(bad.certificate)
        (tmp_path / "crl.der").write_bytes(await authority.crl())
        await authority.close()

    trust = ["-x509_strict", "-CAfile", "ca/ca_cert.pem", "-untrusted", "ca/issuing_cert.pem"]
    for purpose in ("sslclient", "sslserver"):
        code, said = openssl("verify", *trust, "-purpose", purpose, "good.pem", cwd=tmp_path)
        assert (code, said) == (0, "good.pem: OK\n")
    code, said = openssl("verify", *trust, "-verify_hostname", "bot.internal", "good.pem", cwd=tmp_path)
    assert code == 0, said
    code, said = openssl("verify", *trust, "-verify_ip", "10.0.0.8", "good.pem", cwd=tmp_path)
    assert code != 0

    form = ["-inform", "DER", "-in", "crl.der"]
    code, said = openssl("crl", *form, "-CAfile", "ca/issuing_cert.pem", "-out", "crl.pem", cwd=tmp_path)
    assert code == 0, said
    assert "verify OK" in said
    code, said = openssl("crl", *form, "-noout", "-text", cwd=tmp_path)
    assert bad.serial_number.lstrip("0").upper() in said
    assert "Key Compromise" in said
    assert "X509v3 CRL Number" in said

    checked = [*trust, "-crl_check", "-CRLfile", "crl.pem"]
    assert openssl("verify", *checked, "good.pem", cwd=tmp_path)[0] == 0
    code, said = openssl("verify", *checked, "bad.pem", cwd=tmp_path)
    assert code != 0
    assert "certificate revoked" in said


async def test_openssl_rejects_without_our_root(tmp_path: Path) -> None:
    """A certificate of one installation does not verify under the root of another."""
    for name in ("one", "two"):
        authority = await opened(tmp_path / name, clock=SetClock(time.time()))
        (tmp_path / f"{name}.pem").write_text((await issue(authority)).certificate)
        await authority.close()
    trust = ["-CAfile", "one/ca/ca_cert.pem", "-untrusted", "one/ca/issuing_cert.pem"]
    assert openssl("verify", *trust, "one.pem", cwd=tmp_path)[0] == 0
    assert openssl("verify", *trust, "two.pem", cwd=tmp_path)[0] != 0


async def test_a_csr_made_by_openssl_is_signed(tmp_path: Path) -> None:
    """The command line that people use for a CSR gives one that is taken."""
    for key in (["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], ["-newkey", "rsa:3072"]):
        authority = await opened(tmp_path / key[1].replace(":", ""), clock=SetClock(time.time()))
        made = ["req", "-new", *key, "-noenc", "-keyout", "key.pem", "-out", "csr.pem", "-subj", "/CN=bot"]
        code, said = openssl(*made, "-addext", "subjectAltName=DNS:bot", cwd=tmp_path)
        assert code == 0, said
        issued = await issue(authority, csr=(tmp_path / "csr.pem").read_text())
        (tmp_path / "issued.pem").write_text(issued.certificate)
        await authority.close()
        ours = openssl("x509", "-in", "issued.pem", "-noout", "-pubkey", cwd=tmp_path)
        assert ours == openssl("pkey", "-in", "key.pem", "-pubout", cwd=tmp_path)
        printed = openssl("x509", "-in", "issued.pem", "-noout", "-serial", cwd=tmp_path)[1]
        serial = printed.strip().removeprefix("serial=")
        found = await authority.get(grant("credentials:read"), serial)
        assert found.serial_number == issued.serial_number


async def test_a_csr_over_sha1_is_refused(tmp_path: Path) -> None:
    """A CSR that is signed over SHA-1 is refused by name."""
    made = ["req", "-new", "-sha1", "-newkey", "rsa:3072", "-noenc", "-keyout", "key.pem", "-subj", "/CN=bot"]
    code, said = openssl(*made, "-out", "csr.pem", cwd=tmp_path)
    assert code == 0, said
    authority = await opened(tmp_path / "data")
    with pytest.raises(InvalidInputError, match="signed over sha1"):
        await issue(authority, csr=(tmp_path / "csr.pem").read_text())
    await authority.close()


async def test_key_files_open_under_the_derived_password_only(tmp_path: Path) -> None:
    """The private keys on disk are PBES2 PKCS#8 that openssl opens with the password of the hierarchy."""
    keys = await keyring()
    await (await opened(tmp_path, keys=keys)).close()
    password = keys.derive(Purpose.CA, "key-file").hex()
    for name in ("ca_key.pem", "issuing_key.pem"):
        look = ["pkey", "-in", f"ca/{name}", "-noout", "-passin", "stdin"]
        assert openssl(*look, cwd=tmp_path, given=password + "\n")[0] == 0
        assert openssl(*look, cwd=tmp_path, given="other\n")[0] != 0
        _, shape = openssl("asn1parse", "-in", f"ca/{name}", cwd=tmp_path)
        assert "PBES2" in shape
        assert "aes-256-cbc" in shape

"""What other stacks say of the chains that are handed out while the root changes: Python's ssl, Go, Java."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.rotation import Installation, issue, rotate
from tradewarden.pki.cas.rotating import What
from tradewarden.pki.certificate.pem import certificate_pem

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.pki.credentials import Credentials

GO = shutil.which("go")
JAVA = shutil.which("java") if shutil.which("javac") else None

_GO_PROGRAM = """
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

func main() {
	chain, _ := os.ReadFile(os.Args[1])
	trusted, _ := os.ReadFile(os.Args[2])
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(trusted)
	first, rest := pem.Decode(chain)
	leaf, err := x509.ParseCertificate(first.Bytes)
	if err == nil {
		between.AppendCertsFromPEM(rest)
		uses := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "bot", KeyUsages: uses})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
"""

_JAVA_PROGRAM = """
import java.io.FileInputStream;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

public class Verify {
    public static void main(String[] args) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        int number = 0;
        for (var root : factory.generateCertificates(new FileInputStream(args[1])))
            trusted.setCertificateEntry("root" + number++, root);
        var chain = factory.generateCertificates(new FileInputStream(args[0])).toArray(new X509Certificate[0]);
        var managers = TrustManagerFactory.getInstance("PKIX");
        managers.init(trusted);
        ((X509TrustManager) managers.getTrustManagers()[0]).checkServerTrusted(chain, "ECDHE_ECDSA");
    }
}
"""


class Handed(NamedTuple):
    """A certificate that was issued in the overlap of two roots, and what a client may trust."""

    made: Credentials
    old: str
    new: str
    stranger: str


@pytest.fixture
async def handed(tmp_path: Path) -> Handed:
    """Give one, as of now."""
    home = await Installation.make(tmp_path / "data")
    home.clock.time = time.time()
    authority = await home.start(first=True)
    await rotate(authority, What.ROOT)
    made = await issue(authority)
    old, new = map(certificate_pem, authority.trusted_roots())
    await authority.close()
    other = await (await Installation.make(tmp_path / "other")).start(first=True)
    return Handed(made, old, new, other.ca_certificate())


def test_pythons_ssl_accepts_either_root(handed: Handed, tmp_path: Path) -> None:
    """A handshake verifies for clients of the old root and of the new one, and for no other."""
    for roots, good in ((handed.old, True), (handed.new, True), (handed.stranger, False)):
        assert _shakes_hands(handed.made, roots, tmp_path) is good


def _shakes_hands(made: Credentials, roots: str, folder: Path) -> bool:
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_text(made.certificate_chain)
    key.write_text(made.private_key or "")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(chain, key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(there, back, server_side=True)
    client = ssl.create_default_context(cadata=roots).wrap_bio(back, there, server_hostname="bot")
    left = [client, server]
    for _ in range(6):
        for side in list(left):
            try:
                side.do_handshake()
                left.remove(side)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return not left


@pytest.mark.skipif(GO is None, reason="Go is not installed")
def test_go_accepts_either_root(handed: Handed, tmp_path: Path) -> None:
    """Go's verifier builds a chain to the old root and to the new one, and to no other."""
    (tmp_path / "main.go").write_text(_GO_PROGRAM)
    program = tmp_path / "verify"
    subprocess.run([str(GO), "build", "-o", program, "main.go"], cwd=tmp_path, check=True, capture_output=True)
    _judge([str(program)], handed, tmp_path)


@pytest.mark.skipif(JAVA is None, reason="a JDK is not installed")
def test_java_accepts_either_root(handed: Handed, tmp_path: Path) -> None:
    """Java's trust manager accepts the chain under the old root and under the new one, and under no other."""
    (tmp_path / "Verify.java").write_text(_JAVA_PROGRAM)
    subprocess.run(["javac", "Verify.java"], cwd=tmp_path, check=True, capture_output=True)
    _judge([str(JAVA), "-cp", str(tmp_path), "Verify"], handed, tmp_path)


def _judge(command: list[str], handed: Handed, folder: Path) -> None:
    chain, trusted = folder / "handed.pem", folder / "trusted.pem"
    chain.write_text(handed.made.certificate_chain)
    for roots, good in ((handed.old, True), (handed.new, True), (handed.stranger, False)):
        trusted.write_text(roots)
        run = subprocess.run([*command, chain, trusted], capture_output=True, check=False)
        assert (run.returncode == 0) is good, (run.stdout, run.stderr)

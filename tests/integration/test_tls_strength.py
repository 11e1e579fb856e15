"""At least 128 bits in TLS: which key agreements the listeners take, and which certificates go with that."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.handshakes import shake
from tests.support.mtls import SERVER, TestCa
from tests.support.pki import key_usage
from tests.support.workload import Issuer
from tradewarden.crypto.memory_file import memory_file
from tradewarden.errors import ConfigurationError
from tradewarden.http.tls import LiveContext, Trust, server_context
from tradewarden.pki.certificate.algorithm import Algorithm, PrivateKey, generate, signing
from tradewarden.workload import contexts
from tradewarden.workload.peer import Peer

WEAK = "ffdhe2048"
STRONG = ("X25519", "P-256", "P-384", "X448", "ffdhe3072")
ISSUER = Issuer()


def named(name: str) -> x509.Name:
    """Return a name of a CN alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def certified(key: PrivateKey, by: PrivateKey, name: str, above: str, *, ca: bool = False) -> x509.Certificate:
    """Sign a certificate as a CA of this key does."""
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    how = signing(by)
    builder = (
        x509.CertificateBuilder(named(above), named(name), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=ca, signs_crls=ca), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    return builder.sign(by, how.hash, rsa_padding=how.padding)


def pem(key: PrivateKey) -> bytes:
    """Return a private key in PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def anyone() -> ssl.SSLContext:
    """Return a client that takes every certificate."""
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


async def agreed(context: ssl.SSLContext, group: str) -> str:
    """Return what openssl says of the key agreement when it offers this group alone; empty when it is refused."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        command = ("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-groups", group)
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*command, stdin=null, stdout=pipe, stderr=null)
        said, _ = await process.communicate()
    return next((line for line in said.decode().splitlines() if line.startswith("Server Temp Key")), "")


def live(certificate: bytes, key: bytes, trust: Trust | None = None) -> ssl.SSLContext:
    """Return what a listener's connections begin in."""
    made = LiveContext(None)
    made.swap(server_context(certificate, key, trust))
    return made.first


@pytest.fixture(params=["listener", "identity"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> ssl.SSLContext:
    """The context of our own listener, or one that an identity hands out."""
    if request.param == "identity":
        handed = contexts.Contexts()
        handed.adopt(ISSUER.pair(), b"")
        return handed.hand_out(contexts.LiveContext.server(Peer(), check_revocation=False, require_client=True))
    ca = TestCa(tmp_path)
    shown = ca.leaf("localhost", [], purpose=SERVER)
    trust = Trust((ca.certificate.public_bytes(Encoding.DER),))
    return live(shown.certificate.read_bytes(), shown.key.read_bytes(), trust)


async def test_a_weak_key_agreement_is_refused(server: ssl.SSLContext) -> None:
    """A group of 112 bits is not taken; every other one of OpenSSL's is."""
    assert await agreed(server, WEAK) == ""
    for group in STRONG:
        assert await agreed(server, group), group


def test_an_identity_offers_no_weak_key_agreement() -> None:
    """Its calls do not offer a group of 112 bits (0x0100, RFC 7919) either."""
    handed = contexts.Contexts()
    handed.adopt(ISSUER.pair(), b"")
    client = handed.hand_out(contexts.LiveContext.client(Peer(), check_revocation=False))
    hello = ssl.MemoryBIO()
    connection = client.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    _, _, behind = hello.read().partition(b"\x00\x0a")  # supported_groups (RFC 8446 section 4.2.7)
    size = int.from_bytes(behind[2:4])
    groups = {behind[4 + at : 6 + at] for at in range(0, size, 2)}
    assert b"\x00\x1d" in groups  # X25519
    assert b"\x01\x00" not in groups


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_every_ca_that_we_make_is_strong_enough(algorithm: Algorithm) -> None:
    """What our policy takes for a CA, a service or a client, TLS takes too."""
    by = generate(algorithm)
    root = certified(by, by, "root", "root", ca=True)
    key = generate(algorithm)
    leaf = certified(key, by, "localhost", "root").public_bytes(Encoding.PEM)
    server = live(leaf, pem(key), Trust((root.public_bytes(Encoding.DER),)))
    client = ssl.create_default_context(cadata=root.public_bytes(Encoding.PEM).decode())
    with memory_file(leaf) as chain, memory_file(pem(key)) as secret:
        client.load_cert_chain(chain, secret)
    shake(server, client)


async def test_a_given_certificate_may_be_weaker() -> None:
    """A certificate with RSA-2048 of somebody else's CA is shown on the port for tokens, and on no mTLS port."""
    key = rsa.generate_private_key(65537, 2048)
    given = certified(key, key, "localhost", "localhost").public_bytes(Encoding.PEM)
    shown = live(given, pem(key))
    shake(shown, anyone())
    assert await agreed(shown, "X25519")
    assert await agreed(shown, WEAK) == ""
    with pytest.raises(ConfigurationError, match="KEY_TOO_SMALL"):
        server_context(given, pem(key), Trust(()))

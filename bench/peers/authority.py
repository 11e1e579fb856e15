"""A root, an intermediate and a certificate request (P-256), for a peer that does not make its own."""

from __future__ import annotations

import datetime as dt
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

_LIFE = dt.timedelta(days=30)


def make_authority(directory: Path) -> None:
    """Write `root.pem`, `issuing.pem` and `issuing-key.pem`."""
    root_key, issuing_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name, issuing_name = _name("Bench Root CA"), _name("Bench Issuing CA")
    root = _authority(root_name, root_key.public_key(), root_name, root_key, 1)
    issuing = _authority(issuing_name, issuing_key.public_key(), root_name, root_key, 0)
    (directory / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
    (directory / "issuing.pem").write_bytes(issuing.public_bytes(Encoding.PEM))
    (directory / "issuing-key.pem").write_bytes(_private(issuing_key))


def make_server(directory: Path) -> None:
    """Write `server.pem` (with its chain) and `server-key.pem` for 127.0.0.1, signed by what `make_authority` wrote."""
    issuing = x509.load_pem_x509_certificate((directory / "issuing.pem").read_bytes())
    issuing_key = load_pem_private_key((directory / "issuing-key.pem").read_bytes(), None)
    assert isinstance(issuing_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    certificate = _begun(_name("Bench Server"), key.public_key(), issuing.subject).add_extension(names, critical=False)
    signed = certificate.sign(issuing_key, hashes.SHA256())
    (directory / "server.pem").write_bytes(signed.public_bytes(Encoding.PEM) + issuing.public_bytes(Encoding.PEM))
    (directory / "server-key.pem").write_bytes(_private(key))


def signing_request(name: str) -> str:
    """Return a certificate request (PKCS #10, PEM) for a DNS name, with a new key."""
    alternative = x509.SubjectAlternativeName([x509.DNSName(name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(name))
    key = ec.generate_private_key(ec.SECP256R1())
    csr = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    return csr.public_bytes(Encoding.PEM).decode()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _begun(name: x509.Name, key: ec.EllipticCurvePublicKey, issuer: x509.Name) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + _LIFE)
    )


def _authority(
    name: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    path_length: int,
) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _begun(name, key, issuer)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )

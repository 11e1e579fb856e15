"""What the mTLS tests share: a CA that is brought along and signs anything, services with certificates, connections."""

from __future__ import annotations

import datetime as dt
import os
import re
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.service import Service
from tests.support.trial import done
from tests.support.wire import Wire

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
DOMAIN = "spiffe://tradewarden.internal"
DAY = dt.timedelta(days=1)


class Identity(NamedTuple):
    """A certificate chain and its key, as files (PEM), and the serial number as the inventory writes it."""

    certificate: Path
    key: Path
    serial: str

    def curl(self) -> list[str]:
        """Return the arguments by which curl shows it."""
        return ["--cert", str(self.certificate), "--key", str(self.key)]


class TestCa:
    """A CA whose key lies with the test. It issues itself (path length 0): what it signs counts like the service's."""

    __test__ = False

    def __init__(self, folder: Path, name: str = "test CA") -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)  # noqa: FBT003
        now = dt.datetime.now(dt.UTC)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        self.certificate = (
            x509.CertificateBuilder(self._name, self._name, self.key.public_key(), x509.random_serial_number())
            .not_valid_before(now - 400 * DAY)
            .not_valid_after(now + 4000 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(identifier, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        self.path, self.key_path = folder / "ca.pem", folder / "ca.key"
        self.path.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        self.key_path.write_bytes(private_pem(self.key))

    def leaf(
        self,
        name: str,
        uris: Sequence[str],
        *,
        purpose: x509.ObjectIdentifier = CLIENT,
        ends: dt.timedelta = DAY,
        hosts: Sequence[str] = (),
    ) -> Identity:
        """Sign a certificate that no inventory knows; it began two days ago and ends in `ends`."""
        key, serial = ec.generate_private_key(ec.SECP256R1()), x509.random_serial_number()
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder(serial_number=serial)
            .issuer_name(self._name)
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .public_key(key.public_key())
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        names = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, hosts)]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return store(self._folder, name, certificate.public_bytes(Encoding.PEM), private_pem(key), serial)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key as PKCS#8."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def store(folder: Path, name: str, certificate: bytes, key: bytes, serial: int) -> Identity:
    """Write a certificate and its key to files."""
    stem = f"{name}-{os.urandom(4).hex()}"
    made = Identity(folder / f"{stem}.pem", folder / f"{stem}.key", f"{serial:040x}")
    made.certificate.write_bytes(certificate)
    made.key.write_bytes(key)
    return made


def issued(service: Service, name: str, permissions: Sequence[str] | None = ("read",)) -> Identity:
    """Register a service (unless `permissions` is None) and have a certificate issued to it."""
    with Wire(service.url, token=service.admin_token) as admin:
        if permissions is not None:
            done(admin.ask("POST", "/services", {"service_name": name, "permissions": list(permissions)}))
        made = done(admin.ask("POST", "/credentials/issue", {"service_name": name}))
    folder = service.data_dir.parent
    serial = int(made["serial_number"], 16)
    return store(folder, name, made["certificate_chain"].encode(), made["private_key"].encode(), serial)


def revoke(service: Service, identity: Identity) -> None:
    """Revoke a certificate."""
    with Wire(service.url, token=service.admin_token) as admin:
        done(admin.ask("POST", "/credentials/revoke", {"serial_number": identity.serial}))


def mtls_port(service: Service) -> int:
    """Return where a service takes mTLS, as it said when it was ready."""
    found = re.findall(rb"^mTLS: +https://[^ ]*:(\d+)", service.log.read_bytes(), re.MULTILINE)
    return int(found[-1])


def mtls_url(service: Service) -> str:
    """Return the URL of a service's mTLS listener."""
    return f"https://127.0.0.1:{mtls_port(service)}"


def ca_file(service: Service) -> Path:
    """Return the root certificate that a service's clients trust."""
    return service.data_dir / "ca" / "ca_cert.pem"


def client_context(service: Service, identity: Identity | None) -> ssl.SSLContext:
    """Return what a client connects with."""
    context = ssl.create_default_context(cafile=ca_file(service))
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    return context


def connect(service: Service, identity: Identity, *, token: str = "", source: str = "127.0.0.1") -> Wire:
    """Return a connection to a service's mTLS listener."""
    return Wire(mtls_url(service), token=token, source=source, tls=client_context(service, identity))

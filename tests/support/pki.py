"""What the tests of the PKI room share: a clock to set, an authority over either store, grants, entries, CSRs."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from tests.support.keys import keyring
from tradewarden.access.grant import ANY, authorize
from tradewarden.access.permission import ALL, PermissionSet
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.entry import Auditor, EventType, Origin
from tradewarden.pki.authority import Authority
from tradewarden.pki.policy import Policy
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_pki import MemoryPkiStore

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.keys.port import Keys
    from tradewarden.pki.certificate.algorithm import PrivateKey
    from tradewarden.pki.store import PkiStore

ADMIN = Principal(Kind.USER, "admin")
START = 1_767_225_600.0  # 2026-01-01T00:00:00Z
POLICY = Policy(trust_domain="trade.example", herald_seconds=0)
DAY = 86_400


class SetClock:
    """A clock that stands where it was put."""

    def __init__(self, now: float = START) -> None:
        self.time = now

    def now(self) -> float:
        """Return the time it was set to."""
        return self.time

    def monotonic(self) -> float:
        """Return the same."""
        return self.time


class KeptEntries:
    """A journal in a list."""

    def __init__(self) -> None:
        self.events: list[bytes] = []

    async def record(self, event: bytes) -> None:
        """Keep the event."""
        self.events.append(event)


def grant(action: str, resource: str = ANY, names: tuple[str, ...] = ()) -> Grant:
    """Return an admin's grant, or one of a principal that holds only `names`."""
    return authorize(ADMIN, PermissionSet(names) if names else ALL, action, resource)


def entry(action: str = "credentials:issue") -> Entry:
    """Return an audit entry that nobody reads."""
    return Auditor(KeptEntries(), SetClock()).entry(EventType.CERTIFICATE, action, Origin())


async def opened(
    directory: Path,
    store: PkiStore | None = None,
    *,
    policy: Policy = POLICY,
    clock: SetClock | None = None,
    keys: Keys | None = None,
    first_start: bool = True,
) -> Authority:
    """Open an authority in `directory`, in memory unless a store is given."""
    return await Authority.open(
        store or MemoryPkiStore(MemoryDatabase()),
        keys or await keyring(),
        directory,
        policy,
        clock or SetClock(),
        os.urandom,
        first_start=first_start,
    )


def csr(
    key: object = None,
    *,
    cn: str | None = "bot",
    sans: tuple[x509.GeneralName, ...] = (),
    extensions: tuple[x509.ExtensionType, ...] = (),
    subject: tuple[x509.NameAttribute[str], ...] = (),
    algorithm: hashes.HashAlgorithm | None = None,
) -> str:
    """Return a CSR in PEM."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else []
    builder = x509.CertificateSigningRequestBuilder(x509.Name([*attributes, *subject]))
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm = algorithm or hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM).decode()  # type: ignore[arg-type]


def key_usage(*, signs_certificates: bool = False, signs_crls: bool = False) -> x509.KeyUsage:
    """Return the key usage digitalSignature, with what a CA has when asked."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_crls,
        encipher_only=False,
        decipher_only=False,
    )


def own_ca(
    directory: Path,
    key: PrivateKey | None = None,
    *,
    path_length: int | None = None,
    ca: bool = True,
    signs: bool = True,
    starts: float = START - DAY,
    days: int = 3650,
    password: bytes | None = None,
) -> dict[str, Path]:
    """Write a CA of the user's own and return the two settings that name it."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Own CA")])
    begin = datetime.fromtimestamp(starts, UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), 77, begin, begin + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), critical=True)
        .add_extension(key_usage(signs_certificates=signs, signs_crls=True), critical=True)
    )
    rsa_padding = padding.PKCS1v15() if isinstance(key, rsa.RSAPrivateKey) else None
    certificate = builder.sign(key, hashes.SHA256(), rsa_padding=rsa_padding)
    directory.mkdir(exist_ok=True)
    paths = directory / "own_cert.pem", directory / "own_key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    how = BestAvailableEncryption(password) if password else NoEncryption()
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    return {"ca_cert_path": paths[0], "ca_key_path": paths[1]}

"""The CA's files in the data directory: certificates as PEM, private keys as encrypted PKCS#8 (PBES2).

Always true here: a first start writes all of them into `ca.pending/`, then come their database rows, then one rename
makes them `ca/`. Killed at any instant, the next start finds either nothing that counts or everything.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tradewarden.crypto.keyfile import create_private, move_private, private_directory, read_private
from tradewarden.errors import ConfigurationError, InvalidInputError
from tradewarden.pki.algorithm import strong

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tradewarden.pki.algorithm import PrivateKey

MAX_FILE_BYTES = 64 * 1024
ROOT_CERT, ROOT_KEY = "ca_cert.pem", "ca_key.pem"
ISSUING_CERT, ISSUING_KEY = "issuing_cert.pem", "issuing_key.pem"
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class CaFiles:
    """The `ca/` directory; `password` encrypts the private keys in it."""

    __slots__ = ("_password", "directory", "pending")

    def __init__(self, data_directory: Path, password: bytes) -> None:
        self.directory = data_directory / "ca"
        self.pending = data_directory / "ca.pending"
        self._password = password

    def path(self, name: str) -> Path:
        """Return where the file of that name lies."""
        return self.directory / name

    def has(self, name: str) -> bool:
        """Tell whether there is something at a file's place, be it a broken link."""
        return os.path.lexists(self.path(name))

    def strangers(self) -> list[Path]:
        """Return whatever lies where a first start wants to write."""
        if not os.path.lexists(self.directory):
            return []
        return sorted(self.directory.iterdir()) if self.directory.is_dir() else [self.directory]

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Let one process of this host at a time make or load the files; the kernel frees the lock of a dead one."""
        private_directory(self.directory.parent)
        descriptor = os.open(self.directory.parent / "ca.lock", _LOCK, 0o600)
        try:
            await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def stage(self, certificates: dict[str, x509.Certificate], keys: dict[str, PrivateKey]) -> None:
        """Write the files of a first start where they do not count yet; what an earlier try left goes away."""
        if self.pending.exists():
            shutil.rmtree(self.pending)
        private_directory(self.pending)
        for name, certificate in certificates.items():
            create_private(self.pending / name, certificate.public_bytes(Encoding.PEM))
        for name, key in keys.items():
            create_private(self.pending / name, self._sealed(key))

    def settle(self) -> None:
        """Make the staged files count, unless they do already, and see to it that nobody else can enter."""
        if self.pending.is_dir() and not self.strangers():
            move_private(self.pending, self.directory)
        if os.path.lexists(self.directory):
            private_directory(self.directory)

    def certificate(self, name: str) -> x509.Certificate:
        """Read a certificate; raises `ConfigurationError` naming the file."""
        path = self.path(name)
        return parse_certificate(read_private(path, MAX_FILE_BYTES), str(path))

    def key(self, name: str, certificate: x509.Certificate) -> PrivateKey:
        """Read a private key and match it with its certificate; raises `ConfigurationError` naming the file."""
        path = self.path(name)
        return parse_key(read_private(path, MAX_FILE_BYTES), str(path), certificate, self._password)

    def _sealed(self, key: PrivateKey) -> bytes:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(self._password))


def parse_certificate(pem: bytes, name: str) -> x509.Certificate:
    """Return the one certificate in `pem`; raises `ConfigurationError` naming the file."""
    try:
        found = x509.load_pem_x509_certificates(pem)
        # Parsing is lazy: ask now for what could still fail later.
        _ = [(each.extensions, each.public_key(), each.subject, each.issuer) for each in found]
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension) as error:
        raise ConfigurationError(f"{name} is damaged or no certificate in PEM; restore it from a backup") from error
    if len(found) != 1:
        raise ConfigurationError(f"{name} holds {len(found)} certificates; it must hold the CA's alone")
    return found[0]


def parse_key(pem: bytes, name: str, certificate: x509.Certificate, password: bytes | None) -> PrivateKey:
    """Return the private key of `certificate`; raises `ConfigurationError` naming the file."""
    try:
        key = load_pem_private_key(pem, password)
        strong(key.public_key())
    except InvalidInputError as error:
        raise ConfigurationError(f"{name} is refused: {error.detail}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        how = "encrypted under another root key" if password else "encrypted (give it in plain PKCS#8)"
        raise ConfigurationError(f"{name} is damaged, no private key in PEM, or {how}") from error
    if key.public_key() != certificate.public_key():
        raise ConfigurationError(f"{name} is not the private key of its CA certificate")
    return key  # type: ignore[return-value]  # strong() knows its public half

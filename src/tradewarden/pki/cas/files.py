"""The CAs' files in the data directory: certificates as PEM, private keys as encrypted PKCS#8 (PBES2).

Every file has a name of its own (`issuing_key.1a2b3c4d.pem`) and moves to the plain one (`issuing_key.pem`) for as long
as its CA is the active one. Always true here: new files are written into `ca.pending/`, then their rows are committed,
then `settle` moves the files to where the rows want them. Killed at any instant, the next `settle` goes on with that:
it looks at what a file holds before it moves it, and a file without a row goes away.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

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
from tradewarden.pki.certificate.algorithm import strong

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from tradewarden.pki.certificate.algorithm import PrivateKey

MAX_FILE_BYTES = 64 * 1024
ROOT_CERT = "ca_cert.pem"
_BRING_BACK = "restore it from a backup (docs/recover.md)"
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Layout(NamedTuple):
    """What the rows say of the files: what each may hold, by its own name, and which stand under the plain name."""

    certificates: dict[str, x509.Certificate]
    keys: dict[str, PublicKeyTypes]
    active: frozenset[str]


def own_root(data_directory: Path) -> Path:
    """Return where the certificate of our own root lies."""
    return data_directory / "ca" / ROOT_CERT


def plain(name: str) -> str:
    """Return the name that a file has while its CA is active: `issuing_key.1a2b3c4d.pem` is `issuing_key.pem` then."""
    return f"{name.partition('.')[0]}.pem"


class CaFiles:
    """The `ca/` directory; `password` encrypts the private keys in it."""

    __slots__ = ("_active", "_password", "directory", "pending")

    def __init__(self, data_directory: Path, password: bytes) -> None:
        self.directory = own_root(data_directory).parent
        self.pending = data_directory / "ca.pending"
        self._password = password
        self._active: frozenset[str] = frozenset()

    def path(self, name: str) -> Path:
        """Return where the file of that name lies, as of the last `settle`; its own name when that was cut off."""
        own = self.directory / name
        return self.directory / plain(name) if name in self._active and not os.path.lexists(own) else own

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
        """Let one process of this host at a time change or load the files; the kernel frees the lock of a dead one."""
        private_directory(self.directory.parent)
        descriptor = os.open(self.directory.parent / "ca.lock", _LOCK, 0o600)
        try:
            await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    # -- writing ---------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget what an earlier try staged and never got a row for."""
        if self.pending.exists():
            shutil.rmtree(self.pending)

    def stage(self, name: str, certificate: x509.Certificate) -> None:
        """Write a certificate where it does not count yet."""
        create_private(private_directory(self.pending) / name, certificate.public_bytes(Encoding.PEM))

    def stage_key(self, name: str, key: PrivateKey) -> None:
        """Write a private key where it does not count yet."""
        create_private(private_directory(self.pending) / name, self._sealed(key))

    def settle(self, layout: Layout) -> None:
        """Move every file to where the rows want it, and see to it that nobody else can enter."""
        self._active = layout.active
        self._take_in(layout)
        if os.path.lexists(self.directory):
            private_directory(self.directory)
        names = [*layout.certificates, *layout.keys]
        own = {name for name in names if os.path.lexists(self.directory / name)}
        for place in sorted({plain(name) for name in names if (name in own) is (name in layout.active)}):
            self._vacate(self.directory / place, layout)
        for name in sorted(own & layout.active):
            if not os.path.lexists(self.directory / plain(name)):
                move_private(self.directory / name, self.directory / plain(name))

    def _take_in(self, layout: Layout) -> None:
        """Let what was staged and has a row count; the rest goes away."""
        if not self.pending.is_dir():
            return
        if not self.strangers():
            move_private(self.pending, self.directory)
            return
        for path in sorted(self.pending.iterdir()):
            if path.name in layout.keys or path.name in layout.certificates:
                move_private(path, self.directory / path.name)
        self.clear()

    def _vacate(self, place: Path, layout: Layout) -> None:
        """Give the file under a plain name its own name back when it is not that of an active CA."""
        owner = self._owner(place, layout)
        if owner and owner not in layout.active and not os.path.lexists(self.directory / owner):
            move_private(place, self.directory / owner)

    def _owner(self, place: Path, layout: Layout) -> str:
        """Return the own name of what a file holds; empty when there is none, or it is not ours (loading says so)."""
        try:
            pem = read_private(place, MAX_FILE_BYTES)
            held = parse_certificate(pem, str(place)) if "_cert" in place.name else self._public(pem)
        except (ConfigurationError, ValueError, TypeError, UnsupportedAlgorithm):
            return ""
        known: dict[str, object] = {**layout.certificates, **layout.keys}
        return next((name for name, each in known.items() if plain(name) == place.name and each == held), "")

    def _public(self, pem: bytes) -> PublicKeyTypes:
        return load_pem_private_key(pem, self._password).public_key()

    # -- reading ---------------------------------------------------------------------------------

    def certificate(self, name: str) -> x509.Certificate:
        """Read a certificate; raises `ConfigurationError` naming the file."""
        return parse_certificate(self._content(name), str(self.path(name)))

    def key(self, name: str, certificate: x509.Certificate) -> PrivateKey:
        """Read a private key and match it with its certificate; raises `ConfigurationError` naming the file."""
        return parse_key(self._content(name), str(self.path(name)), certificate, self._password)

    def _content(self, name: str) -> bytes:
        path = self.path(name)
        if not os.path.lexists(path):
            raise ConfigurationError(f"{path} is missing; {_BRING_BACK}")
        return read_private(path, MAX_FILE_BYTES)

    def _sealed(self, key: PrivateKey) -> bytes:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(self._password))


def parse_certificate(pem: bytes, name: str) -> x509.Certificate:
    """Return the one certificate in `pem`; raises `ConfigurationError` naming the file."""
    try:
        found = x509.load_pem_x509_certificates(pem)
        # Parsing is lazy: ask now for what could still fail later.
        _ = [(each.extensions, each.public_key(), each.subject, each.issuer) for each in found]
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension) as error:
        raise ConfigurationError(f"{name} is damaged or no certificate in PEM; {_BRING_BACK}") from error
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
        how = f"encrypted under another root key; {_BRING_BACK}" if password else "encrypted (give it in plain PKCS#8)"
        raise ConfigurationError(f"{name} is damaged, no private key in PEM, or {how}") from error
    if key.public_key() != certificate.public_key():
        raise ConfigurationError(f"{name} is not the private key of its CA certificate")
    return key  # type: ignore[return-value]  # strong() knows its public half

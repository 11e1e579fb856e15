"""Where the private keys of our CAs are made and kept: encrypted files, or a token (`pki.cas.hardware`).

A key has one name from its making to its end, like `issuing_key.1a2b3c4d.pem`; a token takes the name without `.pem`
as its label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tradewarden.pki.certificate.algorithm import generate

if TYPE_CHECKING:
    from cryptography import x509

    from tradewarden.pki.cas.files import CaFiles
    from tradewarden.pki.certificate.algorithm import Algorithm, PrivateKey


class CaKeys(Protocol):
    """Makes and finds private keys by name. May block (files, a token): not for the event loop."""

    def make(self, name: str, algorithm: Algorithm) -> PrivateKey:
        """Make a key that does not exist yet. It may go to waste: its CA counts once its row stands."""
        ...

    def load(self, name: str, certificate: x509.Certificate) -> PrivateKey:
        """Return the key of `certificate`; raises `ConfigurationError` naming what is missing, damaged or foreign."""
        ...

    def has(self, name: str) -> bool:
        """Tell whether there is something under that name."""
        ...

    def where(self, name: str) -> str:
        """Say in words what to bring back when the key is away: a file's path, an object in a token."""
        ...


class FileKeys:
    """Keys as files of the `ca/` directory, encrypted under the root key of the installation."""

    def __init__(self, files: CaFiles) -> None:
        self._files = files

    def make(self, name: str, algorithm: Algorithm) -> PrivateKey:
        """Make a key and write it where it does not count yet, until `CaFiles.settle`."""
        return self.keep(name, generate(algorithm))

    def keep(self, name: str, key: PrivateKey) -> PrivateKey:
        """Take in a key that was brought along, as if it were made here."""
        self._files.stage_key(name, key)
        return key

    def load(self, name: str, certificate: x509.Certificate) -> PrivateKey:
        """Read the key of `certificate`; raises `ConfigurationError` naming the file."""
        return self._files.key(name, certificate)

    def has(self, name: str) -> bool:
        """Tell whether there is something at the file's place, be it a broken link."""
        return self._files.has(name)

    def where(self, name: str) -> str:
        """Return the file's path."""
        return str(self._files.path(name))

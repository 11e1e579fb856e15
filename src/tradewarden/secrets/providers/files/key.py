"""The keys of a directory of encrypted files, derived from one root: each for one use (HKDF, RFC 5869).

Always true here: `ALPHAPULSE_ENCRYPTION_KEY` encrypts nothing itself. As a Fernet key it only opens what AlphaPulse
wrote; our own files are under keys that are derived from it.
"""

from __future__ import annotations

import logging
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Final, Self

from tradewarden.clock import Randomness, system_randomness
from tradewarden.crypto.aead import AeadKey
from tradewarden.crypto.fernet import FernetKey
from tradewarden.crypto.kdf import KEY_BYTES, hkdf
from tradewarden.crypto.keyfile import create_private, private_directory, read_private
from tradewarden.crypto.mac import MacKey
from tradewarden.crypto.place import place
from tradewarden.errors import ConfigurationError
from tradewarden.keys.encoding import key_from_base64

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VARIABLE: Final = "ALPHAPULSE_ENCRYPTION_KEY"
KEY_FILE: Final = "key"
SUFFIX: Final = ".secret"
OLD_SUFFIX: Final = ".enc"
"""Of AlphaPulse's own files."""
ID_BYTES: Final = 8
_FORMAT: Final = 1
_NAME_BYTES: Final = 20
_MAX_FILE_BYTES: Final = 256
_log = logging.getLogger(__name__)


class FilesKey:
    """What encrypts the files of one directory. `source` is where the root came from, for messages."""

    __slots__ = ("_names", "cipher", "fernet", "id", "source")

    def __init__(self, root: bytes, source: str) -> None:
        if len(root) != KEY_BYTES:
            raise ValueError(f"a root has {KEY_BYTES} bytes")
        self.source = source
        self.fernet = FernetKey(root)
        self.cipher = AeadKey(hkdf(root, "tradewarden/files/v1/content"), _FORMAT)
        self.id = hkdf(root, "tradewarden/files/v1/id", ID_BYTES)
        """Tells one root from another; says nothing about it."""
        self._names = MacKey(hkdf(root, "tradewarden/files/v1/name"))

    def __repr__(self) -> str:
        return f"FilesKey(source={self.source!r})"

    @classmethod
    def from_fernet(cls, text: str, source: str = VARIABLE) -> Self:
        """Take a Fernet key (32 bytes in URL-safe base64) for root; raises `ConfigurationError` naming `source`."""
        return cls(key_from_base64(text.encode(), source), source)

    @classmethod
    def in_directory(cls, directory: Path, randomness: Randomness = system_randomness) -> Self:
        """Take the root from the file `key` in the directory, made (0600) when there is none: for development.

        A warning says so when it is made: who can read the directory can then read the secrets. It is not made beside
        secrets that are there already (`ConfigurationError`): they have another key.
        """
        path = directory / KEY_FILE
        if not path.exists():
            private_directory(directory)
            if any(each.suffix in (SUFFIX, OLD_SUFFIX) for each in directory.iterdir()):
                raise ConfigurationError(
                    f"{directory} holds secrets, and {path} is not there. Set {VARIABLE} to the key they were written "
                    "with; nothing was changed"
                )
            try:
                create_private(path, urlsafe_b64encode(randomness(KEY_BYTES)) + b"\n")
            except ConfigurationError:
                if not path.exists():
                    raise
            else:
                _log.warning(
                    "Made a key in %s, because %s is not set. Keep it: without it no secret in %s can be read",
                    path, VARIABLE, directory,
                )  # fmt: skip
        return cls.from_fernet(read_private(path, _MAX_FILE_BYTES).decode("ascii", "replace").strip(), str(path))

    @classmethod
    def chosen(cls, environ: Mapping[str, str], directory: Path) -> Self:
        """Take `ALPHAPULSE_ENCRYPTION_KEY` when it is set, else the directory's own key file."""
        text = environ.get(VARIABLE, "")
        return cls.from_fernet(text) if text else cls.in_directory(directory)

    def file_name(self, name: str) -> str:
        """Return what a secret's file is called: a keyed hash (HMAC-SHA256, 160 bits), which tells nobody the name."""
        return self._names.digest(place("files/name", name))[:_NAME_BYTES].hex()

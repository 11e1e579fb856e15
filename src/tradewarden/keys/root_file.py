"""`file:PATH`: a root key on disk, made by this service. For development.

Always true here: at every instant the key that the database was last written under is readable at PATH or at
`PATH.<check value>`. A new key is first written to the latter name; then the database takes it into use; then it is
renamed to PATH. The name carries the key's own check value, so two processes never write each other's file, and `open`
finishes a rename that a crash has cut off.
"""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tradewarden.crypto.kdf import KEY_BYTES
from tradewarden.crypto.keyfile import create_private, move_private, private_directory, read_private
from tradewarden.errors import ConfigurationError
from tradewarden.keys.encoding import key_from_base64
from tradewarden.keys.root import RootKey, Stretching

if TYPE_CHECKING:
    from tradewarden.clock import Randomness

_MAX_BYTES: Final = 256


class FileRoot:
    """The root source of `file:PATH`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return str(self._path)

    def open(self, check_value: bytes, stretching: Stretching) -> RootKey:  # noqa: ARG002
        """Return the key at PATH, or finish the rename of the one that the database was written under."""
        settled = self._read(self._path)
        if settled is not None and settled.matches(check_value):
            return settled
        candidate = self._candidate(check_value)
        waiting = self._read(candidate)
        if waiting is not None and waiting.matches(check_value):
            self.settle(waiting)
            return waiting
        settled = settled or self._read(self._path)  # another process may have finished the rename meanwhile
        if settled is None:
            raise ConfigurationError(
                f"{self._path} is missing, and the database was written with the root key in it; put it back"
            )
        return settled

    def prepare(self, randomness: Randomness, replaces: bytes | None) -> tuple[RootKey, Stretching]:
        """Make a key at its waiting name; refuses to take over a PATH that holds some other key."""
        private_directory(self._path.parent)
        present = self._read(self._path)
        if present is not None and (replaces is None or not present.matches(replaces)):
            raise ConfigurationError(
                f"{self._path} holds a root key, but not of this database; "
                "restore the database that belongs to it, or move the file away to start anew"
            )
        key = randomness(KEY_BYTES)
        root = RootKey(key)
        create_private(self._candidate(root.check_value), b64encode(key) + b"\n")
        return root, Stretching()

    def settle(self, root: RootKey) -> None:
        """Give the key its lasting name."""
        try:
            move_private(self._candidate(root.check_value), self._path)
        except ConfigurationError:
            settled = self._read(self._path)
            if settled is None or not settled.matches(root.check_value):
                raise

    def discard(self, root: RootKey) -> None:
        """Remove the key that was never used."""
        with suppress(OSError):
            self._candidate(root.check_value).unlink()

    def _candidate(self, check_value: bytes) -> Path:
        return self._path.with_name(f"{self._path.name}.{check_value[:8].hex()}")

    def _read(self, path: Path) -> RootKey | None:
        if not path.exists() and not path.is_symlink():
            return None
        return RootKey(key_from_base64(read_private(path, _MAX_BYTES), str(path)))

"""`file:PATH`: a root key on disk, made by this service. For development.

Always true here: at every instant the key that the database was last written under is readable at PATH or at
`PATH.<check value>`. A new key is first written to the latter name; then the database takes it into use; then it is
renamed to PATH. The name carries the key's own check value, so two processes never write each other's file, and `open`
finishes a rename that a crash has cut off. `look` writes nothing.
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

    @property
    def uri(self) -> str:
        """What names it."""
        return f"file:{self._path}"

    def look(self, check_value: bytes, stretching: Stretching) -> RootKey:  # noqa: ARG002
        """Return the key that the database was written under, from PATH or its waiting name; else the one at PATH."""
        return self._find(check_value)[0]

    def examine(self) -> None:
        """Raise `ConfigurationError` when PATH is taken, or others can enter its directory."""
        self._require_room(None)
        if self._path.parent.exists():
            private_directory(self._path.parent)

    def open(self, check_value: bytes, stretching: Stretching) -> RootKey:  # noqa: ARG002
        """Return the key at PATH, or finish the rename of the one that the database was written under."""
        root, waiting = self._find(check_value)
        if waiting:
            self.settle(root)
        return root

    def _find(self, check_value: bytes) -> tuple[RootKey, bool]:
        """Return the key, and whether it still waits under its first name."""
        root = None
        candidate = self._candidate(check_value)
        # PATH a second time: another process may have finished the rename between the two looks before.
        for path in (self._path, candidate, self._path):
            found = self._read(path)
            if found is not None and found.matches(check_value):
                return found, path == candidate
            root = root if path == candidate else found
        if root is None:
            raise ConfigurationError(
                f"{self._path} is missing, and the database was written with the root key in it; put it back"
            )
        return root, False

    def prepare(self, randomness: Randomness, replaces: bytes | None) -> tuple[RootKey, Stretching]:
        """Make a key at its waiting name; refuses to take over a PATH that holds some other key."""
        private_directory(self._path.parent)
        self._require_room(replaces)
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

    def _require_room(self, replaces: bytes | None) -> None:
        present = self._read(self._path)
        if present is not None and (replaces is None or not present.matches(replaces)):
            raise ConfigurationError(
                f"{self._path} holds a root key, but not of this database; "
                "restore the database that belongs to it, or move the file away to start anew"
            )

    def _candidate(self, check_value: bytes) -> Path:
        return Path(f"{self._path}.{check_value[:8].hex()}")

    def _read(self, path: Path) -> RootKey | None:
        try:
            text = read_private(path, _MAX_BYTES)
        except ConfigurationError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        return RootKey(key_from_base64(text, str(path)))

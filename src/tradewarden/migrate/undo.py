"""The way back: the files as they were, encrypted, for some days.

Always true here: the key (32 random bytes, 0600) lies in another directory than the file it opens, and both outside of
the work tree; when the time is over both are deleted, and until then the end of the time is authenticated, so that
nobody who can write the file makes it last longer. A file that was changed since is not touched.

Format: one line of JSON (what it is, for which directory, until when), then an envelope of `tradewarden.crypto.aead`
over the files as MessagePack, bound to that line.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.clock import Clock, Randomness, SystemClock, rfc3339, system_randomness
from tradewarden.crypto.aead import NONCE_BYTES, AeadKey
from tradewarden.crypto.kdf import KEY_BYTES
from tradewarden.crypto.keyfile import create_private, private_directory, read_private
from tradewarden.errors import ConfigurationError, ConflictError, DecryptionError, IntegrityError, NotFoundError
from tradewarden.migrate.replacing import Replacement, remove_leftovers, replace_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DAYS: Final = 7
_SECONDS_A_DAY: Final = 86_400
_FORMAT: Final = 1
_MAX_BYTES: Final = 1 << 30
_ENDING: Final = ".undo"
_KEY_ENDING: Final = ".key"
_DONE_ENDING: Final = ".done"
"""An empty file of this name stands for a run that came to its end; without it, it was cut off."""


class Kept(msgspec.Struct, frozen=True):
    """One file: its bytes before, and the digest of what it became."""

    file: str
    before: bytes
    after: bytes

    def __repr__(self) -> str:
        return f"Kept({self.file!r})"


class Head(msgspec.Struct, frozen=True):
    """The first line: for which directory, made when, until when (seconds since the epoch)."""

    id: str
    root: str
    made: float
    expires: float
    format: int = _FORMAT


class Undone(msgspec.Struct, frozen=True):
    """What became of each file. `earlier` names the undos that are left for the same directory, the newest first."""

    id: str
    restored: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    changed_since: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()


class Undo:
    """The undo files of one user. `directory` holds the files, `keys` their keys; both are made when needed."""

    def __init__(
        self, directory: Path, keys: Path, clock: Clock | None = None, randomness: Randomness = system_randomness
    ) -> None:
        self._directory = directory
        self._keys = keys
        self._clock = clock or SystemClock()
        self._randomness = randomness

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> Undo:
        """Return those of the user who runs this: below `XDG_STATE_HOME` and `XDG_CONFIG_HOME`, or their defaults."""
        state = environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        config = environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return cls(Path(state) / "tradewarden" / "undo", Path(config) / "tradewarden" / "undo-keys")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold this user's migrations against a second one; raises `ConflictError` when one is running."""
        descriptor = os.open(private_directory(self._directory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError("Another migration of this user is running; nothing was done") from error
        else:
            yield
        finally:
            os.close(descriptor)

    def save(self, root: Path, replacements: Sequence[Replacement], days: float = DAYS) -> str:
        """Keep the files as they are now; returns the name of the undo. Durable on return."""
        if root.resolve() in (self._directory.resolve(), *self._directory.resolve().parents):
            raise ConfigurationError(f"{self._directory} lies in {root}; set XDG_STATE_HOME to a place outside of it")
        now = self._clock.now()
        name = f"{rfc3339(now)[:19].replace(':', '').replace('-', '')}-{self._randomness(4).hex()}"
        line = _line(Head(name, str(root.resolve()), now, now + days * _SECONDS_A_DAY))
        kept = [Kept(_relative(each, root), each.before, sha256(each.after).digest()) for each in replacements]
        key = self._randomness(KEY_BYTES)
        envelope = AeadKey(key, _FORMAT).encrypt(msgspec.msgpack.encode(kept), line, self._randomness(NONCE_BYTES))
        create_private(private_directory(self._keys) / f"{name}{_KEY_ENDING}", key)
        create_private(private_directory(self._directory) / f"{name}{_ENDING}", line + envelope)
        return name

    def finish(self, name: str) -> None:
        """Note that the run of an undo came to its end, so that it is taken back by itself."""
        create_private(self._directory / f"{name}{_DONE_ENDING}", b"")

    def remove_leftovers(self, root: Path) -> None:
        """Remove what killed runs left beside the files of `root`; to be called `alone`."""
        for name in self.names(root):
            with suppress(ConfigurationError, IntegrityError, NotFoundError):
                kept = self._opened(self._directory / f"{name}{_ENDING}", root)
                remove_leftovers(root / each.file for each in kept)

    def expire(self) -> list[str]:
        """Delete every undo whose time is over, with its key; returns their names. A damaged one is left."""
        over = []
        for path in sorted(self._directory.glob(f"*{_ENDING}")):
            with suppress(ConfigurationError, IntegrityError):
                if self._head(path)[0].expires <= self._clock.now():
                    self._forget(path)
                    over.append(path.stem)
        return over

    def names(self, root: Path) -> list[str]:
        """Return the undos for a directory that are not over, the newest first."""
        found = []
        for path in self._directory.glob(f"*{_ENDING}"):
            with suppress(ConfigurationError, IntegrityError):
                head = self._head(path)[0]
                if head.root == str(root.resolve()) and head.expires > self._clock.now():
                    found.append((head.made, path.stem))
        return [name for _, name in sorted(found, reverse=True)]

    def restore(self, root: Path, name: str = "") -> Undone:
        """Put the files back as they were: of one undo, or of the newest for `root`.

        Without a name, runs before it that were cut off are taken back with it: they were one migration. Files that
        were changed since are named and left; so that nothing is lost, the undo then stays too.

        Raises:
            ConflictError: a migration is running.
            NotFoundError: there is none, or its time is over.
            IntegrityError: it is damaged, or its key is not the right one.
        """
        names = self.names(root)
        chosen = name or (names[0] if names else "")
        if not chosen or Path(chosen).name != chosen or not (self._directory / f"{chosen}{_ENDING}").exists():
            raise NotFoundError(f"There is no undo for {root}: none was made, or its time is over")
        with self.alone():
            undone = self._taken_back(chosen, root)
            for each in () if name else names[1:]:
                if undone.changed_since or self._is_done(each):
                    break
                undone = _joined(undone, self._taken_back(each, root))
        return msgspec.structs.replace(undone, earlier=tuple(each for each in self.names(root) if each != chosen))

    def _taken_back(self, name: str, root: Path) -> Undone:
        path = self._directory / f"{name}{_ENDING}"
        kept = self._opened(path, root)
        remove_leftovers(root / each.file for each in kept)
        undone, replacements = _sorted(name, root, kept)
        replace_all(replacements)
        if not undone.changed_since:
            self._forget(path)
        return undone

    def _is_done(self, name: str) -> bool:
        return (self._directory / f"{name}{_DONE_ENDING}").exists()

    def _opened(self, path: Path, root: Path) -> list[Kept]:
        head, line, envelope = self._head(path)
        if head.expires <= self._clock.now():
            self._forget(path)
            raise NotFoundError(f"The undo {path.stem} was kept until {rfc3339(head.expires)[:19]}Z and is deleted now")
        if head.root != str(root.resolve()):
            raise ConfigurationError(f"The undo {path.stem} belongs to {head.root}, not to {root}")
        key_file = self._keys / f"{path.stem}{_KEY_ENDING}"
        if not key_file.exists():
            raise IntegrityError(f"{key_file} is missing, and without it {path} does not open; nothing was changed")
        try:
            key = read_private(key_file, KEY_BYTES)
            opened = AeadKey(key, _FORMAT).decrypt(envelope, line)
        except (DecryptionError, ValueError) as error:
            raise IntegrityError(
                f"{path} does not open: it was changed, or {self._keys} holds another key; nothing was changed"
            ) from error
        return msgspec.msgpack.decode(opened, type=list[Kept])

    def _head(self, path: Path) -> tuple[Head, bytes, bytes]:
        raw = read_private(path, _MAX_BYTES)
        line, newline, envelope = raw.partition(b"\n")
        try:
            return msgspec.json.decode(line, type=Head), line + newline, envelope
        except msgspec.MsgspecError as error:
            raise IntegrityError(f"{path} is damaged: it is no undo file; nothing was changed") from error

    def _forget(self, path: Path) -> None:
        # The key first: without it the file says nothing any more.
        for each in (self._keys / f"{path.stem}{_KEY_ENDING}", path, path.with_suffix(_DONE_ENDING)):
            with suppress(FileNotFoundError):
                os.unlink(each)  # noqa: PTH108


def _joined(later: Undone, earlier: Undone) -> Undone:
    """Return what two undos did, one after the other, to each file."""
    restored = dict.fromkeys((*later.restored, *earlier.restored))
    changed = dict.fromkeys((*later.changed_since, *earlier.changed_since))
    same = dict.fromkeys(each for each in (*later.unchanged, *earlier.unchanged) if each not in restored | changed)
    return Undone(later.id, tuple(restored), tuple(same), tuple(changed))


def _line(head: Head) -> bytes:
    return msgspec.json.encode(head) + b"\n"


def _relative(replacement: Replacement, root: Path) -> str:
    return replacement.path.relative_to(root).as_posix()


def _sorted(name: str, root: Path, kept: Sequence[Kept]) -> tuple[Undone, list[Replacement]]:
    restored, unchanged, changed = [], [], []
    replacements = []
    for each in kept:
        path = root / each.file
        try:
            now = path.read_bytes() if not path.is_symlink() else b""
        except OSError:
            now = b""
        if now == each.before:
            unchanged.append(each.file)
        elif sha256(now).digest() == each.after:
            restored.append(each.file)
            replacements.append(Replacement(path, now, each.before))
        else:
            changed.append(each.file)
    return Undone(name, tuple(restored), tuple(unchanged), tuple(changed)), replacements

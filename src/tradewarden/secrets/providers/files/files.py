"""Secrets as encrypted files: one authenticated file a secret, in a directory that tells nobody their names.

Always true here: a file that does not open is never written over; a crash or a full disk leaves the old value; writers,
threads and processes alike, take turns. Reads take no lock.

AlphaPulse's own files (`<name>.enc`, Fernet) are read where ours is missing, and become ours with the next `put`.

No network. A writer waits 10 seconds at most for another; a damaged or foreign file is never tried twice.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Final

from tradewarden.clock import Clock, Randomness, SystemClock, system_randomness
from tradewarden.crypto.keyfile import private_directory, write_private
from tradewarden.errors import (
    ConfigurationError,
    DecryptionError,
    IntegrityError,
    ProviderUnavailableError,
    SecretNotFoundError,
    UnavailableError,
)
from tradewarden.secrets.path import is_secret_path, secret_path
from tradewarden.secrets.providers.content import as_text, held_text, settled
from tradewarden.secrets.providers.files.alphapulse import old_path, read_old
from tradewarden.secrets.providers.files.key import OLD_SUFFIX, SUFFIX, FilesKey
from tradewarden.secrets.providers.files.reading import read_trusted, trusted_directory
from tradewarden.secrets.providers.files.sealed import (
    HEAD_BYTES,
    INCARNATION_BYTES,
    Kept,
    Record,
    key_id,
    open_name,
    open_sealed,
    seal,
)
from tradewarden.secrets.providers.lock import locked
from tradewarden.secrets.providers.provider import Held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tradewarden.secrets.providers.provider import Content

__all__ = ["KEPT_VERSIONS", "OLD_SUFFIX", "SUFFIX", "EncryptedFilesProvider"]
KEPT_VERSIONS: Final = 5
_MAX_BYTES: Final = (KEPT_VERSIONS + 1) * 1024 * 1024


class EncryptedFilesProvider:
    """A directory of encrypted files (0700, files 0600), made with the first `put`. Five versions are kept.

    `key` may be a function that finds the key (`lambda: FilesKey.chosen(os.environ, directory)`): it is called with the
    first secret that is put or that is there, so that nothing is made for who has none.
    """

    name: Final = "files"

    def __init__(
        self,
        directory: Path,
        key: FilesKey | Callable[[], FilesKey],
        *,
        clock: Clock | None = None,
        randomness: Randomness = system_randomness,
    ) -> None:
        self._directory = directory.absolute()
        self._given = key
        self._clock = clock or SystemClock()
        self._randomness = randomness
        self._swept = False

    def __repr__(self) -> str:
        return f"EncryptedFilesProvider({str(self._directory)!r})"

    @cached_property
    def _key(self) -> FilesKey:
        return self._given if isinstance(self._given, FilesKey) else self._given()

    def _keyed(self) -> bool:
        """Tell whether there is anything that a key is needed for; so looking makes none."""
        known = "_key" in self.__dict__ or isinstance(self._given, FilesKey)
        return known or any(True for suffix in (SUFFIX, OLD_SUFFIX) for _ in self._files(suffix))

    def get(self, name: str, version: str = "") -> Held:
        """Return the current version, or one of the four before it."""
        record = self._read(secret_path(name))
        if record is not None:
            for kept in record.versions:
                if not version or version == record.version(kept):
                    return Held(name, held_text(kept.content.decode(), f"Secret '{name}'"), record.version(kept))
        raise SecretNotFoundError(name, reason=f"no such file or version in {self._directory}")

    def get_many(self, names: Sequence[str]) -> dict[str, Held]:
        """Return those that are there."""
        found: dict[str, Held] = {}
        for name in names:
            with suppress(SecretNotFoundError):
                found[name] = self.get(name)
        return found

    def put(self, name: str, content: Content) -> str:
        """Write a new version, durable on return; raises `IntegrityError` when what stands there does not open."""
        text = as_text(settled(content)).encode()
        secret_path(name)
        self._prepare()
        with locked(self._directory):
            self._sweep()
            record = self._next(self._read(name), text)
            self._write(name, record)
            self._unlink(old_path(self._directory, name))
        return record.version(record.versions[0])

    def delete(self, name: str) -> None:
        """Take the secret and all its versions away, also one that does not open."""
        secret_path(name)
        if not trusted_directory(self._directory) or not self._keyed():
            raise SecretNotFoundError(name, reason=f"{self._directory} holds no secrets")
        paths = [old_path(self._directory, name), self._path(name)]
        with locked(self._directory):
            gone = [self._unlink(path) for path in paths]  # the old one first: left alone it would come back
            if not any(gone):
                self._refuse_other_key()
                raise SecretNotFoundError(name, reason=f"no such file in {self._directory}")
            self._sync()

    def names(self, prefix: str = "") -> list[str]:
        """Return the names in the files; raises `IntegrityError` naming one that does not open."""
        # Theirs first: one that a writer makes ours meanwhile is then found as one of both.
        found = {name for _, name in self._files(OLD_SUFFIX) if is_secret_path(name)}
        for path, file in self._files(SUFFIX):
            raw = read_trusted(path, HEAD_BYTES, whole=False)
            if raw is not None:
                found.add(self._opened_name(path, file, raw))
        return sorted(name for name in found if name.startswith(prefix))

    def close(self) -> None:
        """Do nothing: nothing is held."""

    def _read(self, name: str) -> Record | None:
        if not trusted_directory(self._directory) or not self._keyed():
            return None
        path = self._path(name)
        raw = read_trusted(path, _MAX_BYTES)
        if raw is None:
            old = read_old(self._key, old_path(self._directory, name))
            raw = read_trusted(path, _MAX_BYTES) if old is None else None  # a writer may just have made it ours
            if raw is None:
                if old is None:
                    self._refuse_other_key()
                return old
        try:
            return open_sealed(self._key, self._key.file_name(name), raw)
        except DecryptionError as error:
            raise self._unopened(path, raw, error) from error

    def _next(self, before: Record | None, text: bytes) -> Record:
        now = self._clock.now()
        if before is None:
            return Record(self._randomness(INCARNATION_BYTES).hex(), (Kept(1, now, text),))
        made = Kept(before.versions[0].number + 1, now, text)
        return Record(before.incarnation, (made, *before.versions[: KEPT_VERSIONS - 1]))

    def _write(self, name: str, record: Record) -> None:
        raw = seal(self._key, name, record, self._randomness)
        try:
            write_private(self._directory / (self._key.file_name(name) + SUFFIX), raw)
        except UnavailableError as error:
            raise ProviderUnavailableError(f"{error.detail}; what stood there is as it was") from error

    def _prepare(self) -> None:
        """Make the directory, or close it to others; then it is only ours."""
        if trusted_directory(self._directory) and self._directory.stat().st_uid == os.geteuid():
            self._directory.chmod(0o700)
        private_directory(self._directory)

    def _sweep(self) -> None:
        """Once, under the lock: take away what writers that crashed left; nobody else writes now."""
        if not self._swept:
            for half in self._directory.glob(f".*{SUFFIX}.*.tmp"):
                self._unlink(str(half))
            self._swept = True

    def _path(self, name: str) -> str:
        return f"{self._directory}/{self._key.file_name(name)}{SUFFIX}"

    def _files(self, suffix: str) -> Iterator[tuple[str, str]]:
        """Yield path and name, without its suffix, of every file that ends so."""
        if not trusted_directory(self._directory):
            return
        try:
            with os.scandir(self._directory) as entries:
                for entry in entries:
                    if entry.name.endswith(suffix) and not entry.name.startswith("."):
                        yield entry.path, entry.name.removesuffix(suffix)
        except OSError as error:
            raise ProviderUnavailableError(f"{self._directory} cannot be listed ({error.strerror})") from error

    def _opened_name(self, path: str, file: str, raw: bytes) -> str:
        try:
            return open_name(self._key, file, raw)
        except DecryptionError as error:
            raise self._unopened(path, raw, error) from error

    def _refuse_other_key(self) -> None:
        """Raise when the directory is another key's: under it every name would look missing."""
        for path, _ in self._files(SUFFIX):
            raw = read_trusted(path, HEAD_BYTES, whole=False) or b""
            if key_id(raw) not in (None, self._key.id):
                raise self._unopened(path, raw, DecryptionError(reason="other key"))
            return

    def _unopened(self, path: str, raw: bytes, error: DecryptionError) -> IntegrityError | ConfigurationError:
        if key_id(raw) not in (None, self._key.id):
            return ConfigurationError(
                f"{path} was written under another key than {self._key.source}; give the key it was written with. "
                "Nothing was changed"
            )
        return IntegrityError(
            f"{path} is damaged, or was moved there from another name. Restore it from a backup, or delete the secret "
            "and put it again; nothing was changed",
            reason=error.reason,
        )

    def _unlink(self, path: str) -> bool:
        try:
            if path:
                os.unlink(path)  # noqa: PTH108
                return True
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ProviderUnavailableError(f"{path} cannot be deleted ({error.strerror})") from error
        return False

    def _sync(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Files that hold keys and tokens: 0600, in directories of our own, written whole or not at all.

Always true here: nobody but this user (and root) can read what is written, nothing is read through a symbolic link at
its last step or from a file that others could have read, and a crash leaves either the old content or the new one.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from tradewarden.errors import ConfigurationError, StorageUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_directory(path: Path) -> Path:
    """Return the directory, created 0700 with its parents when missing; refuses one that others own or can enter."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be used as a directory ({error.strerror})") from error
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(f"{path} is a link or not a directory; name the directory itself")
    _refuse_foreign(path, found, "700")
    return path


def write_private(path: Path, data: bytes) -> None:
    """Put `data` at `path` with mode 0600, replacing what is there, atomically and durably."""
    with _written_beside(path, data) as temporary:
        temporary.replace(path)


def create_private(path: Path, data: bytes) -> None:
    """Put `data` at `path` with mode 0600, atomically and durably; raises `ConfigurationError` when it exists."""
    with _written_beside(path, data) as temporary:
        try:
            # A hard link is made only when the name is free, links included, and is whole from its first instant on.
            os.link(temporary, path, follow_symlinks=False)
        except FileExistsError as error:
            raise ConfigurationError(f"{path} exists already and is not overwritten; move it away first") from error
        temporary.unlink()


def move_private(source: Path, target: Path) -> None:
    """Rename a private file within its directory, atomically and durably; `ConfigurationError` when it is missing."""
    try:
        source.replace(target)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{source} is missing") from error
    except OSError as error:
        raise _not_written(target, error) from error
    _sync_directory(target)


def read_private(path: Path, max_bytes: int) -> bytes:
    """Return the content of a file that only this user can read; raises `ConfigurationError` saying what to do."""
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path} is missing") from error
    except OSError as error:
        hint = "; it is a symbolic link, name the file itself" if error.errno == errno.ELOOP else ""
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}){hint}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigurationError(f"{path} is not a regular file")
        _refuse_foreign(path, found, "600")
        return _read_all(path, descriptor, max_bytes)
    finally:
        os.close(descriptor)


class _written_beside:  # noqa: N801  (used as a `with` function)
    """A durable 0600 file in the same directory, gone on the way out if the block did not move it."""

    def __init__(self, path: Path, data: bytes) -> None:
        self._path = path
        self._data = data
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")

    def __enter__(self) -> Path:
        try:
            _write_durably(self._temporary, self._data)
        except OSError as error:
            self._forget()
            raise _not_written(self._path, error) from error
        return self._temporary

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is None:
            _sync_directory(self._path)
            return
        self._forget()
        if isinstance(error, OSError):
            raise _not_written(self._path, error) from error

    def _forget(self) -> None:
        with suppress(OSError):
            self._temporary.unlink()


def _write_durably(path: Path, data: bytes) -> None:
    descriptor = os.open(path, _CREATE, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    """Make the name itself durable: a rename is, once its directory is synced."""
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _not_written(path, error) from error


def _read_all(path: Path, descriptor: int, max_bytes: int) -> bytes:
    content = b""
    try:
        while len(content) <= max_bytes and (piece := os.read(descriptor, max_bytes + 1 - len(content))):
            content += piece
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror})") from error
    if len(content) > max_bytes:
        raise ConfigurationError(f"{path} is larger than the {max_bytes} bytes it may have")
    return content


def _refuse_foreign(path: Path, found: os.stat_result, mode: str) -> None:
    if found.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(
            f"{path} belongs to user {found.st_uid}, not to the user {os.geteuid()} that runs this; "
            f"run: chown {os.geteuid()} {path}"
        )
    if found.st_mode & stat.S_IWOTH and stat.S_ISDIR(found.st_mode):  # such as /tmp: others need it as it is
        raise ConfigurationError(f"{path} is open to other users; use a directory of your own in it: mkdir -m {mode}")
    if found.st_mode & _OTHERS:
        raise ConfigurationError(f"{path} is open to other users; run: chmod {mode} {path}")


def _not_written(path: Path, error: OSError) -> StorageUnavailableError:
    return StorageUnavailableError(f"{path} cannot be written ({error.strerror})")

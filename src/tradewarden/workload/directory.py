"""The directory of an identity: versions of the pair, each whole, and one link that says which holds now.

    DIR/current -> versions/000007      the link is replaced by a rename, so it points to a whole version at any instant
    DIR/versions/000007/{key,cert,ca}.pem
    DIR/crls.pem   DIR/joined   DIR/announced   DIR/.lock

Always true here: directories are 0700 and files 0600, a version's files are never changed after the link has pointed
to them, and a crash at any instant leaves the link on a version whose key and certificate belong together. A program
that reads several files resolves the link once and reads from there; the version before the current one stays for those
that are just doing so.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from tradewarden.crypto.keyfile import private_directory, read_private, write_private
from tradewarden.errors import ConfigurationError, IntegrityError, StorageUnavailableError
from tradewarden.workload.pair import Pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY, CERTIFICATE, ROOTS = "key.pem", "cert.pem", "ca.pem"
_MAX_BYTES: Final = 256 * 1024
_MAX_CRL_BYTES: Final = 64 * 1024 * 1024
_LOOKS: Final = 3
_ROOM: Final = 16 * 1024
"""As large as none of a version's files usually is, in bytes."""


class IdentityDirectory:
    """Reads and replaces what an identity keeps on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._versions = self.path / "versions"
        self._link = self.path / "current"

    def prepare(self) -> None:
        """Make the directory, or look whether it is ours alone; raises `ConfigurationError`."""
        private_directory(self.path)
        private_directory(self._versions)

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Say whether this process may change things now; another one that does so is not waited for."""
        try:
            descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageUnavailableError(f"{self.path / '.lock'} cannot be opened ({error.strerror})") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def version(self) -> str:
        """Return the name of the version that holds now; empty when there is none."""
        try:
            return os.path.basename(os.readlink(self._link))  # noqa: PTH115, PTH119 - a path object costs ten times more
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise ConfigurationError(f"{self._link} is not the link that belongs there; move it away") from error

    def folder(self, version: str) -> Path:
        """Return where a version's files are."""
        return self._versions / version

    def read(self) -> Pair | None:
        """Return the pair that holds now, or None; raises `ConfigurationError` or `IntegrityError` naming the file."""
        for _ in range(_LOOKS):
            version = self.version()
            if not version:
                return None
            try:
                return self._read(version)
            except ConfigurationError:
                if self.version() == version:
                    raise
        raise StorageUnavailableError(f"{self.path} changes faster than it can be read")

    def _read(self, version: str) -> Pair:
        folder = self.folder(version)
        parts = [read_private(folder / name, _MAX_BYTES) for name in (KEY, CERTIFICATE, ROOTS)]
        try:
            return Pair.read(parts[0], parts[1], parts[2], version)
        except IntegrityError as error:
            raise IntegrityError(f"{folder}: {error.detail}; move {self.path} away and enrol again") from error

    def require_room(self) -> None:
        """Raise `StorageUnavailableError` or `ConfigurationError` unless another version can be written now."""
        trial = private_directory(self._versions / ".trial")
        try:
            for name in (KEY, CERTIFICATE, ROOTS):
                write_private(trial / name, bytes(_ROOM))
        finally:
            shutil.rmtree(trial, ignore_errors=True)

    def put(self, pair: Pair) -> Pair:
        """Make this the pair that holds, as a whole and durably; to be called under the lock."""
        version = f"{self._newest() + 1:06d}"
        folder = private_directory(self.folder(version))
        for name, content in ((KEY, pair.key_pem), (CERTIFICATE, pair.chain_pem), (ROOTS, pair.roots_pem)):
            write_private(folder / name, content)
        before = self.version()
        try:
            _sync(self._versions)
            self._point_to(version)
        except OSError as error:
            raise StorageUnavailableError(f"{self._link} cannot be written ({error.strerror})") from error
        self.tidy({version, before})
        return Pair(pair.key_pem, pair.chain_pem, pair.roots_pem, version)

    def _point_to(self, version: str) -> None:
        beside = self.path / ".current.new"
        beside.unlink(missing_ok=True)
        beside.symlink_to(f"versions/{version}")
        beside.replace(self._link)
        _sync(self.path)

    def _newest(self) -> int:
        return max((int(each.name) for each in self._versions.iterdir() if each.name.isdecimal()), default=0)

    def tidy(self, keep: set[str]) -> None:
        """Remove every version but these; one that cannot be removed now is removed another time."""
        for each in self._versions.iterdir():
            if each.name not in keep:
                shutil.rmtree(each, ignore_errors=True)

    def crls(self) -> bytes:
        """Return the revocation lists that were fetched last (PEM); empty before the first time."""
        return self._note("crls.pem", _MAX_CRL_BYTES)

    def put_crls(self, pem: bytes) -> None:
        """Keep the revocation lists that were fetched."""
        write_private(self.path / "crls.pem", pem)

    def joined(self) -> str:
        """Return the digest of the join token that was spent last."""
        return self._note("joined").decode("ascii", "replace")

    def put_joined(self, digest: str) -> None:
        """Remember a spent join token."""
        write_private(self.path / "joined", digest.encode())

    def announced(self) -> str:
        """Return the version that the hook command was last run for with success."""
        return self._note("announced").decode("ascii", "replace")

    def put_announced(self, version: str) -> None:
        """Remember that the hook command succeeded for a version."""
        write_private(self.path / "announced", version.encode())

    def _note(self, name: str, most: int = _MAX_BYTES) -> bytes:
        path = self.path / name
        with suppress(FileNotFoundError):
            path.lstat()
            return read_private(path, most)
        return b""


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

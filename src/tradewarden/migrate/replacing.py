"""Files of a work tree, replaced whole or not at all, mode and owner kept.

Always true here: all new files are on the disk before the first takes its place, so a full disk changes nothing; each
takes its place with one rename, after a last look that the old one is still what was read; a run that is killed leaves
each file old or new, and what lies beside it is removed by the next run.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.errors import ConflictError, StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_ENDING: Final = ".tradewarden-new"
_WRITABLE: Final = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Replacement(msgspec.Struct, frozen=True):
    """A file that is to hold `after` and holds `before` now."""

    path: Path
    before: bytes
    after: bytes

    def __repr__(self) -> str:
        return f"Replacement({str(self.path)!r})"


def require_unchanged(replacements: Iterable[Replacement]) -> None:
    """Raise `ConflictError` for a file that does not hold what was read, is read-only, or is no plain file any more."""
    for each in replacements:
        try:
            found = each.path.lstat()
            same = stat.S_ISREG(found.st_mode) and each.path.read_bytes() == each.before
        except OSError as error:
            raise ConflictError(
                f"{each.path} cannot be read any more ({error.strerror}); nothing was written"
            ) from error
        if not same:
            raise ConflictError(f"{each.path} was changed since the plan was made; nothing was written. Plan again")
        if not found.st_mode & _WRITABLE:
            raise ConflictError(
                f"{each.path} is read-only; nothing was written. Make it writable, or leave it out with --exclude"
            )


def replace_all(replacements: Sequence[Replacement]) -> None:
    """Replace every file. Raises `StorageUnavailableError` (nothing was replaced yet), `ConflictError`."""
    waiting: list[Path] = []
    try:
        for each in replacements:
            waiting.append(_waiting(each.path))
            _write(waiting[-1], each)
        for new, each in zip(waiting, replacements, strict=True):
            if each.path.read_bytes() != each.before:
                raise ConflictError(f"{each.path} was changed while this ran; it is as it was. Run again for the rest")
            new.replace(each.path)
            _sync(each.path.parent)
    except OSError as error:
        raise StorageUnavailableError(
            f"{error.filename or 'the disk'} cannot be written ({error.strerror}); every file is whole, old or new. "
            "Run again when the cause is gone"
        ) from error
    finally:
        for new in waiting:
            with suppress(OSError):
                new.unlink()


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove what a killed run left beside these files."""
    for path in paths:
        with suppress(OSError):
            _waiting(path).unlink()


def _waiting(path: Path) -> Path:
    return path.with_name(f".{path.name}{_ENDING}")


def _write(new: Path, each: Replacement) -> None:
    found = each.path.stat()
    descriptor = os.open(new, _CREATE, 0o600)
    try:
        view = memoryview(each.after)
        while view:
            view = view[os.write(descriptor, view) :]
        if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, found.st_uid, found.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
        os.fsync(descriptor)
    except OSError as error:
        error.filename = error.filename or str(each.path)
        raise
    finally:
        os.close(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

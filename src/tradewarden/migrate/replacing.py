"""Files of a work tree, replaced whole or not at all, mode and owner kept.

Always true here: all new files are on the disk before the first takes its place, so a full disk changes nothing; each
takes its place with one rename, after a last look that the old one is still what was read; a run that is killed leaves
each file old or new. New files wait in `.tradewarden-new` beside the old ones, a directory that tells git to ignore all
of it; what a killed run left there is removed by the next `apply` or `undo`.
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

WAITING: Final = ".tradewarden-new"
_IGNORE: Final = ".gitignore"
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
            _make_room(each.path.parent)
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
        remove_leftovers(each.path for each in replacements)


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove what a killed run left beside these files, and the directories that it stood in."""
    rooms = set()
    for path in paths:
        room = path.parent / WAITING
        if _is_room(room):
            rooms.add(room)
            with suppress(OSError):
                _waiting(path).unlink()
    for room in rooms:
        if {each.name for each in room.iterdir()} <= {_IGNORE}:
            with suppress(OSError):
                (room / _IGNORE).unlink(missing_ok=True)
                room.rmdir()


def _waiting(path: Path) -> Path:
    return path.parent / WAITING / path.name


def _is_room(room: Path) -> bool:
    return room.is_dir() and not room.is_symlink()


def _make_room(directory: Path) -> None:
    """Make the directory where new files of `directory` wait, ignored by git from its first file on."""
    room = directory / WAITING
    with suppress(FileExistsError):
        room.mkdir(mode=0o700)
    if not _is_room(room):
        raise ConflictError(f"{room} is in the way: new files wait in a directory of this name; move it away first")
    with suppress(FileExistsError):
        descriptor = os.open(room / _IGNORE, _CREATE, 0o600)
        with os.fdopen(descriptor, "w") as ignore:
            ignore.write("*\n")


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

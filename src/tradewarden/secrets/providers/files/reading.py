"""Reading files of a directory that others cannot have written."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from tradewarden.errors import ConfigurationError, ProviderRefusedError, ProviderUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.errors import TradewardenError

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


def read_trusted(path: str, most: int, *, whole: bool = True) -> bytes | None:
    """Return what a file holds, `most` bytes at most; None when there is none.

    Refuses (`ConfigurationError`) a link, what is no regular file, and what another user owns or may write. A longer
    file is refused, too, unless only its beginning is asked for (not `whole`).
    """
    try:
        descriptor = os.open(path, _READ)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise _unopened(path, error) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigurationError(f"{path} is not a regular file; move it away")
        refuse_foreign(path, found)
        if whole and found.st_size > most:
            raise ConfigurationError(f"{path} is larger than the {most} bytes that a secret's file may have")
        return _content(descriptor, most)
    except OSError as error:
        raise ProviderUnavailableError(f"{path} cannot be read ({error.strerror})") from error
    finally:
        os.close(descriptor)


def trusted_directory(path: Path) -> bool:
    """Tell whether the directory is there; refuses (`ConfigurationError`) one that others could have changed."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ProviderRefusedError(f"{path} cannot be looked at ({error.strerror}); look at its mode") from error
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(f"{path} is a link or not a directory; name the directory itself")
    refuse_foreign(str(path), found)
    return True


def refuse_foreign(path: str, found: os.stat_result) -> None:
    """Raise `ConfigurationError` for what another user (but root) owns or may write."""
    if found.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(f"{path} belongs to user {found.st_uid}; run: chown {os.geteuid()} {path}")
    if found.st_mode & _OTHERS_WRITE:
        raise ConfigurationError(f"{path} can be written by other users; run: chmod go-w {path}")


def _content(descriptor: int, most: int) -> bytes:
    content = os.read(descriptor, most)
    while len(content) < most and (piece := os.read(descriptor, most - len(content))):
        content += piece
    return content


def _unopened(path: str, error: OSError) -> TradewardenError:
    if error.errno == errno.ELOOP:
        return ConfigurationError(f"{path} is a symbolic link; a secret's file is a file itself")
    if isinstance(error, PermissionError):
        return ProviderRefusedError(f"{path} cannot be read ({error.strerror}); look at its owner and mode")
    return ProviderUnavailableError(f"{path} cannot be read ({error.strerror})")

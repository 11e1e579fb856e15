"""Whose turn it is to write, among the threads and processes of one host: an `flock` on the directory itself."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tradewarden.errors import ConfigurationError, ProviderUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS: Final = 10.0
_PAUSE: Final = 0.005


@contextmanager
def locked(directory: Path, seconds: float = SECONDS) -> Iterator[None]:
    """Hold the directory's lock, having waited up to `seconds` for it; no file is made for it.

    Raises `ProviderUnavailableError` when another writer keeps it. The kernel frees the lock of a process that dies.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(f"{directory} cannot be used as a directory ({error.strerror})") from error
    try:
        _take(descriptor, directory, time.monotonic() + seconds)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, directory: Path, end: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise ProviderUnavailableError(
                    f"{directory} is locked by another writer; look for a process that hangs, and try again"
                ) from None
            time.sleep(_PAUSE)
        except OSError as error:
            raise ProviderUnavailableError(f"{directory} cannot be locked ({error.strerror})") from error
        else:
            return

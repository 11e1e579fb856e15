"""Whose turn it is to write, among the processes of one host: an `flock` beside the database.

SQLite's own busy-waiting sleeps and polls, so that one of several writers starves; here they sleep
until the kernel wakes them. It frees the lock of a process that dies.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class WriteLock:
    """The write lock of one database file (`NAME.lock`); for one thread at a time."""

    __slots__ = ("_file",)

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(path.with_suffix(".lock"), flags, 0o600)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock, having waited for it."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

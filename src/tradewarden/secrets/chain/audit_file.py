"""Audit entries of a library that has no service: one JSON object a line, appended to a file.

Always true here: an entry is in the file before the answer that it tells of leaves; a line is written by one `write`
to a file that is open for appending, so that the lines of several processes do not mix; the file is the owner's alone.
It is not tamper-evident: whoever may write the file may change it. Where that matters, run the service.
"""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tradewarden.audit.entry import encode
from tradewarden.errors import AuditUnavailableError
from tradewarden.secrets.chain.forking import renewed_after_fork

if TYPE_CHECKING:
    from tradewarden.secrets.chain.access import Access

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class AuditFile:
    """Appends one entry (contract of AlphaPulse) for every access that ended a call.

    `user` is `local:<uid>`. The file is opened anew for each entry, so it may be moved away at any time. With `sync`
    an entry is on the disk (fdatasync) before its answer leaves; without, it survives the process and not the power.
    """

    def __init__(self, path: Path | str, *, sync: bool = False) -> None:
        self.path = Path(path)
        self._sync = sync
        self._user = f"local:{os.getuid()}"
        self._torn = False
        self._lock = threading.Lock()
        renewed_after_fork(self)

    def ready(self) -> None:
        """Raise `AuditUnavailableError` when the file cannot be opened for writing."""
        try:
            os.close(self._open())
        except OSError as error:
            raise self._unavailable(error) from None

    def record(self, access: Access) -> None:
        """Append the entry; raises `AuditUnavailableError`."""
        if not access.final:
            return
        line = encode(access.event(self._user)) + b"\n"
        try:
            with self._lock:
                self._append(line)
        except OSError as error:
            raise self._unavailable(error) from None

    def _append(self, line: bytes) -> None:
        descriptor = self._open()
        try:
            if self._torn:
                line = b"\n" + line  # half a line was left by a full disk; it must not swallow this one
            written = os.write(descriptor, line)
            self._torn = written < len(line)
            if self._torn:
                raise OSError(0, f"{written} of {len(line)} bytes were written")
            if self._sync:
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        descriptor = os.open(self.path, _FLAGS, 0o600)
        try:
            _make_private(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _unavailable(self, error: OSError) -> AuditUnavailableError:
        return AuditUnavailableError(f"The audit file {self.path} cannot be written: {error.strerror}")

    def close(self) -> None:
        """Do nothing: every entry is written when it is recorded."""

    def after_fork(self) -> None:
        """Begin anew in a child process."""
        self._lock = threading.Lock()


def _make_private(descriptor: int) -> None:
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise OSError(0, "it is not a regular file")
    if stat.S_IMODE(mode) & 0o077:
        os.fchmod(descriptor, 0o600)

"""Contents of files as git keeps them, one after the other from one process."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from tradewarden.errors import UnavailableError
from tradewarden.migrate.walk import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tradewarden.migrate.git import Repository

_PIECE = 1024 * 1024


class Objects:
    """Reads objects by their names."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers

    def content(self, name: str) -> bytes | None:
        """Return a file's content; None when it is missing, no file, or larger than what is read at all."""
        self._requests.write(name.encode() + b"\n")
        self._requests.flush()
        head = self._answers.readline().split()
        if not head:
            raise UnavailableError("git stopped while its objects were read")
        if len(head) != 3:  # noqa: PLR2004 - name, kind, size; a missing object has two words
            return None
        size = int(head[2])
        content = self._read(size)
        return content if head[1] == b"blob" else None

    def _read(self, size: int) -> bytes | None:
        if size <= MAX_BYTES:
            return self._answers.read(size + 1)[:-1]
        left = size + 1
        while left > 0:
            left -= len(self._answers.read(min(left, _PIECE))) or left
        return None


@contextmanager
def objects(git: Repository) -> Iterator[Objects]:
    """Open the objects of a repository for reading."""
    process = git.stream("cat-file", "--batch")
    if process.stdin is None or process.stdout is None:
        raise UnavailableError("git cannot be talked to")
    try:
        yield Objects(process.stdin, process.stdout)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()

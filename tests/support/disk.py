"""A small file system of its own for a test, that can be filled, frozen and broken. Needs root and loop devices."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MEGABYTE = 1 << 20
SIZE = 64 * MEGABYTE


class Disk:
    """An ext4 file system in an image file, mounted at `path`."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "security"
        self._image = directory / "disk.img"
        self._filler = self.path / "filler"

    def make(self) -> None:
        """Make and mount it."""
        with self._image.open("wb") as image:
            image.truncate(SIZE)
        _run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,root_owner=0:0", str(self._image))
        self.path.mkdir(mode=0o700)
        self.mount()
        self.path.chmod(0o700)
        (self.path / "lost+found").rmdir()

    def mount(self) -> None:
        """Mount it; as after a repair of the disk."""
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def unmount(self) -> None:
        """Take it away; whoever has files open there keeps them."""
        _run("umount", "-l", str(self.path))

    @property
    def free(self) -> int:
        """How many bytes can still be written."""
        now = os.statvfs(self.path)
        return now.f_bavail * now.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Take all room but `leave` bytes."""
        with self._filler.open("ab", buffering=0) as filler:
            try:
                while (room := self.free - leave) >= 4096:
                    os.posix_fallocate(filler.fileno(), filler.seek(0, os.SEEK_END), min(room, 4 * MEGABYTE))
            except OSError:
                pass  # it is full
            while not leave:
                try:
                    filler.write(b"\0" * 1024)
                except OSError:
                    return

    def free_up(self) -> None:
        """Give the room back."""
        self._filler.unlink()

    def freeze(self) -> None:
        """Let nobody write any more, not even into open files.

        SQLite's shared-memory index is left out: the kernel answers a write to an immutable mapping with SIGBUS, which
        a read-only disk does not.
        """
        _run("chattr", "-R", "+i", str(self.path))
        _run("chattr", "-i", *map(str, self.path.rglob("*-shm")))

    def thaw(self) -> None:
        """Let everybody write again."""
        _run("chattr", "-R", "-i", str(self.path))

    def abort(self) -> None:
        """Make the kernel take the file system for damaged: it is read-only from now on, until it is mounted again."""
        _run("mount", "-o", "remount,abort", str(self.path))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk for one test; without the right to mount one it is skipped, and in CI that is a failure."""
    made = Disk(tmp_path)
    try:
        made.make()
    except (OSError, subprocess.CalledProcessError) as error:
        why = f"cannot mount a file system here (root and loop devices are needed): {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    yield made
    subprocess.run(["umount", "-l", made.path], check=False, capture_output=True)

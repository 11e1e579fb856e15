"""The journals of a directory, as files: which there are, and how one is taken out of the way."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from tradewarden.audit.journal import SUFFIX, UNFINISHED_SUFFIX

if TYPE_CHECKING:
    from pathlib import Path

DAMAGED_SUFFIX = ".damaged"
_UNFINISHED_SECONDS = 60


def journals(directory: Path) -> list[Path]:
    """Return the directory's journals, each boot's in the order of its segments."""
    return sorted(directory.glob(f"*{SUFFIX}")) if directory.is_dir() else []


def has_journal(directory: Path, boot: str) -> bool:
    """Tell whether any segment of this boot's journal is there."""
    return any(path.name.startswith(f"{boot}-") for path in directory.glob(f"*{SUFFIX}"))


def sizes_of(directory: Path) -> dict[str, int]:
    """Return the size of each journal by name."""
    sizes: dict[str, int] = {}
    for path in directory.glob(f"*{SUFFIX}"):
        with suppress(OSError):  # a shipper has removed it meanwhile
            sizes[path.name] = path.lstat().st_size
    return sizes


def stands(path: Path) -> bool:
    """Tell whether there is anything of this name, be it a link that leads nowhere."""
    return os.path.lexists(path)


def put_aside(path: Path) -> None:
    """Rename what is no sound journal to `*.damaged`, beside those that are there already."""
    target = path.with_suffix(DAMAGED_SUFFIX)
    number = 1
    while stands(target):
        target = path.with_suffix(f".{number}{DAMAGED_SUFFIX}")
        number += 1
    with suppress(FileNotFoundError):  # another shipper was faster
        path.rename(target)


def remove_unfinished(directory: Path, now: float) -> None:
    """Remove files whose process died between making and naming them; they hold no entry."""
    for path in directory.glob(f"*{UNFINISHED_SUFFIX}"):
        with suppress(FileNotFoundError):  # it has its name by now, or another shipper has removed it
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and now - status.st_mtime > _UNFINISHED_SECONDS:
                _unlink_if_unlocked(path)


def _unlink_if_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)

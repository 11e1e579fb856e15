"""Whether requests can be answered now: one look at the disk and the database, and the reasons when they cannot."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

FULL_BYTES = 1 << 20
"""With less than this free, a write may fail at any time."""


class Readiness(msgspec.Struct, frozen=True):
    """What works, why not where it does not, and what will not for long."""

    storage: bool
    audit: bool
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    vault: bool = True
    """False while the Vault that the secrets are in cannot be used."""


def disk_reasons(directory: Path) -> list[str]:
    """Return why files below `directory` cannot be written, in words; empty when they can."""
    try:
        disk = os.statvfs(directory)
    except OSError as error:
        return [f"disk: {directory} cannot be looked at ({error.strerror})"]
    if disk.f_flag & os.ST_RDONLY:
        return [f"disk: {directory} is on a read-only file system"]
    if disk.f_bavail * disk.f_frsize < FULL_BYTES:
        return [f"disk: the file system of {directory} is full"]
    probe = directory / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(b"\0" * 4096)
        probe.unlink()
    except OSError as error:
        return [f"disk: {directory} cannot be written ({error.strerror})"]
    return []

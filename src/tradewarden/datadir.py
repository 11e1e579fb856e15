"""What stands in the data directory, and whether it may be started on. Pure but for one look at the directory.

Always true here: files that belong to a database are never taken for a first start (decision 6), and nothing is ever
made anew over data.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from tradewarden.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

_REMAINS = ("root.key", "admin.token", "ca/*.pem", "audit/*.journal", "audit/checkpoint")


class Stage(StrEnum):
    """How far a data directory is."""

    FRESH = "fresh"
    INITIALISED = "initialised"


def stage(data_dir: Path, database: Path) -> Stage:
    """Tell how far the directory is; raises `ConfigurationError` when files stand there without their database."""
    if database.exists():
        return Stage.INITIALISED
    remains = sorted(str(path) for pattern in _REMAINS for path in data_dir.glob(pattern))
    if remains:
        raise ConfigurationError(
            f"{database} is missing, but {', '.join(remains)} of an earlier installation stand there. Restore the "
            f"database from a backup, or move {data_dir} away to begin anew; nothing was changed"
        )
    return Stage.FRESH


def require_init(data_dir: Path, database: Path, *, development: bool) -> Stage:
    """As `stage`, but a fresh directory outside development is refused: its first start is `tradewarden init`."""
    found = stage(data_dir, database)
    if found is Stage.FRESH and not development:
        raise ConfigurationError(
            f"{data_dir} holds no Tradewarden data. Outside development the first start is explicit: run "
            "'tradewarden init' with the same settings, or point TRADEWARDEN_DATA_DIR at the data you mean"
        )
    return found


def require_data(data_dir: Path, database: Path) -> None:
    """Raise `ConfigurationError` when the directory is fresh, or as `stage` does."""
    if stage(data_dir, database) is Stage.FRESH:
        raise ConfigurationError(f"{data_dir} holds no Tradewarden data; run 'tradewarden init' first")

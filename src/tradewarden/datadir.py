"""What stands in the data directory, and whether it may be started on. It looks, and writes nothing.

Always true here: a directory is initialised once a first start was completed on it, and fresh or begun before; what was
begun is gone on with, under its own keys. Files or rows that only an installation has are never taken for a first start
(decision 6), and nothing is ever made anew over data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tradewarden.errors import ConfigurationError
from tradewarden.storage.beginning import Stage, reached

if TYPE_CHECKING:
    from pathlib import Path

_REMAINS: Final = (
    (Stage.KEYED, ("root.key", "audit/*.journal")),
    (Stage.FOUNDED, ("ca/*.pem",)),
    (Stage.INITIALISED, ("admin.token", "audit/checkpoint")),
)
"""Files, by the step of a first start whose rows are committed before such a file is made."""


def stage(data_dir: Path, database: Path) -> Stage:
    """Tell how far the directory is; raises `ConfigurationError` when files stand there without their rows."""
    # Files first: their rows were committed before them, also by a first start that another process makes meanwhile.
    remains = [(step, path) for step, patterns in _REMAINS for each in patterns for path in data_dir.glob(each)]
    found = reached(database)
    orphans = sorted(str(path) for step, path in remains if step > found)
    if orphans:
        state = "lacks what belongs to them" if database.exists() else "is missing"
        raise ConfigurationError(
            f"{database} {state}, but {', '.join(orphans)} of an earlier installation stand there. Restore the "
            f"database from a backup, or move {data_dir} away to begin anew; nothing was changed"
        )
    return found


def require_init(data_dir: Path, database: Path, *, development: bool) -> Stage:
    """As `stage`, but what is not initialised is refused outside development: its first start is `tradewarden init`."""
    found = stage(data_dir, database)
    if found is Stage.INITIALISED or development:
        return found
    if found is Stage.FRESH:
        raise ConfigurationError(
            f"{data_dir} holds no Tradewarden data. Outside development the first start is explicit: run "
            "'tradewarden init' with the same settings, or point TRADEWARDEN_DATA_DIR at the data you mean"
        )
    raise ConfigurationError(
        f"The first start on {data_dir} was cut off; run 'tradewarden init' again with the same root key to finish it"
    )


def require_data(data_dir: Path, database: Path) -> None:
    """Raise `ConfigurationError` when no first start was completed on the directory, or as `stage` does."""
    if stage(data_dir, database) is not Stage.INITIALISED:
        raise ConfigurationError(
            f"{data_dir} holds no Tradewarden data; run 'tradewarden init' first, or set TRADEWARDEN_DATA_DIR"
        )

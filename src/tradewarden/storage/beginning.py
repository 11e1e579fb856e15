"""How far the first start of a database came, read before anything is written.

A first start commits in this order: keys, signing key, CAs, their lists, admin token. So rows say how far it came, and
what only a running installation writes says that it was completed, whatever else is missing by now.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_MIGRATED: Final = frozenset({"schema_version", "revisions", "audit_leader", "audit_tree"})
"""What migrations put rows into."""
_KEYS: Final = frozenset({"root_keys", "purpose_keys", "key_budgets", "signing_keys", "audit_inbox"})
_CAS: Final = _KEYS | {"authorities", "crls"}
_TABLES: Final = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
# A counter that moved, and a log with numbers, outlive the rows that they were for.
_RAN: Final = (
    "SELECT EXISTS (SELECT 1 FROM revisions WHERE kind IN ('services', 'certificates') AND value > 1)"
    " OR EXISTS (SELECT 1 FROM audit_leader WHERE epoch > 0) OR EXISTS (SELECT 1 FROM audit_tree WHERE size > 0)"
)
_HAD_CAS: Final = "SELECT EXISTS (SELECT 1 FROM revisions WHERE kind = 'authorities' AND value > 1)"


class Stage(IntEnum):
    """How far a first start came; each step says that those before it were committed."""

    FRESH = 0
    """There is no file, or nothing in it but what migrations write."""
    KEYED = 1
    """The first start was cut off after it had made the keys."""
    FOUNDED = 2
    """It was cut off after it had made the CAs, too."""
    INITIALISED = 3
    """It was completed."""


def reached(path: Path) -> Stage:
    """Tell how far a database file came; one that cannot be read counts as initialised, so that opening it says why."""
    if not path.exists():
        return Stage.FRESH
    try:
        # Opened for writing, though nothing is written: only so does SQLite take the files beside it away again.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)) as reader:
            reader.execute("PRAGMA query_only=ON")
            reader.execute("BEGIN")  # everything as of one moment
            return _reached(reader)
    except sqlite3.Error:
        return Stage.INITIALISED


def _reached(reader: sqlite3.Connection) -> Stage:
    tables = {str(name) for (name,) in reader.execute(_TABLES)}
    filled = {name for name in tables - _MIGRATED if _asked(reader, f'SELECT EXISTS (SELECT 1 FROM "{name}")')}  # noqa: S608
    whole = tables >= _MIGRATED  # else the migrations themselves were cut off
    if filled - _CAS or (whole and _asked(reader, _RAN)):
        return Stage.INITIALISED
    if not filled:
        return Stage.INITIALISED if whole and _asked(reader, _HAD_CAS) else Stage.FRESH
    if "root_keys" not in filled:
        return Stage.INITIALISED
    if "authorities" in filled:
        return Stage.FOUNDED
    return Stage.INITIALISED if "crls" in filled or _asked(reader, _HAD_CAS) else Stage.KEYED


def _asked(reader: sqlite3.Connection, question: str) -> bool:
    return bool(reader.execute(question).fetchone()[0])

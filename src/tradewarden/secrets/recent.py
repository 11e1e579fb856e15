"""Rows that were read and verified a moment ago, for as long as nobody has committed anything since.

Always true here: what is kept is encrypted as it is stored, small and bounded in number, and one commit of anybody, in
any process, forgets all of it. So a hit gives what a look at the database would give.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tradewarden.secrets.store import SecretVersion

MAX_ROWS: Final = 1024
MAX_ENVELOPE_BYTES: Final = 4096


class Readable(NamedTuple):
    """A version that may be read, and its envelope."""

    row: SecretVersion
    envelope: bytes


class Recent:
    """Readable versions by path and asked-for version, as of one mark of the store."""

    __slots__ = ("_mark", "_rows")

    def __init__(self) -> None:
        self._mark = -1
        self._rows: dict[tuple[str, int | None], Readable] = {}

    def find(self, mark: int, path: str, version: int | None) -> Readable | None:
        """Return what was kept under this very mark."""
        return self._rows.get((path, version)) if mark == self._mark else None

    def keep(self, mark: int, path: str, version: int | None, found: Readable) -> None:
        """Keep what was read after `mark` was taken."""
        if mark != self._mark or len(self._rows) >= MAX_ROWS:
            self._rows.clear()
            self._mark = mark
        if len(found.envelope) <= MAX_ENVELOPE_BYTES:
            self._rows[path, version] = found

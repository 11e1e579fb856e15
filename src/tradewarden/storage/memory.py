"""The in-memory database: the audit inbox and the revisions that every in-memory store shares.

A change is atomic there because it never suspends: a store runs `decide` first and writes only
after that returned, all in one step of the event loop. Nothing outlives the process. For tests and
for a library without a data directory.
"""

from __future__ import annotations

from msgspec.structs import replace

from tradewarden.storage.database import Revisions


class MemoryDatabase:
    """What one set of in-memory stores has in common.

    `inbox` holds the audit entries of all changes, oldest first.
    """

    __slots__ = ("_commits", "_revisions", "inbox")

    def __init__(self) -> None:
        self.inbox: list[bytes] = []
        self._commits = 0
        self._revisions = Revisions(tokens=1, certificates=1, services=1, keys=1, authorities=1)

    async def mark(self) -> int:
        """Return what stays the same for as long as nothing is recorded."""
        return self._commits

    async def revisions(self) -> Revisions:
        """Return the revisions as of now."""
        return self._revisions

    def record(self, entry: bytes) -> None:
        """Put the audit entry of a change into the inbox."""
        self.inbox.append(entry)
        self._commits += 1

    def bump(self, *kinds: str) -> None:
        """Move the revision of each kind; raises `AttributeError` for an unknown kind."""
        moved = {kind: getattr(self._revisions, kind) + 1 for kind in kinds}
        self._revisions = replace(self._revisions, **moved)

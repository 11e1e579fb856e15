"""Keys in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.keys.store import KeyState, applied

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.keys.store import KeyChange
    from tradewarden.storage.memory import MemoryDatabase


class MemoryKeyStore:
    """A `KeyStore` over a `MemoryDatabase`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._state = KeyState()

    async def load(self) -> KeyState:
        """Return everything, as of one moment."""
        return self._state

    async def change(self, decide: Callable[[KeyState], KeyChange]) -> KeyState:
        """Decide and write in one transaction."""
        change = decide(self._state)
        self._state = applied(self._state, change)
        if change.entry:
            self._database.record(change.entry)
        if change.bump:
            self._database.bump("keys")
        return self._state

"""What keys there are, for people: a view of the stored rows that holds no key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.keys.store import State

if TYPE_CHECKING:
    from tradewarden.keys.store import KeyState

ROOT: Final = "root"
"""What the root key is called as a resource and in the inventory."""
_ROOT_ALGORITHM: Final = "HKDF-SHA256, AES-256-GCM"
_PURPOSE_ALGORITHM: Final = "HKDF-SHA256, AES-256-GCM, HMAC-SHA256"


class KeyInfo(msgspec.Struct, frozen=True):
    """One line of the inventory: what a key is, since when (seconds since the epoch), and how many messages it had.

    `messages` counts what processes leased to encrypt, so it is never less than what was encrypted.
    """

    purpose: str
    version: int
    created_at: float
    state: str
    algorithm: str
    messages: int = 0


def inventory(state: KeyState) -> list[KeyInfo]:
    """Return a line for the root key, then one for each purpose key version."""
    leased = {(row.purpose, row.version): row.leased for row in state.budgets}
    lines = []
    if state.root is not None:
        root = state.root
        lines.append(KeyInfo(ROOT, root.generation, root.created_at, State.CURRENT.value, _ROOT_ALGORITHM))
    for row in state.keys:
        messages = leased.get((row.purpose, row.version), 0)
        lines.append(KeyInfo(row.purpose, row.version, row.created_at, row.state, _PURPOSE_ALGORITHM, messages))
    return lines

"""How stored rotations are protected: rows are sealed, values encrypted, each bound to its place (decision 10).

Always true here: nothing of a stored row is believed before its seal was checked and it was found where it belongs; a
value opens only as what it was stored as, in its own run of its own path.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tradewarden.crypto.place import place
from tradewarden.errors import IntegrityError
from tradewarden.keys.purpose import Purpose
from tradewarden.secrets.rotation.store import Change, PolicyRow, RunRow, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.keys.port import Keys

T = TypeVar("T")
R = TypeVar("R", PolicyRow, RunRow)
PENDING, SUPPLIED = "pending", "supplied"
_decode = msgspec.json.Decoder(dict[str, object]).decode


class Sealed:
    """The rotation room's keys in use."""

    __slots__ = ("_cipher", "_keys", "_sealer")

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._cipher = keys.cipher(Purpose.SECRETS)
        self._sealer = keys.sealer(Purpose.SECRETS)

    def checked(self, state: State, path: str) -> State:
        """Return the state when all of it verifies and is this path's; raises `IntegrityError`."""
        for row in (state.policy, state.run):
            if row is None:
                continue
            self._sealer.check(row)
            if row.path != path:
                raise IntegrityError(
                    f"A row of table {row.table} was moved outside Tradewarden and is refused; restore a backup",
                    reason=f"a {row.table} row is not where it was sealed for",
                )
        return state

    def change(self, before: State, after: State, answer: T, draft: Callable[..., bytes]) -> Change[T]:
        """Seal what was decided, and draft its entry over the digests of what it writes and of what it takes away."""
        policy, run = self._resealed(before.policy, after.policy), self._resealed(before.run, after.run)
        pairs = ((before.policy, policy), (before.run, run))
        touched = [old if new is None else new for old, new in pairs if new is not old]
        digests = [sha256(row.seal).hexdigest() for row in touched if row is not None]
        return Change(State(policy, run), answer, draft(*digests))

    def _resealed(self, before: R | None, after: R | None) -> R | None:
        return after if after is None or after is before else self._sealer.seal(after)

    async def encrypt(self, run: RunRow, what: str, value: bytes) -> bytes:
        """Return the envelope of a run's value (`PENDING` or `SUPPLIED`), JSON."""
        await self._keys.reserve(Purpose.SECRETS)
        return self._cipher.encrypt(value, _place(run, what))

    def open(self, run: RunRow, what: str) -> dict[str, object] | None:
        """Return a run's value, None when it has none; raises `DecryptionError`."""
        envelope = run.pending if what == PENDING else run.supplied
        return _decode(self._cipher.decrypt(envelope, _place(run, what))) if envelope else None


def _place(run: RunRow, what: str) -> bytes:
    return place(Purpose.SECRETS.value, run.table, what, run.path, run.id)

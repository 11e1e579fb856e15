"""How stored secrets are protected: rows are sealed, values encrypted, each bound to its place.

Always true here: nothing of a stored row is believed before its seal was checked and it was found
where it belongs; a value opens only at its own path, incarnation and version.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

from tradewarden.crypto.place import place
from tradewarden.errors import IntegrityError
from tradewarden.keys.purpose import Purpose
from tradewarden.secrets.store import SecretChange, SecretHead, SecretState, SecretVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tradewarden.keys.port import Keys
    from tradewarden.secrets.rules import Step

T = TypeVar("T")
_PURPOSE = Purpose.SECRETS.value
_NOTHING: Mapping[int, bytes] = {}


class Protection:
    """The secrets room's keys in use."""

    __slots__ = ("_keys", "cipher", "sealer")

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.cipher = keys.cipher(Purpose.SECRETS)
        self.sealer = keys.sealer(Purpose.SECRETS)

    async def reserve(self) -> None:
        """Make sure that one value can be encrypted."""
        await self._keys.reserve(Purpose.SECRETS)

    def head(self, head: SecretHead, path: str) -> SecretHead:
        """Return the head when it verifies and is this path's; raises `IntegrityError`."""
        self.sealer.check(head)
        if head.path != path:
            raise _misplaced(head.table)
        return head

    def version(self, head: SecretHead, row: SecretVersion, version: int) -> SecretVersion:
        """Return a version's row when it verifies and is this head's; raises `IntegrityError`."""
        self.sealer.check(row)
        belongs = row.version == version and row.incarnation == head.incarnation
        if not belongs or row.path != head.path:
            raise _misplaced(row.table)
        return row

    def state(self, state: SecretState | None, path: str) -> SecretState | None:
        """Return a state when all of it verifies; raises `IntegrityError`."""
        if state is not None:
            self.head(state.head, path)
            for version, row in state.versions.items():
                self.version(state.head, row, version)
        return state

    def encrypt(self, row: SecretVersion, value: bytes) -> bytes:
        """Return the envelope of a version's value."""
        return self.cipher.encrypt(value, _place(row))

    def decrypt(self, row: SecretVersion, envelope: bytes) -> bytes:
        """Open a version's value; raises `DecryptionError`."""
        return self.cipher.decrypt(envelope, _place(row))

    def change(
        self,
        step: Step,
        answer: T,
        draft: Callable[..., bytes],
        values: Mapping[int, bytes] = _NOTHING,
    ) -> SecretChange[T]:
        """Seal what was decided, and draft its entry over the digests of the sealed rows."""
        head = self.sealer.seal(step.head)
        rows = [self.sealer.seal(row) for row in step.rows]
        seals = (head.seal, *[row.seal for row in rows])
        entry = draft(*[sha256(seal).hexdigest() for seal in seals])
        return SecretChange(head, answer, entry, rows, values, step.drop_below)


def _place(row: SecretVersion) -> bytes:
    return place(_PURPOSE, row.table, row.path, row.incarnation, row.version)


def _misplaced(table: str) -> IntegrityError:
    return IntegrityError(
        f"A row of table {table} was moved outside Tradewarden and is refused; restore it from a backup",
        reason=f"a {table} row is not where it was sealed for",
    )

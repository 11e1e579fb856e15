"""What the rooms above ask of the keyring; `tradewarden.keys.keyring.Keyring` is it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tradewarden.crypto.keyset import Cipher, Mac, Sealer
    from tradewarden.keys.purpose import Purpose


class Keys(Protocol):
    """Keys ready for use, by purpose. The returned objects follow rotations by themselves."""

    def cipher(self, purpose: Purpose) -> Cipher:
        """Return the cipher of a purpose (its `value` use)."""
        ...

    def sealer(self, purpose: Purpose) -> Sealer:
        """Return the row sealer of a purpose (its `row` use)."""
        ...

    def mac(self, purpose: Purpose, label: str) -> Mac:
        """Return a keyed hash that stays the same through rotations (derived from version 1)."""
        ...

    def derive(self, purpose: Purpose, label: str) -> bytes:
        """Return 32 bytes that stay the same through rotations (derived from version 1) for a key file or a signer."""
        ...

    async def reserve(self, purpose: Purpose, messages: int = 1) -> None:
        """Make sure that `messages` encryptions are in the budget; leases more from storage when they are not."""
        ...

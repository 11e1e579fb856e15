"""The root key: wraps purpose keys, seals the rows that hold them, and can be recognised. It does nothing else.

Always true here: the key's own bytes are forgotten once the three keys for these uses are derived from it.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from tradewarden.crypto.aead import NONCE_BYTES, AeadKey
from tradewarden.crypto.kdf import KEY_BYTES, hkdf
from tradewarden.crypto.keyset import Sealer
from tradewarden.crypto.place import place
from tradewarden.errors import ConfigurationError

if TYPE_CHECKING:
    from tradewarden.clock import Randomness

_WRAP_FORMAT: Final = 1


class Stretching(msgspec.Struct, frozen=True):
    """What a source needs besides itself to bring the root key again; stands in the root record.

    Of a passphrase: Argon2id salt and parameters (RFC 9106). Of a token: `salt` is the root key as the token encrypted
    it, and the rest is 0. All empty for a key that is kept as it is.
    """

    salt: bytes = b""
    iterations: int = 0
    lanes: int = 0
    memory_cost: int = 0


class RootKey:
    """A root key in use."""

    __slots__ = ("_seal", "_wrap", "check_value")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigurationError(f"A root key has {KEY_BYTES} bytes")
        self.check_value = hkdf(key, "tradewarden/root/check")
        self._seal = hkdf(key, "tradewarden/root/seal")
        self._wrap = AeadKey(hkdf(key, "tradewarden/root/wrap"), _WRAP_FORMAT)

    def __repr__(self) -> str:
        return "RootKey(…)"

    def matches(self, check_value: bytes) -> bool:
        """Tell whether stored data that carries this check value was written under this root key."""
        return hmac.compare_digest(self.check_value, check_value)

    def wrap(self, purpose: str, version: int, key: bytes, randomness: Randomness) -> bytes:
        """Return the purpose key encrypted, bound to its purpose and version."""
        return self._wrap.encrypt(key, place("root", purpose, version), randomness(NONCE_BYTES))

    def unwrap(self, purpose: str, version: int, wrapped: bytes) -> bytes:
        """Return the purpose key; raises `DecryptionError` when it was wrapped elsewhere or for something else."""
        return self._wrap.decrypt(wrapped, place("root", purpose, version))

    def sealer(self, generation: int) -> Sealer:
        """Return the sealer of the rows that hold this root's record and the keys it wraps."""
        sealer = Sealer()
        sealer.install({generation: self._seal}, generation)
        return sealer


class RootSource(Protocol):
    """Where a root key comes from. The methods may block (files, Argon2id): call them on a thread of their own."""

    @property
    def name(self) -> str:
        """What to call it in messages: a file's path, a variable's name."""
        ...

    @property
    def uri(self) -> str:
        """What names it, wherever a process stands: a path in it is absolute."""
        ...

    def look(self, check_value: bytes, stretching: Stretching) -> RootKey:
        """Return the root key for data that carries this check value, as far as this source has one; writes nothing.

        The caller compares; raises `ConfigurationError` when the source holds no usable key at all, `UnavailableError`
        when it cannot be reached now.
        """
        ...

    def examine(self) -> None:
        """Raise, before a first start, what can be told of what `prepare` would raise in it; writes nothing."""
        ...

    def open(self, check_value: bytes, stretching: Stretching) -> RootKey:
        """Do what `look` does, and finish what a crash has cut off. For a source that the operator named."""
        ...

    def prepare(self, randomness: Randomness, replaces: bytes | None) -> tuple[RootKey, Stretching]:
        """Return a root key that is about to be used, made if this source makes its own.

        `replaces` is the check value of the root key it will take over from; None on a first start.
        """
        ...

    def settle(self, root: RootKey) -> None:
        """Note that storage has been written under `root` and this durably."""
        ...

    def discard(self, root: RootKey) -> None:
        """Note that nothing was and nothing will be written under `root`."""
        ...

"""Versioned keys in use: the newest one writes, every one reads.

A `Cipher` and a `Sealer` are what rooms hold. They stay the same objects through a rotation: `tradewarden.keys`
installs the new version into them, so nobody above has to ask for them again.
"""

from __future__ import annotations

import hmac
import struct
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

import msgspec

from tradewarden.clock import Randomness, system_randomness
from tradewarden.crypto.aead import NONCE_BYTES, AeadKey, key_version
from tradewarden.crypto.place import place
from tradewarden.errors import DecryptionError, IntegrityError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = struct.Struct(">I")


class Cipher:
    """Encrypts under the current key version and decrypts under any installed one.

    Each encryption spends one message of the budget that `grant_budget` added (decision: AES-GCM with random nonces
    stays far below 2^32 messages a key); without budget it raises `UnavailableError` and writes nothing.
    """

    __slots__ = ("_current", "_keys", "_randomness", "budget")

    def __init__(self, randomness: Randomness = system_randomness) -> None:
        self._keys: dict[int, AeadKey] = {}
        self._current: AeadKey | None = None
        self._randomness = randomness
        self.budget = 0

    def install(self, keys: Mapping[int, bytes], current: int) -> None:
        """Replace the installed versions; a new current version starts without budget."""
        if self._current is None or self._current.version != current:
            self.budget = 0
        self._keys = {version: AeadKey(key, version) for version, key in keys.items()}
        self._current = self._keys[current]

    @property
    def current(self) -> int:
        """The version that new envelopes are written under; 0 before the first is installed."""
        return self._current.version if self._current else 0

    def encrypt(self, plaintext: bytes, associated: bytes) -> bytes:
        """Return an envelope of `plaintext` under the current version, bound to `associated`."""
        if self._current is None or self.budget <= 0:
            raise UnavailableError("No encryption key is ready; try again", reason="message budget is spent")
        self.budget -= 1
        return self._current.encrypt(plaintext, associated, self._randomness(NONCE_BYTES))

    def decrypt(self, envelope: bytes, associated: bytes) -> bytes:
        """Open an envelope of any installed version; raises `DecryptionError`."""
        key = self._keys.get(key_version(envelope))
        if key is None:
            raise DecryptionError(reason="key version is not installed")
        return key.decrypt(envelope, associated)


class Record(Protocol):
    """A stored row: a frozen `msgspec.Struct` that names its table and ends in a `seal`."""

    table: ClassVar[str]
    seal: bytes


R = TypeVar("R", bound=msgspec.Struct)


class Sealer:
    """Seals whole rows: HMAC-SHA256 (RFC 2104) over table name and all columns, `key version | mac`.

    Who can only write to the database can neither forge a row nor move one.
    """

    __slots__ = ("_current", "_keys")

    def __init__(self) -> None:
        self._keys: dict[int, bytes] = {}
        self._current = 0

    def install(self, keys: Mapping[int, bytes], current: int) -> None:
        """Replace the installed versions."""
        self._keys, self._current = dict(keys), current

    @property
    def current(self) -> int:
        """The version that new seals are made under; 0 before the first is installed."""
        return self._current

    def seal(self, record: R) -> R:
        """Return the record with its seal filled in."""
        mac = self._mac(self._keys[self._current], record)
        return msgspec.structs.replace(record, seal=_VERSION.pack(self._current) + mac)

    def check(self, record: R) -> R:
        """Return the record as it is when its seal holds; raises `IntegrityError` naming the table, never values."""
        seal: bytes = record.seal  # type: ignore[attr-defined]
        key = self._keys.get(_VERSION.unpack_from(seal)[0]) if len(seal) > _VERSION.size else None
        if key is None or not hmac.compare_digest(seal[_VERSION.size :], self._mac(key, record)):
            table: str = record.table  # type: ignore[attr-defined]
            raise IntegrityError(
                f"A row of table {table} was changed outside Tradewarden and is refused; restore it from a backup",
                reason=f"seal of a {table} row does not match",
            )
        return record

    @staticmethod
    def _mac(key: bytes, record: msgspec.Struct) -> bytes:
        table: str = record.table  # type: ignore[attr-defined]
        return hmac.digest(key, place(table, *msgspec.structs.astuple(record)[:-1]), "sha256")


class Mac:
    """A keyed hash for identifiers that must be comparable and not readable (HMAC-SHA256 under one pinned key)."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "Mac(…)"

    def digest(self, field: str, value: str) -> bytes:
        """Return 32 bytes for `value` of the field named `field`."""
        return hmac.digest(self._key, place(field, value), "sha256")

    def hidden(self, field: str, value: str) -> str:
        """Return the short form that audit entries show in place of an unknown name or path."""
        return f"hmac:{self.digest(field, value)[:12].hex()}"

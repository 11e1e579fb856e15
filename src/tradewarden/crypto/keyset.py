"""Versioned keys in use: the newest one writes, every one reads.

A `Cipher` and a `Sealer` are what rooms hold. They stay the same objects through a rotation: `tradewarden.keys`
installs the new version into them, so nobody above has to ask for them again.
"""

from __future__ import annotations

import hmac
import struct
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tradewarden.clock import Randomness, system_randomness
from tradewarden.crypto.aead import NONCE_BYTES, AeadKey, key_version
from tradewarden.crypto.mac import MacKey
from tradewarden.crypto.place import place
from tradewarden.errors import DecryptionError, IntegrityError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = struct.Struct(">I")


class _Current:
    """The key version that writes, and how many messages it may still write from this process."""

    __slots__ = ("budget", "key")

    def __init__(self, key: AeadKey, budget: int) -> None:
        self.key = key
        self.budget = budget


class Cipher:
    """Encrypts under the current key version and decrypts under any installed one.

    Each encryption spends one message of the budget that `install` and `grant` gave (NIST SP 800-38D section 8.3:
    AES-GCM with random nonces stays far below 2^32 messages a key); without budget it raises `UnavailableError` and
    writes nothing. The budget belongs to the version: one left over from an old version never counts for the new one.
    """

    __slots__ = ("_current", "_keys", "_randomness")

    def __init__(self, randomness: Randomness = system_randomness) -> None:
        self._keys: dict[int, AeadKey] = {}
        self._current: _Current | None = None
        self._randomness = randomness

    def install(self, keys: Mapping[int, bytes], current: int, budget: int = 0) -> None:
        """Replace the installed versions in one step; a version that becomes current starts with `budget` alone."""
        left = budget + (self.budget if self.current == current else 0)
        self._keys = {version: AeadKey(key, version) for version, key in keys.items()}
        self._current = _Current(self._keys[current], left)

    def grant(self, version: int, messages: int) -> None:
        """Add messages to the budget of `version`; of no effect when that is not the current one any more."""
        current = self._current
        if current is not None and current.key.version == version:
            current.budget += messages

    @property
    def current(self) -> int:
        """The version that new envelopes are written under; 0 before the first is installed."""
        return self._current.key.version if self._current else 0

    @property
    def budget(self) -> int:
        """How many messages this process may still encrypt under the current version."""
        return self._current.budget if self._current else 0

    def encrypt(self, plaintext: bytes, associated: bytes) -> bytes:
        """Return an envelope of `plaintext` under the current version, bound to `associated`."""
        current = self._current
        if current is None or current.budget <= 0:
            raise UnavailableError("No encryption key is ready; try again", reason="message budget is spent")
        current.budget -= 1
        return current.key.encrypt(plaintext, associated, self._randomness(NONCE_BYTES))

    def decrypt(self, envelope: bytes, associated: bytes) -> bytes:
        """Open an envelope of any installed version; raises `DecryptionError`."""
        key = self._keys.get(key_version(envelope))
        if key is None:
            raise DecryptionError(reason="key version is not installed")
        return key.decrypt(envelope, associated)


R = TypeVar("R", bound=msgspec.Struct)


class Sealer:
    """Seals whole rows: HMAC-SHA256 (RFC 2104) over table name and all columns, `key version | mac`.

    Who can only write to the database can neither forge a row nor move one. A row must come back from storage with the
    types it was sealed with: a float column takes `5.0` and not `5`, and flags are `0` and `1`.
    """

    __slots__ = ("_current", "_keys", "_newest")

    def __init__(self) -> None:
        self._keys: dict[bytes, MacKey] = {}
        self._current = 0
        self._newest = b""

    def install(self, keys: Mapping[int, bytes], current: int) -> None:
        """Replace the installed versions."""
        self._keys = {_VERSION.pack(version): MacKey(key) for version, key in keys.items()}
        self._current, self._newest = current, _VERSION.pack(current)

    @property
    def current(self) -> int:
        """The version that new seals are made under; 0 before the first is installed."""
        return self._current

    def seal(self, record: R) -> R:
        """Return the record with its seal filled in."""
        version = self._newest
        return msgspec.structs.replace(record, seal=version + _mac(self._keys[version], record))

    def check(self, record: R) -> R:
        """Return the record as it is when its seal holds; raises `IntegrityError` naming the table, never values."""
        seal = record.seal  # type: ignore[attr-defined]
        if isinstance(seal, bytes):
            version = seal[: _VERSION.size]
            key = self._keys.get(version)
            try:
                if key is not None and hmac.compare_digest(seal, version + _mac(key, record)):
                    return record
            except UnicodeEncodeError:
                pass  # a stored text that is no UTF-8: nobody sealed that
        table: str = record.table  # type: ignore[attr-defined]
        raise changed_outside(table, f"seal of a {table} row does not match")


def changed_outside(table: str, reason: str) -> IntegrityError:
    """Return the error for a row that is not as it was written; `reason` never holds its values."""
    return IntegrityError(
        f"A row of table {table} was changed outside Tradewarden and is refused; restore it from a backup",
        reason=reason,
    )


def _mac(key: MacKey, record: msgspec.Struct) -> bytes:
    return key.digest(place(record.table, *msgspec.structs.astuple(record)[:-1]))  # type: ignore[attr-defined]


class Mac:
    """A keyed hash for identifiers that must be comparable and not readable (HMAC-SHA256 under one pinned key)."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = MacKey(key)

    def __repr__(self) -> str:
        return "Mac(…)"

    def digest(self, field: str, value: str) -> bytes:
        """Return 32 bytes for `value` of the field named `field`."""
        return self._key.digest(place(field, value))

    def hidden(self, field: str, value: str) -> str:
        """Return the short form that audit entries show in place of an unknown name or path."""
        return f"hmac:{self.digest(field, value)[:12].hex()}"

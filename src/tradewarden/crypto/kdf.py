"""Key derivation: HKDF-SHA256 (RFC 5869) for keys from keys, Argon2id (RFC 9106) for keys from passphrases."""

from __future__ import annotations

from typing import NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32


class Argon2Profile(NamedTuple):
    """Argon2id parameters, named after RFC 9106; memory in KiB."""

    iterations: int
    lanes: int
    memory_cost: int


RFC9106_SECOND_RECOMMENDED = Argon2Profile(iterations=3, lanes=4, memory_cost=64 * 1024)


def hkdf(key: bytes, label: str, length: int = KEY_BYTES, salt: bytes | None = None) -> bytes:
    """Derive `length` bytes from `key` for the one use that `label` names (RFC 5869, SHA-256)."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=label.encode()).derive(key)


def argon2id(passphrase: bytes, salt: bytes, profile: Argon2Profile = RFC9106_SECOND_RECOMMENDED) -> bytes:
    """Stretch a passphrase to a 256-bit key (RFC 9106 section 4, second recommended profile by default)."""
    return Argon2id(salt=salt, length=KEY_BYTES, **profile._asdict()).derive(passphrase)

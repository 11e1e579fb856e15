"""HMAC-SHA256 (RFC 2104) under one key that many messages are authenticated with."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC


class MacKey:
    """A key, hashed once and copied for each message (RFC 2104 section 4): keying is half of the work."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        self._keyed = HMAC(key, SHA256())

    def __repr__(self) -> str:
        return "MacKey(…)"

    def digest(self, message: bytes) -> bytes:
        """Return the 32 bytes that authenticate `message`."""
        keyed = self._keyed.copy()
        keyed.update(message)
        return keyed.finalize()

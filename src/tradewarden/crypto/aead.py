"""The versioned AEAD envelope: `format | key version | nonce | ciphertext | tag`, AES-256-GCM (NIST SP 800-38D).

Always true here: the header (format and key version) is authenticated together with the caller's associated data, so
neither the key version nor the place of a value can be exchanged unseen. Nonces are 96 random bits, made per message
by the caller's randomness; who encrypts keeps the number of messages per key far below 2^32 (`tradewarden.keys`).
"""

from __future__ import annotations

import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tradewarden.crypto.kdf import KEY_BYTES
from tradewarden.errors import DecryptionError

FORMAT = 1
NONCE_BYTES = 12
TAG_BYTES = 16
_HEADER = struct.Struct(">BI")
OVERHEAD_BYTES = _HEADER.size + NONCE_BYTES + TAG_BYTES


class AeadKey:
    """One version of one AES-256-GCM key, ready to use; holds the cipher object, because making one costs a third."""

    __slots__ = ("_cipher", "_header", "version")

    def __init__(self, key: bytes, version: int) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"an AES-256 key has {KEY_BYTES} bytes")
        self.version = version
        self._cipher = AESGCM(key)
        self._header = _HEADER.pack(FORMAT, version)

    def __repr__(self) -> str:
        return f"AeadKey(version={self.version})"

    def encrypt(self, plaintext: bytes, associated: bytes, nonce: bytes) -> bytes:
        """Return the envelope of `plaintext`, bound to `associated` (see `tradewarden.crypto.place`)."""
        header = self._header
        return header + nonce + self._cipher.encrypt(nonce, plaintext, header + associated)

    def decrypt(self, envelope: bytes, associated: bytes) -> bytes:
        """Open an envelope made by this key for this place; raises `DecryptionError`, always the same one."""
        header = self._header
        start = len(header) + NONCE_BYTES
        if envelope[: len(header)] != header:
            raise DecryptionError(reason="other format or key version")
        try:
            return self._cipher.decrypt(envelope[len(header) : start], envelope[start:], header + associated)
        except (InvalidTag, ValueError) as error:
            raise DecryptionError(reason="authentication tag does not match") from error


def key_version(envelope: bytes) -> int:
    """Read which key version an envelope names; raises `DecryptionError` when it is no envelope of this format."""
    if len(envelope) < OVERHEAD_BYTES or envelope[0] != FORMAT:
        raise DecryptionError(reason="not an envelope of this format")
    version: int = _HEADER.unpack_from(envelope)[1]
    return version

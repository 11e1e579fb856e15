"""Keys as text: base64 or base64url (RFC 4648) of exactly 32 bytes, as a Fernet key is written."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Final

from tradewarden.crypto.kdf import KEY_BYTES
from tradewarden.errors import ConfigurationError

_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_FEWEST_DISTINCT: Final = 16


def key_from_base64(text: bytes, where: str) -> bytes:
    """Return the 32 bytes that `text` stands for; raises `ConfigurationError` naming `where`, never the text.

    A key with fewer than 16 different bytes is a placeholder: chance makes one less than once in 10^15 times.
    """
    plain = text.strip().translate(_URL_SAFE).rstrip(b"=")
    try:
        key = b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"{where} must hold 32 random bytes in base64; make one with: openssl rand -base64 32")
    if len(set(key)) < _FEWEST_DISTINCT:
        raise ConfigurationError(
            f"{where} holds a placeholder and no random key; make one with: openssl rand -base64 32"
        )
    return key

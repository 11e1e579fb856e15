"""Fernet (the specification of github.com/fernet/spec), to read what others wrote with it; nothing is written here.

AES-128-CBC and HMAC-SHA256 under the two halves of one 32-byte key. Our own values are AES-256-GCM envelopes
(`tradewarden.crypto.aead`) under keys that are derived for one use each.
"""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken

from tradewarden.errors import DecryptionError


class FernetKey:
    """One Fernet key, 32 bytes."""

    __slots__ = ("_fernet",)

    def __init__(self, key: bytes) -> None:
        from base64 import urlsafe_b64encode

        self._fernet = Fernet(urlsafe_b64encode(key))

    def __repr__(self) -> str:
        return "FernetKey(…)"

    def open(self, token: bytes) -> bytes:
        """Return what a token holds, however old it is; raises `DecryptionError`, always the same one."""
        try:
            return self._fernet.decrypt(token)
        except (InvalidToken, TypeError) as error:
            raise DecryptionError(reason="not a Fernet token of this key") from error

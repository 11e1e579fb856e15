"""A key that encrypts: AlphaPulse's `ALPHAPULSE_ENCRYPTION_KEY` and others of its kind."""

from __future__ import annotations

from tradewarden.errors import InvalidInputError
from tradewarden.secrets.credentials.stored_key import StoredKey
from tradewarden.secrets.credentials.strength import is_fernet, material


class EncryptionKey(StoredKey, frozen=True, kw_only=True):
    """A key of at least 32 bytes that encrypts, and the keys before it, which still decrypt.

    Its text is a Fernet key, base64, hex, or 32 bytes and more as they are.
    """

    @property
    def is_fernet(self) -> bool:
        """Whether it is a Fernet key, as AlphaPulse makes them."""
        return is_fernet(self.reveal())

    def raw(self) -> bytes:
        """Reveals the key's bytes: what its base64 or hex stands for, else its UTF-8."""
        return self._used()

    def fernet(self) -> list[bytes]:
        """Reveals the keys for `MultiFernet(map(Fernet, …))`, the current one first.

        Raises `InvalidInputError` when the key is no Fernet key.
        """
        if not self.is_fernet:
            raise InvalidInputError(f"Secret '{self.name}' is no Fernet key; use raw()")
        return [text.encode() for text in self._texts() if is_fernet(text)]

    def _used(self) -> bytes:
        return material(self.reveal())

"""A key that encrypts: AlphaPulse's `ALPHAPULSE_ENCRYPTION_KEY` and others of its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

from tradewarden.errors import InvalidInputError
from tradewarden.secrets.credentials.stored_key import sound_key
from tradewarden.secrets.credentials.strength import is_fernet, material
from tradewarden.settings.secret import Secret

if TYPE_CHECKING:
    from tradewarden.secrets.providers.provider import Content


class EncryptionKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of at least 32 bytes that encrypts, and the keys before it, which still decrypt."""

    name: str
    key: Secret
    kid: str = ""
    previous: tuple[Secret, ...] = ()
    previous_kids: tuple[str, ...] = ()

    @classmethod
    def from_content(cls, secret: str, content: Content) -> Self:
        """Read a stored secret: the key as a text (Fernet, base64, hex, or 32 bytes and more), or an object with `key`.

        Raises `ConfigurationError` when it is missing, short, a placeholder or obviously not random.
        """
        stored = sound_key(secret, content, material)
        return cls(
            name=secret,
            key=stored.key,
            kid=stored.kid,
            previous=stored.previous,
            previous_kids=stored.previous_kids,
        )

    @property
    def is_fernet(self) -> bool:
        """Whether it is a Fernet key, as AlphaPulse makes them."""
        return is_fernet(self.key.reveal())

    def reveal(self) -> str:
        """Reveals the key as the text that is stored."""
        return self.key.reveal()

    def raw(self) -> bytes:
        """Reveals the key's bytes: what its base64 or hex stands for, else its UTF-8."""
        return material(self.key.reveal())

    def fernet(self) -> list[bytes]:
        """Reveals the keys for `MultiFernet(map(Fernet, …))`, the current one first.

        Raises `InvalidInputError` when the key is no Fernet key.
        """
        if not self.is_fernet:
            raise InvalidInputError(f"Secret '{self.name}' is no Fernet key; use raw()")
        texts = [self.key.reveal(), *(each.reveal() for each in self.previous)]
        return [text.encode() for text in texts if is_fernet(text)]

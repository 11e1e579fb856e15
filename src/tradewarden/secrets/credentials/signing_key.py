"""A key that signs: the platform's JWT secret, a request's HMAC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

from tradewarden.secrets.credentials.stored_key import sound_key
from tradewarden.settings.secret import Secret

if TYPE_CHECKING:
    from tradewarden.secrets.providers.provider import Content


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of at least 32 bytes (RFC 7518 section 3.2) that signs, and the keys before it, which still verify."""

    name: str
    key: Secret
    kid: str = ""
    previous: tuple[Secret, ...] = ()
    previous_kids: tuple[str, ...] = ()

    @classmethod
    def from_content(cls, secret: str, content: Content) -> Self:
        """Read a stored secret: the key as a text, or an object with `key` and `previous`.

        Raises `ConfigurationError` when it is missing, short, a placeholder or obviously not random.
        """
        stored = sound_key(secret, content, str.encode)
        return cls(
            name=secret,
            key=stored.key,
            kid=stored.kid,
            previous=stored.previous,
            previous_kids=stored.previous_kids,
        )

    def reveal(self) -> str:
        """Reveals the key as the text that is stored; its UTF-8 bytes are what signs."""
        return self.key.reveal()

    def verifying(self) -> list[str]:
        """Reveals every key that a signature may be by, the current one first."""
        return [self.key.reveal(), *(each.reveal() for each in self.previous)]

    def by_kid(self) -> dict[str, str]:
        """Reveals the keys by their ids (`kid`, RFC 7515 section 4.1.4), as rotation gives them; no id: left out."""
        kids = (self.kid, *self.previous_kids)
        return {kid: key for kid, key in zip(kids, self.verifying(), strict=False) if kid}

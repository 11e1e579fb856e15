"""A key that signs: the platform's JWT secret, a request's HMAC."""

from __future__ import annotations

from tradewarden.secrets.credentials.stored_key import StoredKey


class SigningKey(StoredKey, frozen=True, kw_only=True):
    """A key of at least 32 bytes (RFC 7518 section 3.2) that signs, and the keys before it, which still verify.

    The UTF-8 bytes of its text are what signs.
    """

    def verifying(self) -> list[str]:
        """Reveals every key that a signature may be by, the current one first."""
        return self._texts()

    def by_kid(self) -> dict[str, str]:
        """Reveals the keys by their ids (`kid`, RFC 7515 section 4.1.4), as rotation gives them; no id: left out."""
        kids = (self.kid, *self.previous_kids)
        return {kid: key for kid, key in zip(kids, self.verifying(), strict=False) if kid}

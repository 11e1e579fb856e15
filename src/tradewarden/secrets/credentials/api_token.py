"""A user's token for the platform's interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

from tradewarden.secrets.credentials.fields import Fields
from tradewarden.settings.secret import Secret

if TYPE_CHECKING:
    from tradewarden.secrets.providers.provider import Content


class ApiToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token by which a user is known to the platform's interface."""

    user: str
    token: Secret

    @classmethod
    def from_content(cls, secret: str, content: Content, user: str = "") -> Self:
        """Read a stored secret: the token as a text, or an object with `token`; `user` is by default what it is called.

        Raises `ConfigurationError` when it is missing or has white space in it.
        """
        fields = Fields(secret, content, alone="token")
        token = fields.key("token", "api_token", "value")
        if " " in token.reveal():
            fields.wrong("token", "has white space in it, and a header could not carry it")
        fields.require_sound()
        return cls(user=user or secret.rpartition("/")[2], token=token)

    def matches(self, presented: str) -> bool:
        """Tell whether this is the token that somebody presents, in a time that says nothing about it."""
        return self.token == Secret(presented)

    def headers(self) -> dict[str, str]:
        """Reveals it as the header of a request (RFC 6750 section 2.1)."""
        return {"Authorization": f"Bearer {self.token.reveal()}"}

"""How a key stands in a secret: a text, or an object with the key and those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

from tradewarden.secrets.credentials.fields import Fields
from tradewarden.secrets.credentials.strength import weakness
from tradewarden.settings.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tradewarden.secrets.providers.provider import Content


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of at least 32 bytes, and the keys before it, newest first, each with its id where it has one."""

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
        fields = Fields(secret, content, alone="key")
        made = cls(
            name=secret,
            key=_key(fields),
            previous=tuple(each.key("previous") for each in _each(fields, "previous")),
            previous_kids=tuple(each.text("previous_kids") for each in _each(fields, "previous_kids")),
            kid=fields.optional("kid"),
        )
        text = made.reveal()
        if text and (why := weakness(text, made._used())):
            fields.wrong("key", why)
        fields.require_sound()
        return made

    def reveal(self) -> str:
        """Reveals the key as the text that is stored."""
        return self.key.reveal()

    def _used(self) -> bytes:
        """Return the bytes that are used of its text."""
        return self.reveal().encode()

    def _texts(self) -> list[str]:
        """Return every key as the text that is stored, the current one first."""
        return [self.reveal(), *(each.reveal() for each in self.previous)]


def however_weak(secret: str, content: Content) -> Secret:
    """Return the key that a secret holds without a look at its strength; an empty one when there is none."""
    return _key(Fields(secret, content, alone="key"))


def _key(fields: Fields) -> Secret:
    return fields.key("key", "value", "secret", "current")


def _each(fields: Fields, name: str) -> Iterator[Fields]:
    """Yield what a field that may stand several times holds, one by one; what is wrong goes to `fields`."""
    held = fields.raw(name)
    for one in held if isinstance(held, list) else [held] if held else []:
        alone = Fields(fields.secret, {name: one})
        yield alone
        fields.mistakes += alone.mistakes

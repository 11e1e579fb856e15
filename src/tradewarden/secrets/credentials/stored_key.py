"""How a key stands in a secret: a text, or an object with the key and those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tradewarden.secrets.credentials.fields import Fields
from tradewarden.secrets.credentials.strength import weakness
from tradewarden.settings.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tradewarden.secrets.providers.provider import Content


class StoredKey(NamedTuple):
    """A key as it is stored, and the earlier ones, newest first, each with its id; `fields` gathers what is wrong."""

    key: Secret
    kid: str
    previous: tuple[Secret, ...]
    previous_kids: tuple[str, ...]
    fields: Fields


def stored_key(secret: str, content: Content) -> StoredKey:
    """Read it; does not look at what kind of key it is."""
    fields = Fields(secret, content, alone="key")
    key = fields.key("key", "value", "secret", "current")
    previous = tuple(each.key("previous") for each in _each(fields, "previous"))
    kids = tuple(each.text("previous_kids") for each in _each(fields, "previous_kids"))
    return StoredKey(key, fields.optional("kid"), previous, kids, fields)


def sound_key(secret: str, content: Content, material: Callable[[str], bytes]) -> StoredKey:
    """Read it and look at its strength; `material` gives the bytes that are used of its text.

    Raises `ConfigurationError` when it is missing, short, a placeholder or obviously not random.
    """
    stored = stored_key(secret, content)
    text = stored.key.reveal()
    if text and (why := weakness(text, material(text))):
        stored.fields.wrong("key", why)
    stored.fields.require_sound()
    return stored


def _each(fields: Fields, name: str) -> Iterator[Fields]:
    """Yield what a field that may stand several times holds, one by one; what is wrong goes to `fields`."""
    held = fields.raw(name)
    for one in held if isinstance(held, list) else [held] if held else []:
        alone = Fields(fields.secret, {name: one})
        yield alone
        fields.mistakes += alone.mistakes

"""Reads a secret's content field by field, under the names people use, and gathers every mistake."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tradewarden.errors import ConfigurationError
from tradewarden.settings.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tradewarden.secrets.providers.provider import Content

MAX_TEXT = 64 * 1024
_YES = frozenset({"true", "yes", "on", "1"})
_NO = frozenset({"false", "no", "off", "0", ""})


class Fields:
    """What a secret holds, by field.

    Reading a field that is missing or wrong notes a mistake and gives an empty value; `require_sound` then raises them
    all together. A text stands for the one field that `alone` names.
    """

    def __init__(self, secret: str, content: Content, alone: str = "") -> None:
        self.secret = secret
        self.mistakes: list[str] = []
        self._values: Mapping[str, object] = {}
        if isinstance(content, dict):
            self._values = content
        elif alone:
            self._values = {alone: content}
        else:
            self.mistakes.append(f"Secret '{secret}' is a text, and an object with named fields is needed")

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) not in (None, "")

    def raw(self, name: str) -> object:
        """Return what stands under exactly this name, None when nothing does."""
        return self._values.get(name)

    def wrong(self, field: str, why: str) -> None:
        """Note a mistake; `why` must not repeat the value."""
        self.mistakes.append(f"Secret '{self.secret}': field '{field}' {why}")

    def require_sound(self) -> None:
        """Raise `ConfigurationError` with every mistake that was noted."""
        if self.mistakes:
            raise ConfigurationError(self.mistakes)

    def optional(self, field: str, *also: str) -> str:
        """Return a text that may be missing; `also` are other names of the same field."""
        given = {name: self._text(name) for name in (field, *also) if name in self}
        texts = set(given.values())
        if len(texts) > 1:
            self.wrong(field, f"stands there as {', '.join(given)}, and they differ; keep one of them")
        return next(iter(given.values()), "")

    def text(self, field: str, *also: str) -> str:
        """Return a text that must be there."""
        if not any(name in self for name in (field, *also)):
            self.wrong(field, "is missing" + (f" (it may also be called {', '.join(also)})" if also else ""))
            return ""
        return self.optional(field, *also)

    def whole(self, field: str, default: int, least: int, most: int) -> int:
        """Return a whole number, given as one or as a text of digits."""
        text = self.optional(field)
        if not text:
            return default
        number = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else -1
        if not least <= number <= most:
            self.wrong(field, f"is no whole number from {least} to {most}")
            return default
        return number

    def flag(self, field: str, *also: str) -> bool:
        """Return whether a field says yes; a missing one does not."""
        word = self.optional(field, *also).lower()
        if word not in _YES | _NO:
            self.wrong(field, "is neither true nor false")
        return word in _YES

    def key(self, field: str, *also: str) -> Secret:
        """Return a secret that must be there and stands on its own: what a copy brought along is refused."""
        return self._clean(field, self.text(field, *also))

    def optional_key(self, field: str, *also: str) -> Secret | None:
        """Return a secret that may be missing."""
        text = self.optional(field, *also)
        return self._clean(field, text) if text else None

    def _clean(self, field: str, text: str) -> Secret:
        if text.startswith("-----BEGIN "):
            return Secret(text.replace("\\n", "\n"))  # a variable holds a PEM file as one line
        if text != text.strip() or not text.isprintable():
            self.wrong(field, "has white space at its ends or a control character in it; store the value alone")
        return Secret(text)

    def _text(self, name: str) -> str:
        value = self._values[name]
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int):
            return str(value)
        if not isinstance(value, str) or len(value) > MAX_TEXT or "\0" in value or not _encodes(value):
            self.wrong(name, f"is no text of at most {MAX_TEXT} characters")
            return ""
        return value


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

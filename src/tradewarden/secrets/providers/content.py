"""What a secret may hold, said once for every provider.

Always true here: whatever place a secret goes through, it comes back equal. Places that hold text only keep an object
as its JSON; places that hold objects only keep a text as `{"value": text}`. So that nobody has to know which of the two
a place is, a text that is a JSON object *is* that object everywhere, and an object whose one field is a text `value`
*is* that text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.errors import IntegrityError, InvalidInputError, LimitExceededError
from tradewarden.secrets.value import MAX_BYTES, parse_object, raw_object

if TYPE_CHECKING:
    from tradewarden.secrets.providers.provider import Content

TEXT_FIELD: Final = "value"
_SPACE: Final = " \t\r\n"
_decode = msgspec.json.Decoder(dict[str, object]).decode
_encode = msgspec.json.Encoder().encode


def settled(content: Content) -> Content:
    """Return what will be read back once `content` is put; raises `InvalidInputError` for what no place can hold.

    A text has at least one character and is valid Unicode, an object is one that JSON says without loss (text keys, no
    tuples, no NaN, 32 levels); both are at most 1 MiB (`LimitExceededError`).
    """
    if isinstance(content, str):
        return from_text(_text(content))
    if not isinstance(content, dict):
        raise InvalidInputError("a secret is a text or a dict with text keys")
    kept = _decode(parse_object(bytes(raw_object(content)), name="the secret"))
    if kept != content:
        raise InvalidInputError("the secret holds what JSON does not keep; use text keys, and lists instead of tuples")
    return from_object(kept)


def held_text(text: str, name: str) -> Content:
    """Read the text that a place holds; raises `IntegrityError` for a JSON object that two readers read differently.

    `name` is what messages call it.
    """
    try:
        return from_text(text, name)
    except InvalidInputError as error:
        raise IntegrityError(f"{error.detail}. Put it again; nothing was changed", reason=error.reason) from None


def from_text(text: str, name: str = "the secret") -> Content:
    """Read a text as what it stands for; `InvalidInputError` for a JSON object that two readers read differently.

    `name` is what messages call it.
    """
    bare = text.strip(_SPACE)
    if not (bare.startswith("{") and bare.endswith("}")):
        return text
    try:
        _decode(bare)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return text  # braces make no object: passwords have them too
    except RecursionError:
        pass  # for the next line to say
    return from_object(_decode(parse_object(bare.encode(), name=name)))


def from_object(held: dict[str, object]) -> Content:
    """Read the object that a place holds."""
    text = held.get(TEXT_FIELD)
    return text if len(held) == 1 and isinstance(text, str) and text else held


def as_text(content: Content) -> str:
    """Write a settled content for a place that holds text."""
    return content if isinstance(content, str) else _encode(content).decode()


def as_object(content: Content) -> dict[str, object]:
    """Write a settled content for a place that holds objects."""
    return {TEXT_FIELD: content} if isinstance(content, str) else content


def _text(text: str) -> str:
    if not text:
        raise InvalidInputError("a secret is not empty; delete it instead")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInputError("the secret holds text that is not valid Unicode") from None
    if size > MAX_BYTES:
        raise LimitExceededError(f"the secret is larger than {MAX_BYTES} bytes")
    return text

"""A secret's value: one JSON object (RFC 8259), kept as compact JSON bytes.

Always true here: what two parsers could read differently is refused and not guessed (duplicate
names, NaN), or would come back as another number (more digits than a 64-bit float has), and nothing recurses over
nesting that a caller chose.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.errors import InvalidInputError, LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
_NO_JSON: Final = (
    "data holds something that JSON cannot say; use text, numbers, booleans, None, lists and dicts with text keys"
)
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_encode = msgspec.json.Encoder().encode
_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))


def parse_object(raw: bytes, max_bytes: int = MAX_BYTES, name: str = "data") -> bytes:
    """Return the JSON object in `raw` as compact JSON bytes; `name` is what messages call it.

    Raises `InvalidInputError` when it is no JSON object, names a field twice or is nested deeper
    than 32, `LimitExceededError` above `max_bytes`.
    """
    if len(raw) > max_bytes:
        raise LimitExceededError(f"{name} is larger than {max_bytes} bytes of JSON")
    compact = _compact(raw)
    if _repeats(raw, compact):
        raise InvalidInputError(f"{name} names a field twice")
    if _is_deeper(compact, MAX_DEPTH):
        raise InvalidInputError(f"{name} is nested deeper than {MAX_DEPTH} levels")
    return compact


def _exact(text: str) -> float:
    """Return the float that a JSON number stands for; raises `InvalidInputError` when it would be rounded."""
    number = float(text)
    try:
        kept = Decimal(repr(number)) == Decimal(text)
    except ArithmeticError:  # an exponent beyond what even Decimal takes
        kept = False
    if not kept:
        raise InvalidInputError("data holds a number that a 64-bit float would round; write it as a text")
    return number


_decode = msgspec.json.Decoder(dict[str, object], float_hook=_exact).decode


def _compact(raw: bytes) -> bytes:
    try:
        return _encode(_decode(raw))
    except RecursionError:
        raise InvalidInputError(f"data is nested deeper than {MAX_DEPTH} levels") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError):
        # Without a cause: what the parser says may quote the value.
        raise InvalidInputError('data is not a JSON object such as {"username": "…", "password": "…"}') from None


def _repeats(raw: bytes, compact: bytes) -> bool:
    """Tell whether a name stood twice: parsing keeps the last of them. Without escapes each string has two quotes."""
    if b"\\" not in raw and raw.count(b'"') == compact.count(b'"'):
        return False
    return _STRING.sub(b"", compact).count(b":") != _STRING.sub(b"", raw).count(b":")


def _is_deeper(compact: bytes, limit: int) -> bool:
    if compact.count(b"{") + compact.count(b"[") <= limit:
        return False
    depth = 0
    for bracket in _STRING.sub(b"", compact).translate(None, _BRACKETS):
        depth += 1 if bracket in b"{[" else -1
        if depth > limit:
            return True
    return False


def raw_object(value: Mapping[str, object]) -> msgspec.Raw:
    """Write a mapping as JSON, for a command; `InvalidInputError` for what JSON cannot say."""
    try:
        raw = msgspec.Raw(json.dumps(value, allow_nan=False, separators=(",", ":")).encode())
    except (TypeError, ValueError, RecursionError):
        raise InvalidInputError(_NO_JSON) from None
    if not _has_text_keys(value):
        raise InvalidInputError(_NO_JSON)
    return raw


def _has_text_keys(value: object) -> bool:
    """Tell whether every dict in it, which has an end, is one of names; json.dumps writes other keys as names."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            if not all(isinstance(key, str) for key in part):
                return False
            left += part.values()
        elif isinstance(part, list | tuple):
            left += part
    return True

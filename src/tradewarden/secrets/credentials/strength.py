"""Whether a key is one that somebody made for this, as far as that can be told from looking at it. Pure.

Always true here: what a random generator gives passes, but for a chance below one in a billion; what is refused is
named by what is wrong with it and never by its value.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from itertools import pairwise
from math import log2
from typing import Final

KEY_BYTES: Final = 32
MAX_BYTES: Final = 4096
HOW_TO_MAKE_ONE: Final = "make one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
_LEAST_BITS = 80
_PLACEHOLDER = re.compile(
    r"change[-_ ]?me|change[-_ ]in|placeholder|password|your[-_ ](?:\w+[-_ ])*(?:key|secret|token|value)"
    r"|(?:secret|default|example|insert|replace)[-_ ](?:key|secret|token|value|with|here)",
    re.IGNORECASE,
)
_FERNET = re.compile(r"[A-Za-z0-9_-]{43}=")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")


def is_fernet(text: str) -> bool:
    """Tell whether a text is a Fernet key: 32 bytes in URL-safe base64, with its padding."""
    return bool(_FERNET.fullmatch(text)) and len(base64.urlsafe_b64decode(text)) == KEY_BYTES


def material(text: str) -> bytes:
    """Return the bytes that a key's text stands for: base64 (also Fernet's) and hex are read, other texts are UTF-8."""
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if _BASE64.fullmatch(text) and len(text.rstrip("=")) % 4 != 1:
        plain = text.rstrip("=").replace("-", "+").replace("_", "/")
        found = base64.b64decode(plain + "=" * (-len(plain) % 4))
        if len(found) >= KEY_BYTES:
            return found
    return text.encode()


def weakness(text: str, key: bytes) -> str:
    """Return what is wrong with a key, `""` for nothing. `key` is what is used of `text`."""
    if len(key) < KEY_BYTES:
        return f"is shorter than {KEY_BYTES} bytes; {HOW_TO_MAKE_ONE}"
    if len(key) > MAX_BYTES:
        return f"is longer than {MAX_BYTES} bytes"
    if _PLACEHOLDER.search(text) or _PLACEHOLDER.search(key.decode(errors="replace")):
        return f"is a placeholder; {HOW_TO_MAKE_ONE}"
    if _repeats(key) or _repeats(text.encode()) or _counts(key) or _bits(key) < _LEAST_BITS:
        return f"is not random: it repeats or counts; {HOW_TO_MAKE_ONE}"
    return ""


def _repeats(key: bytes) -> bool:
    """Tell whether a part of it, at most half as long, makes up the whole."""
    return any(key[period:] == key[:-period] for period in range(1, len(key) // 2 + 1))


def _counts(key: bytes) -> bool:
    steps = Counter((after - before) % 256 for before, after in pairwise(key))
    return max(steps.values()) > len(key) // 2


def _bits(key: bytes) -> float:
    """Return how much its bytes tell at most, were each drawn by itself as often as it stands there."""
    counts = Counter(key).values()
    return -sum(count * log2(count / len(key)) for count in counts)

"""Passwords, tokens and keys out of randomness, of a stated strength. Pure but for the randomness handed in."""

from __future__ import annotations

import base64
from math import ceil, log2
from string import ascii_lowercase, ascii_uppercase, digits
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from tradewarden.clock import Randomness

Make = Literal["password", "token", "hex", "base64url", "fernet"]
MAKES: Final[tuple[Make, ...]] = ("password", "token", "hex", "base64url", "fernet")
KEYS: Final = frozenset({"hex", "base64url", "fernet"})
FERNET_BITS: Final = 256
_SYMBOLS: Final = "-._~"
"""Those that stand in a URL as they are (RFC 3986 section 2.3), so that a password can stand in a DSN."""
_BYTE: Final = 256


def generated(make: Make, bits: int, randomness: Randomness) -> str:
    """Return a new value of at least so many bits. A Fernet key has 256."""
    if make == "password":
        return password(bits, randomness)
    raw = randomness(FERNET_BITS // 8 if make == "fernet" else ceil(bits / 8))
    if make == "hex":
        return raw.hex()
    text = base64.urlsafe_b64encode(raw).decode()
    return text if make == "fernet" else text.rstrip("=")


def password(bits: int, randomness: Randomness) -> str:
    """Return a password with a letter of each case, a digit and one of `-._~` in it, the first being a letter."""
    groups = (ascii_lowercase, ascii_uppercase, digits, _SYMBOLS)
    alphabet = "".join(groups)
    # One character more than the bits ask for: what the conditions below take away is less than it adds.
    length = ceil(bits / log2(len(alphabet))) + 1
    while True:
        text = _drawn(alphabet, length, randomness)
        if text[0].isalpha() and all(set(group) & set(text) for group in groups):
            return text


def _drawn(alphabet: str, length: int, randomness: Randomness) -> str:
    """Draw evenly: a byte beyond the last whole multiple of the alphabet's size is thrown away."""
    limit = _BYTE - _BYTE % len(alphabet)
    found: list[str] = []
    while len(found) < length:
        found += [alphabet[byte % len(alphabet)] for byte in randomness(length) if byte < limit]
    return "".join(found[:length])

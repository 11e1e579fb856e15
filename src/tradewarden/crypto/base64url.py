"""Base64url without padding, as RFC 7515 section 2 writes it."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

_LETTERS: Final = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)


def base64url(raw: bytes) -> str:
    """Encode: URL-safe, without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def unbase64url(text: str) -> bytes | None:
    """Decode strictly: no padding, no other letters, no bits left over; None for anything else."""
    if not _LETTERS.fullmatch(text) or len(text) % 4 == 1:
        return None
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return raw if base64url(raw) == text else None

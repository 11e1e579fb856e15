"""The time of an entry as RFC 3339 text, fast: what stays the same within a second is made once."""

from __future__ import annotations

import time

_second = -1
_prefix = ""


def stamp(seconds: float) -> str:
    """Write seconds since the epoch, UTC: `2026-01-15T10:30:00.000000Z`, always of this width.

    Texts of this form are in the order of their times.
    """
    global _second, _prefix  # noqa: PLW0603
    whole = int(seconds)
    if whole != _second:
        _prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(whole))
        _second = whole
    return f"{_prefix}{int((seconds - whole) * 1e6):06d}Z"

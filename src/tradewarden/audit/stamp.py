"""The time of an entry as RFC 3339 text, fast: what stays the same within a second is made once."""

from __future__ import annotations

import time

_second: tuple[int, str] = (-1, "")


def stamp(seconds: float) -> str:
    """Write seconds since the epoch, UTC: `2026-01-15T10:30:00.000000Z`, always of this width.

    Texts of this form are in the order of their times.
    """
    global _second  # noqa: PLW0603  (one tuple: another thread sees the old one or the new one)
    whole = int(seconds)
    cached, prefix = _second
    if cached != whole:
        prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(whole))
        _second = (whole, prefix)
    return f"{prefix}{int((seconds - whole) * 1e6):06d}Z"

"""Which numbers come back from Vault as they went in. Pure."""

from __future__ import annotations

from typing import Final

LARGEST: Final = 2**53
"""OpenBao reads JSON numbers as doubles (IEEE 754), which hold every whole number up to this one."""


def is_exact(value: object) -> bool:
    """Tell whether every number in a value that JSON can say is kept as it is."""
    if isinstance(value, dict):
        return all(map(is_exact, value.values()))
    if isinstance(value, list):
        return all(map(is_exact, value))
    return not isinstance(value, int) or -LARGEST <= value <= LARGEST

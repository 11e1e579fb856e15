"""A text that must not show up in logs, tracebacks or answers by accident."""

from __future__ import annotations

import hmac


class Secret:
    """Holds a secret text; only `reveal` gives it out, printing and formatting do not."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Returns the secret itself. Do not log it, put it into an error or keep it around."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('…')"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    # A hash would make an equality oracle out of any log that prints one.
    __hash__ = None  # type: ignore[assignment]

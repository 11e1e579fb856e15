"""A text that must not show up in logs, tracebacks, pickles or answers by accident."""

from __future__ import annotations

import hmac
from typing import NoReturn, Self

_HIDDEN = "Secret('…')"


def _bytes(text: str) -> bytes:
    # Not strict: the error of a lone surrogate would hold the text.
    return text.encode(errors="surrogatepass")


class Secret:
    """Holds a secret text; only `reveal` gives it out.

    Printing, formatting and JSON do not show it, and it cannot be pickled: a pickle holds what was pickled in the
    clear. A copy is the very same object. Comparing takes the same time wherever two secrets differ.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Returns the secret itself. Do not log it, put it into an error or keep it around."""
        return self._text

    def __repr__(self) -> str:
        return _HIDDEN

    def __format__(self, specification: str) -> str:
        return format(_HIDDEN, specification)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self._text), _bytes(other._text))

    # A hash would make an equality oracle out of any log that prints one.
    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            "a Secret is not pickled, a pickle would show it; hand on its name, and read it where it is used"
        )

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self.__getstate__()

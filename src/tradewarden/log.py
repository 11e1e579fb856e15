"""How the rooms tell what happens: through Python's own logging, so that a program that embeds them decides about it.

Always true here: a line written by any handler shows of an exception its type, our `reason`, and the trace without
locals; the text of a foreign exception may quote data and is left out, except for those of the operating system.
`http.logs` gives the service's lines their form.
"""

from __future__ import annotations

import logging
import traceback

from tradewarden.errors import TradewardenError


class Line:
    """What was told: a text, its fields, and the exception that it is about. As text, all of it."""

    __slots__ = ("error", "event", "fields")

    def __init__(self, event: str, fields: dict[str, object], error: BaseException | None) -> None:
        self.event = event
        self.fields = fields
        self.error = error

    def __str__(self) -> str:
        """Return it as a program sees it that formats lines by itself."""
        fields = " ".join(f"{name}={value!r}" for name, value in self.fields.items())
        first = f"{self.event} ({fields})" if fields else self.event
        return first if self.error is None else f"{first}\n{trace(self.error)}"


class Log:
    """Tells under the name of a room."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def info(self, event: str, **fields: object) -> None:
        """Tell of something usual."""
        self._tell(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Tell of something that somebody should look at."""
        self._tell(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Tell of something wrong."""
        self._tell(logging.ERROR, event, fields)

    def failure(self, event: str, error: BaseException, **fields: object) -> None:
        """Tell of an exception that nobody foresaw."""
        self._tell(logging.ERROR, event, fields, error)

    def _tell(self, level: int, event: str, fields: dict[str, object], error: BaseException | None = None) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, Line(event, fields, error), stacklevel=3)


def trace(error: BaseException) -> str:
    """Return the frames of an exception and of its causes, outermost cause first, without texts and locals."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = "".join(traceback.format_list(traceback.extract_tb(current.__traceback__)))
        parts.append(f"{frames}{type_name(current)}: {safe_reason(current)}".rstrip(": "))
        hidden = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or hidden
    return "\n-- then --\n".join(reversed(parts))


def type_name(error: BaseException) -> str:
    """Return the name of an exception's type, with its module."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def safe_reason(error: BaseException) -> str:
    """Return what may be told of why: ours, or the operating system's; empty for any other exception."""
    if isinstance(error, TradewardenError):
        return error.reason
    if isinstance(error, OSError):
        return error.strerror or ""
    return ""

"""Findings and moves made by hand, for tests that do not search."""

from __future__ import annotations

from tradewarden.migrate.edit import edited
from tradewarden.migrate.finding import Destination, Finding, Language
from tradewarden.migrate.rewriting import Move, Rewriter, Rewritten
from tradewarden.settings.secret import Secret

VALUE = "Kx82jdkLq7Zm"
KEY = Destination("binance_credentials", "api_key")
SECRET = Destination("binance_credentials", "api_secret")


def finding(
    text: str, value: str = VALUE, destination: Destination = KEY, *, language: Language = Language.PYTHON,
    file: str = "bot.py", written: str = "", start: int | None = None,
) -> Finding:  # fmt: skip
    """Return the finding of a value in a text; `written` is how the text writes it when that differs."""
    shown = written or value
    at = text.index(shown) if start is None else start
    line = text.count("\n", 0, at) + 1
    return Finding(file, line, at, at + len(shown), language, "test", "key", Secret(value), destination)


def moves(
    text: str, value: str = VALUE, *, language: Language = Language.PYTHON, file: str = "bot.py", written: str = ""
) -> list[Move]:
    """Return a move for every place of a value."""
    found = []
    shown = written or value
    at = text.find(shown)
    while at >= 0:
        found.append(Move(finding(text, value, language=language, file=file, written=written, start=at), KEY))
        at = text.find(shown, at + len(shown))
    return found


def rewritten_by(rewriter: Rewriter, text: str, found: list[Move]) -> tuple[str, Rewritten]:
    """Return the text that a rewriter makes, and what else it says."""
    result = Rewritten()
    rewriter(text, found, result)
    return edited(text, result.edits), result

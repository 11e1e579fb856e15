"""A decoded file: its text as it stands on the disk (line ends kept), and which line an offset is on."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property

from tradewarden.migrate.finding import Language

_LIBRARY = re.compile(
    r"(?m)^[ \t]*(?:from|import)[ \t]+(?:py)?(binance|bybit|bit|kraken|coinbase|finnhub|polygon|iex|alpha_vantage)"
)
_LINE_END = re.compile(r"\r\n|\r|\n")


class Document:
    """One text. `file` is relative to the scanned directory, with `/`."""

    def __init__(self, file: str, text: str, language: Language) -> None:
        self.file = file
        self.text = text
        self.language = language

    @cached_property
    def about(self) -> tuple[str, ...]:
        """What the whole file is about: its directory and name, and the one library it imports for it, if it is one."""
        *directories, name = self.file.split("/")
        libraries = set(_LIBRARY.findall(self.text)) if self.language is Language.PYTHON else set()
        return (*directories[-1:], name.rpartition(".")[0] or name, *(libraries if len(libraries) == 1 else ()))

    @cached_property
    def line_starts(self) -> list[int]:
        """The offset at which each line begins."""
        return [0, *(match.end() for match in _LINE_END.finditer(self.text))]

    def line_of(self, offset: int) -> int:
        """Return the line, from 1, that holds the character at `offset`."""
        return bisect_right(self.line_starts, offset)

    def line_at(self, offset: int) -> str:
        """Return the text of that line."""
        number = self.line_of(offset)
        end = self.line_starts[number] if number < len(self.line_starts) else len(self.text)
        return self.text[self.line_starts[number - 1] : end].rstrip("\r\n")

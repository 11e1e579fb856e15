"""How a character of a shell script is quoted: bare, in one of two quotes, in a comment, in a here-document. Pure."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

_HEREDOC: Final = re.compile(r"<<-?[ \t]*(?P<quote>[\\'\"]?)(?P<word>\w+)['\"]?(?!<)")
_BEFORE_COMMENT: Final = " \t\n;&|("


class Quoting(StrEnum):
    """What the shell does with a `$` at a place."""

    BARE = "bare"
    SINGLE = "single"
    DOUBLE = "double"
    COMMENT = "comment"
    HEREDOC = "heredoc"
    QUOTED_HEREDOC = "quoted heredoc"


_ENDS: Final = {Quoting.SINGLE: "'", Quoting.DOUBLE: '"', Quoting.COMMENT: "\n"}
_OPENS: Final = {"'": Quoting.SINGLE, '"': Quoting.DOUBLE}


def quoting_at(text: str, place: int) -> tuple[Quoting, int]:
    """Return how the character at `place` is quoted, and where that quoting began."""
    reader = _Reader(text)
    while reader.at < place:
        reader.step()
    return reader.state, reader.since


class _Reader:
    """Goes through a script; `at` is the next character, `state` how it is quoted, `since` where that began."""

    def __init__(self, text: str) -> None:
        self.at = 0
        self.state = Quoting.BARE
        self.since = 0
        self._text = text
        self._waiting: list[tuple[str, Quoting]] = []
        self._end = 0

    def step(self) -> None:
        """Go on by a character, or by what belongs together."""
        character = self._text[self.at]
        if self.state in (Quoting.HEREDOC, Quoting.QUOTED_HEREDOC):
            self._until_end()
        elif self.state is Quoting.BARE:
            self._bare(character)
        elif character == "\\" and self.state is Quoting.DOUBLE:
            self.at += 2
        else:
            self._leave(character)

    def _bare(self, character: str) -> None:
        opened = _HEREDOC.match(self._text, self.at) if character == "<" else None
        if character in _OPENS:
            self._enter(_OPENS[character])
        elif character == "#" and (not self.at or self._text[self.at - 1] in _BEFORE_COMMENT):
            self._enter(Quoting.COMMENT)
        elif opened is not None:
            kind = Quoting.QUOTED_HEREDOC if opened["quote"] else Quoting.HEREDOC
            self._waiting.append((opened["word"], kind))
            self.at = opened.end()
        elif character == "\n" and self._waiting:
            self._open_heredoc()
        else:
            self.at += 2 if character == "\\" else 1

    def _enter(self, state: Quoting) -> None:
        self.state, self.since = state, self.at
        self.at += 1

    def _leave(self, character: str) -> None:
        if character == _ENDS[self.state]:
            self.state, self.since = Quoting.BARE, self.at + 1
            if character == "\n" and self._waiting:
                self._open_heredoc()
                return
        self.at += 1

    def _open_heredoc(self) -> None:
        word, kind = self._waiting.pop(0)
        ended = re.compile(rf"^\t*{re.escape(word)}\r?$", re.MULTILINE).search(self._text, self.at + 1)
        self._end = ended.start() if ended else len(self._text)
        self.at += 1
        self.state, self.since = kind, self.at

    def _until_end(self) -> None:
        self.at += 1
        if self.at >= self._end:
            self.state, self.since = Quoting.BARE, self.at

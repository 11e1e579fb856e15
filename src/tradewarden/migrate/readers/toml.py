"""TOML: tables, dotted keys, the four kinds of strings, inline tables. Reads on where it is not well formed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tradewarden.migrate.candidate import Candidate
from tradewarden.migrate.readers.json import unescaped

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = r"""(?:[A-Za-z0-9_-]{1,100}|"[^"\r\n]{0,100}"|'[^'\r\n]{0,100}')"""
_TOKEN = re.compile(
    rf"""(?P<comment>\#[^\r\n]*)
    | ^[ \t]*\[\[?[ \t]*(?P<table>{_NAME}(?:[ \t]{{0,9}}\.[ \t]{{0,9}}{_NAME}){{0,9}})[ \t]*\]\]?[ \t]*(?=\r|\n|\#|$)
    | (?<![A-Za-z0-9_-])(?P<key>{_NAME}(?:[ \t]{{0,9}}\.[ \t]{{0,9}}{_NAME}){{0,9}})[ \t]{{0,99}}=
    | \"\"\"(?:\r?\n)?(?P<long>(?:[^\\]|\\.)*?)\"\"\"
    | '''(?:\r?\n)?(?P<long_literal>(?:.)*?)'''
    | "(?P<basic>(?:[^"\\\r\n]|\\.)*)"
    | "(?:[^"\\\r\n]|\\[^\r\n])*+  # it does not end: passed over at once
    | '(?P<literal>[^'\r\n]*)'
    | (?P<open>\{{) | (?P<close>\}})""",
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_PIECE = re.compile(_NAME)
_STRINGS = ("long", "long_literal", "basic", "literal")


def read(text: str) -> Iterator[Candidate]:
    """Yield every string that is a value, with the names of its tables."""
    table: tuple[str, ...] = ()
    inline: list[tuple[str, ...]] = []
    names: tuple[str, ...] = ("",)
    for token in _TOKEN.finditer(text):
        if token["table"]:
            table, inline, names = _pieces(token["table"]), [], ("",)
        elif token["key"]:
            names = _pieces(token["key"])
        elif token["open"]:
            inline.append(names)
        elif token["close"] and inline:
            inline.pop()
        else:
            around = (*table, *(name for group in inline for name in group), *names[:-1])
            yield from _string(token, names[-1], around)


def _pieces(name: str) -> tuple[str, ...]:
    return tuple(piece.strip("\"'") for piece in _PIECE.findall(name)) or ("",)


def _string(token: re.Match[str], key: str, around: tuple[str, ...]) -> Iterator[Candidate]:
    which = next((name for name in _STRINGS if token[name] is not None), None)
    if which is None or not token[which]:
        return
    raw = token[which]
    value = raw if "literal" in which else unescaped(raw.replace("\r\n", "\\n").replace("\n", "\\n"))
    yield Candidate(token.start(which), token.end(which), value, key, around)

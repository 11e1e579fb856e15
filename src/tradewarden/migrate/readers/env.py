"""`.env` files: `NAME=value`, with `export`, quotes over several lines, and lines that were commented out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tradewarden.migrate.candidate import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator

_BINDING = re.compile(
    r"""^[ \t]*(?:\#+[ \t]*)?(?:export[ \t]+)?(?P<key>[A-Za-z_][\w.-]*)[ \t]*[=:][ \t]*
    (?: '(?P<single>(?:[^'\\]|\\.)*)'
      | "(?P<double>(?:[^"\\]|\\.)*)"
      | (?P<bare>[^\r\n"'][^\r\n]*|)
    )""",
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_COMMENT = re.compile(r"[ \t]+\#.*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def read(text: str) -> Iterator[Candidate]:
    """Yield each value that is not empty."""
    for match in _BINDING.finditer(text):
        candidate = _bare(match) if match["bare"] is not None else _quoted(match)
        if candidate.value:
            yield candidate


def _bare(match: re.Match[str]) -> Candidate:
    value = _COMMENT.sub("", match["bare"]).rstrip()
    start = match.start("bare")
    return Candidate(start, start + len(value), value, match["key"], quoted=False)


def _quoted(match: re.Match[str]) -> Candidate:
    if match["single"] is not None:
        group, value = "single", re.sub(r"\\(['\\])", r"\1", match["single"])
    else:
        group, value = "double", _ESCAPE.sub(_unescape, match["double"])
    return Candidate(match.start(group), match.end(group), value, match["key"])


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[1] if match[1] in "\"'\\$`" else match[0])

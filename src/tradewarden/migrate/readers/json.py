"""JSON, with the comments and trailing commas that people write into it. Reads on where it is not well formed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from tradewarden.migrate.candidate import Candidate
from tradewarden.migrate.readers.structured import Frame, owners

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(
    r"""(?P<string>"(?P<inner>(?:[^"\\\n]|\\.)*)")(?P<colon>\s*:)?
    | "(?:[^"\\\n]|\\[^\n])*+  # it does not end: passed over at once
    | (?P<open>[\[{]) | (?P<close>[\]}]) | (?P<comma>,) | //[^\n]* | /\*[\s\S]*?\*/""",
    re.VERBOSE,
)


def read(text: str) -> Iterator[Candidate]:
    """Yield every text that is a value, with the names of the objects around it."""
    frames, key = [Frame(0, "")], ""
    for token in _TOKEN.finditer(text):
        if token["colon"]:
            key = unescaped(token["inner"])
        elif token["string"]:
            value = unescaped(token["inner"])
            given = frames[-1].key_for(key, value) if key else frames[-1].key
            if value:
                yield Candidate(token.start("inner"), token.end("inner"), value, given, owners(frames))
        elif token["open"]:
            frames.append(Frame(0, key or (frames[-1].key if token["open"] == "[" else "")))
            key = ""
        elif token["close"]:
            key = ""
            if len(frames) > 1:
                frames.pop()
        elif token["comma"]:
            key = ""


def unescaped(inner: str) -> str:
    """Return what the inside of a JSON string means; as it is written where it means nothing."""
    if "\\" not in inner:
        return inner
    try:
        return msgspec.json.decode(f'"{inner}"', type=str)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return inner

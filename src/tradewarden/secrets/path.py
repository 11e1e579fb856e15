"""Secret paths: `database/primary`, `api_keys/binance`. They are checked and never repaired."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from tradewarden.access.permission import SEGMENT
from tradewarden.errors import InvalidInputError

MAX_PATH = 512
MAX_SEGMENTS = 32
_SEGMENT = rf"(?!\.{{1,2}}(?:/|\Z))(?! ){SEGMENT}(?<! )"
_PATH = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,{MAX_SEGMENTS - 1}}}")
_PREFIX = re.compile(rf"(?:{_SEGMENT}/)*(?:{SEGMENT})?")
_CHARACTERS = re.compile(SEGMENT)
_END = r"\Z", "$"
"""The end of a text, as Python and as a JSON schema (ECMA-262) write it."""
SecretPath = Annotated[
    str, msgspec.Meta(extra_json_schema={"maxLength": MAX_PATH, "pattern": f"^{_PATH.pattern.replace(*_END)}$"})
]
"""A text that `secret_path` takes, for the document of the interface."""
PathPrefix = Annotated[
    str, msgspec.Meta(extra_json_schema={"maxLength": MAX_PATH, "pattern": f"^{_PREFIX.pattern.replace(*_END)}$"})
]
"""A text that `path_prefix` takes, for the document of the interface."""


def secret_path(text: str) -> str:
    """Return `text` when it is a secret path; raises `InvalidInputError` saying what is wrong where.

    Up to 32 segments with a `/` between them, 512 characters in all; a segment is 1 to 255 of
    ASCII letters, digits and `_.@+=,~ -`, is not `.` or `..`, has no space at its ends. Case
    matters.
    """
    if is_secret_path(text):
        return text
    raise InvalidInputError(f"path is not a secret path: {_mistake(text)}")


def is_secret_path(text: str) -> bool:
    """Tell whether a name that stands elsewhere can be a secret path."""
    return len(text) <= MAX_PATH and _PATH.fullmatch(text) is not None


def path_prefix(text: str) -> str:
    """Return `text` when paths can start with it, ending anywhere; or `InvalidInputError`."""
    if len(text) <= MAX_PATH and _PREFIX.fullmatch(text):
        return text
    raise InvalidInputError("prefix is not the beginning of a secret path")


def _mistake(text: str) -> str:
    if len(text) > MAX_PATH:
        return f"it is longer than {MAX_PATH} characters"
    segments = text.split("/")
    if len(segments) > MAX_SEGMENTS:
        return f"it has more than {MAX_SEGMENTS} segments"
    number, segment = next(
        (number, each) for number, each in enumerate(segments, 1) if not re.fullmatch(_SEGMENT, each)
    )
    return f"segment {number} {_segment_mistake(segment)}"


def _segment_mistake(segment: str) -> str:
    if not segment:
        return "is empty"
    if segment in (".", ".."):
        return "is a dot segment"
    if segment != segment.strip(" "):
        return "starts or ends with a space"
    if not _CHARACTERS.fullmatch(segment[:255]):
        return "has a character other than ASCII letters, digits and '_.@+=,~ -'"
    return "is longer than 255 characters"

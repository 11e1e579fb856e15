"""One credential that stands in a file where it should not. Never shows its value."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tradewarden.settings.secret import Secret


class Language(StrEnum):
    """What kind of file it stands in: decides how it is read and how it is rewritten."""

    PYTHON = "python"
    YAML = "yaml"
    TOML = "toml"
    JSON = "json"
    ENV = "env"
    INI = "ini"
    SHELL = "shell"
    DOCKERFILE = "dockerfile"
    COMPOSE = "compose"
    OTHER = "other"


class Destination(msgspec.Struct, frozen=True):
    """Where the value belongs: field `field` of secret `name`; an empty field means that the text is the secret."""

    name: str
    field: str = ""


class Finding(msgspec.Struct, frozen=True):
    """A credential in a file.

    `file` is relative to the scanned directory, with `/`. `line` counts from 1; `start` and `end` are offsets in
    characters of the decoded text (UTF-8) that enclose the value alone, without its quotes. `rule` names what found it,
    `key` the variable, field or option it is given to (empty when there is none).
    """

    file: str
    line: int
    start: int
    end: int
    language: Language
    rule: str
    key: str
    value: Secret
    destination: Destination

    def __repr__(self) -> str:
        return f"Finding({self.file}:{self.line}, rule={self.rule!r}, key={self.key!r})"

"""What readers of configuration formats share: where they are in the tree, and the name that a list of pairs gives."""

from __future__ import annotations

import re
from typing import Final

from tradewarden.migrate.rules.values import random

NAMING: Final = frozenset(
    {"name", "key", "variable", "env", "parameterkey", "secretname", "id", "exchange", "provider"}
)
NAMED: Final = frozenset({"value", "defaultvalue", "parametervalue", "default", "content"})


_NAME: Final = re.compile(r"[A-Za-z_][\w .-]{0,59}")


def is_name(text: str) -> bool:
    """Tell whether a text can be a name: a credential that stands where names do must not become one."""
    return _NAME.fullmatch(text) is not None and not random(text, 12)


class Frame:
    """One mapping or list that is open: how deep it stands, what it is called, and what its `name:` said."""

    __slots__ = ("indent", "key", "name")

    def __init__(self, indent: int, key: str) -> None:
        self.indent = indent
        self.key = key
        self.name = ""

    def key_for(self, key: str, value: str) -> str:
        """Return what the value goes by: `name: DB_PASSWORD` and `value: …` in one mapping belong together."""
        if key.lower() in NAMING and is_name(value):
            self.name = value
        return self.name if self.name and key.lower() in NAMED else key


def owners(frames: list[Frame]) -> tuple[str, ...]:
    """Return the names of the open mappings, from outside in, with what their `name:` says."""
    return tuple(text for frame in frames for text in (frame.key, frame.name) if text)

"""Which kind of file it is: by its name, and by its first line where the name says nothing."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Final

from tradewarden.migrate.finding import Language

_BY_SUFFIX: Final = MappingProxyType(
    {
        ".py": Language.PYTHON,
        ".pyi": Language.PYTHON,
        ".pyw": Language.PYTHON,
        ".yaml": Language.YAML,
        ".yml": Language.YAML,
        ".toml": Language.TOML,
        ".json": Language.JSON,
        ".jsonc": Language.JSON,
        ".json5": Language.JSON,
        ".ini": Language.INI,
        ".cfg": Language.INI,
        ".conf": Language.INI,
        ".cnf": Language.INI,
        ".properties": Language.INI,
        ".sh": Language.SHELL,
        ".bash": Language.SHELL,
        ".zsh": Language.SHELL,
        ".dockerfile": Language.DOCKERFILE,
        ".env": Language.ENV,
    }
)
_BY_NAME: Final = MappingProxyType(
    {
        ".bashrc": Language.SHELL,
        ".profile": Language.SHELL,
        ".zshrc": Language.SHELL,
        ".envrc": Language.SHELL,
        ".flaskenv": Language.ENV,
        ".pypirc": Language.INI,
        ".my.cnf": Language.INI,
        "pipfile": Language.TOML,
    }
)
_COMPOSE = re.compile(r"(?:docker-)?compose(?:[.-][\w.-]+)?\.ya?ml", re.IGNORECASE)
_ENV = re.compile(r"\.env(?:[._-].+)?|.+\.env(?:\.[\w-]+)?", re.IGNORECASE)
_DOCKERFILE = re.compile(r"(?:dockerfile|containerfile)(?:[.-].+)?", re.IGNORECASE)
_SHEBANG = re.compile(r"#![^\n]*\b(?:(?P<python>python[\d.]*)|(?:ba|z|da|k)?sh)\b")


def language_of(file: str, text: str) -> Language:
    """Return the language of `file`, a path with `/`; `OTHER` when nothing tells."""
    path = PurePosixPath(file)
    name = path.name.lower()
    if _COMPOSE.fullmatch(name):
        return Language.COMPOSE
    if _DOCKERFILE.fullmatch(name) and path.suffix.lower() not in (".py", ".md", ".sh"):
        return Language.DOCKERFILE
    known = _BY_SUFFIX.get(path.suffix.lower()) or _BY_NAME.get(name)
    if known is None and _ENV.fullmatch(name):
        return Language.ENV
    return known or _by_first_line(text)


def _by_first_line(text: str) -> Language:
    match = _SHEBANG.match(text)
    if match is None:
        return Language.OTHER
    return Language.PYTHON if match["python"] else Language.SHELL

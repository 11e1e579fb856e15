"""The reader of each language."""

from __future__ import annotations

import re
from string import ascii_lowercase, ascii_uppercase
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tradewarden.migrate.finding import Language
from tradewarden.migrate.readers import commands, env, ini, json, loose, python, shell, toml, yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tradewarden.migrate.candidate import Candidate
    from tradewarden.migrate.document import Document

_BUNDLE: Final = 20_000
_WIDE: Final = 500
_QUOTE: Final = re.compile(r"[\"']")
_PASSED: Final = re.compile(r"""[(\[]\s{0,9}["'](?=[^"'\s]{0,199}[0-9])[A-Za-z0-9+/=_-]{16,200}["']\s{0,9}[,)]""")
"""What is given to a call, or begins a list, and could have been made by a generator."""
_SMALL: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
_WORDS: Final = (
    "key", "secret", "token", "pass", "pwd", "pw", "auth", "cred", "jwt", "fernet", "hmac", "bearer", "cookie", "hook",
    "seed", "mnemonic", "pem", "dsn", "login", "client", "session", "license", "pat", "otp", "access", "priv", "_pk",
    "smtp", "redis(", "users", "accounts",
)  # fmt: skip
"""Every name that a rule trusts holds one of these, so a text without them has no candidates of its own."""


_OTHERS: Final = (loose.read, commands.passwords, shell.options)
_READERS: Final[Mapping[Language, Sequence[Callable[[str], Iterator[Candidate]]]]] = MappingProxyType(
    {
        Language.ENV: (env.read,),
        Language.YAML: (yaml.read, shell.options, commands.passwords, loose.sql),
        Language.COMPOSE: (yaml.read, shell.options, commands.passwords, loose.sql),
        Language.JSON: (json.read, shell.options),
        Language.TOML: (toml.read, loose.comments),
        Language.INI: (ini.read, loose.inside),
        Language.SHELL: (shell.read, loose.bodies, loose.sql),
        Language.DOCKERFILE: (shell.dockerfile, loose.bodies, loose.sql),
    }
)


def candidates(document: Document, places: Sequence[int]) -> Iterable[Candidate]:
    """Return everything in a text that has a name worth judging, and what stands at `places`."""
    if document.language is Language.PYTHON:
        return _python(document, places)
    speaks = (
        places or next(_mentions(document.file), None) is not None or next(_mentions(document.text), None) is not None
    )
    return _reader(document) if speaks else ()


def _reader(document: Document) -> Iterable[Candidate]:
    read = _READERS.get(document.language, () if _is_generated(document.text) else _OTHERS)
    return [candidate for each in read for candidate in each(document.text)]


def _is_generated(text: str) -> bool:
    """Tell a bundle of scripts or styles from what somebody wrote: only known shapes are looked for in it."""
    return len(text) > _BUNDLE and text.count("\n") * _WIDE < len(text)


def _python(document: Document, places: Sequence[int]) -> Iterable[Candidate]:
    offsets = {*places, *_mentions(document.text), *(match.end() for match in _PASSED.finditer(document.text))}
    if not offsets or not _QUOTE.search(document.text):
        return ()
    lines = sorted({document.line_of(offset) for offset in offsets})
    found = python.read(document.text, document.line_starts, lines)
    return (
        loose.read(document.text)
        if found is None
        else [*found, *loose.comments(document.text), *loose.sql(document.text)]
    )


def _mentions(text: str) -> Iterator[int]:
    """Yield where a text speaks of credentials."""
    small = text.lower() if text.isascii() else _fold(text)
    for word in _WORDS:
        place = small.find(word)
        while place >= 0:
            yield place
            place = small.find(word, place + len(word))


def _fold(text: str) -> str:
    """Lower case that keeps every offset: `lower` makes two characters of some."""
    return text.translate(_SMALL)

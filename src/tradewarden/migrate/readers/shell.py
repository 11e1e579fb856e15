"""Shell scripts and Dockerfiles: variables that are set, defaults of variables, and options of commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tradewarden.migrate.candidate import Candidate
from tradewarden.migrate.readers.commands import passwords

if TYPE_CHECKING:
    from collections.abc import Iterator

_VALUE = r"""(?:'(?P<single>[^'\r\n]*)'|"(?P<double>(?:[^"\\\r\n]|\\.)*)"|(?P<bare>[^\s"'`;&|<>()][^\s"'`;&|<>()]*))"""
_SET = re.compile(
    rf"""(?:(?<=[\s;&|(`"'])|^)(?:-[eE]\s?|--env[= ]|--build-arg[= ])?(?P<key>[A-Za-z_]\w*)=(?:{_VALUE})""",
    re.MULTILINE,
)
_DEFAULT = re.compile(r"""\$\{(?P<key>[A-Za-z_]\w*):?[-=](?P<bare>[^${}"'\s]+)\}""")
_OPTION = re.compile(rf"""(?<=[\s"'\[,])--?(?P<key>[A-Za-z][\w-]*)["']?(?:=|,?\s+)(?:{_VALUE})""")
_SAID = re.compile(r"""(?P<key>[A-Za-z_][\w-]{2,60}):[ ]+(?P<bare>[A-Za-z0-9+/=_-]{12,200})(?=["'\\\s]|$)""")
_ENV = re.compile(
    r"""^[ \t]*(?:ENV|ARG)[ \t]+(?P<key>[A-Za-z_]\w*)[ \t]+(?P<bare>[^\s=][^\r\n]*?)[ \t]*$""", re.MULTILINE
)


def read(text: str) -> Iterator[Candidate]:
    """Yield what is given to a variable or an option."""
    for pattern in (_SET, _OPTION):
        for match in pattern.finditer(text):
            yield from _candidate(match, match["key"])
    for match in _DEFAULT.finditer(text):
        yield from _candidate(match, match["key"])
    for match in _SAID.finditer(text):
        yield from (each._replace(member=True) for each in _candidate(match, match["key"]))
    yield from passwords(text)


def options(text: str) -> Iterator[Candidate]:
    """Yield the values of options, for texts that are no scripts and hold commands."""
    for match in _OPTION.finditer(text):
        yield from _candidate(match, match["key"])


def dockerfile(text: str) -> Iterator[Candidate]:
    """Yield the same of a Dockerfile, where `ENV NAME value` sets a variable too."""
    yield from read(text)
    for match in _ENV.finditer(text):
        yield from _candidate(match, match["key"])


def _candidate(match: re.Match[str], key: str) -> Iterator[Candidate]:
    groups = match.groupdict()
    which = next((name for name in ("single", "double", "bare") if groups.get(name) is not None), "bare")
    raw = groups[which] or ""
    value = re.sub(r"\\([\"\\$`])", r"\1", raw) if which == "double" else raw
    if value:
        yield Candidate(match.start(which), match.start(which) + len(raw), value, key, quoted=which != "bare")

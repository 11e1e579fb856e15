"""Shell scripts and Dockerfiles: variables that are set, defaults of variables, and options of commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tradewarden.migrate.candidate import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator

_VALUE = r"""(?:'(?P<single>[^'\r\n]*)'|"(?P<double>(?:[^"\\\r\n]|\\.)*)"|(?P<bare>[^\s"'`;&|<>()][^\s"'`;&|<>()]*))"""
_SET = re.compile(
    rf"""(?:(?<=[\s;&|(`"'])|^)(?:-[eE]\s?|--env[= ]|--build-arg[= ])?(?P<key>[A-Za-z_]\w*)=(?:{_VALUE})""",
    re.MULTILINE,
)
_DEFAULT = re.compile(r"""\$\{(?P<key>[A-Za-z_]\w*):?[-=](?P<bare>[^${}"'\s]+)\}""")
_OPTION = re.compile(rf"""(?<=[\s"'\[,])--?(?P<key>[A-Za-z][\w-]*)["']?(?:=|,?\s+)(?:{_VALUE})""")
_COMMANDS: Final = (
    (
        (" -u", " --user"),
        re.compile(r"""\s(?:-u|--user)[= ]?\s*["']?[\w.@-]+:(?P<bare>[^\s"':$]{4,200})"""),
        "password",
    ),
    (
        ("mysql", "mariadb", "sshpass"),
        re.compile(
            r"""\b(?:mysql|mysqldump|mariadb|sshpass)\b[^\r\n;|]{0,200}?\s-p\s?["']?(?P<bare>[^\s"'$-][^\s"']{3,200})"""
        ),
        "password",
    ),
    (("machine ",), re.compile(r"""\bmachine\s+\S+\s+login\s+\S+\s+password\s+(?P<bare>\S+)"""), "password"),
    (
        ("redis-cli",),
        re.compile(r"""\bredis-cli\b[^\r\n;|]{0,200}?[\s"']-a["']?[\s,]+["']?(?P<bare>[^\s"'$][^\s"']{3,200})"""),
        "redis_password",
    ),
    (
        ("aws configure",),
        re.compile(r"""\baws\s+configure\s+set\s+aws_secret_access_key\s+["']?(?P<bare>[A-Za-z0-9/+]{40})"""),
        "aws_secret_access_key",
    ),
    (
        ("--from-literal",),
        re.compile(r"""--from-literal[= ]["']?(?P<key>[A-Za-z_][\w.-]*)=["']?(?P<bare>[^\s"'$]+)"""),
        "",
    ),
    (
        ("-H", "--header"),
        re.compile(r"""(?:-H|--header)[= ]\s*["'](?P<key>[A-Za-z][\w-]*):\s*(?P<bare>[^\s"'$]+)["']"""),
        "",
    ),
)
"""What a text must hold, the pattern, and what the value is called where the command does not say."""
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


def passwords(text: str) -> Iterator[Candidate]:
    """Yield what commands take without a name, or under one of their own: `curl -u user:…`, `mysql -p…`."""
    for anchors, pattern, key in _COMMANDS:
        if any(anchor in text for anchor in anchors):
            for match in pattern.finditer(text):
                yield from _candidate(match, key or match["key"])


def _candidate(match: re.Match[str], key: str) -> Iterator[Candidate]:
    groups = match.groupdict()
    which = next((name for name in ("single", "double", "bare") if groups.get(name) is not None), "bare")
    raw = groups[which] or ""
    value = re.sub(r"\\([\"\\$`])", r"\1", raw) if which == "double" else raw
    if value:
        yield Candidate(match.start(which), match.start(which) + len(raw), value, key, quoted=which != "bare")

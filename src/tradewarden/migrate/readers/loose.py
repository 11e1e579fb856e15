"""Text of no known kind: `name = "value"` and `name: value` as most languages write it, line by line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tradewarden.migrate.candidate import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator

_ASSIGNED = re.compile(
    r"""(?<![\w.-])(?P<key>[A-Za-z_][\w.-]{0,100})(?:\\?["'])?\]?\s{0,4}
    (?: :\s?[\w.<>|\[\]]{1,40}\s{0,4}= | => | := | [=:] )\s{0,4}
    \\?(?P<quote>["'])(?P<value>[^"'`\\\r\n]{4,2000})\\?(?P=quote)""",
    re.VERBOSE,
)
_BARE = re.compile(
    r"""(?<![\w.-])(?P<key>[A-Za-z_][\w.-]{0,100})["']?(?:=|[ \t]{0,4}[:=][ \t]{0,4})
    (?P<value>[^\s"'`;,()<>{}\[\]&|\\]{8,200})(?=[\s"'`;,&]|$)""",
    re.VERBOSE,
)
_XML = re.compile(r"""<(?P<key>[A-Za-z_][\w.-]{0,100})>(?P<value>[^<>\s]{4,2000})</(?P=key)>""")
_XML_PAIR = re.compile(r"""\b(?:key|name)="(?P<key>[^"\r\n]{1,100})"\s+value="(?P<value>[^"\r\n]{4,2000})\"""")
_SQL = re.compile(r"""(?i)\b(?:password|identified\s+by)\s+'(?P<value>[^'\s]{4,200})'""")
_SQL_WORDS = ("assword '", "ASSWORD '", "dentified ", "DENTIFIED ")
_PGPASS = re.compile(r"""^[^:#\s]+:(?:\d{1,5}|\*):[^:\s]+:[^:\s]+:(?P<value>\S{4,200})$""", re.MULTILINE)
_MADE = re.compile(
    r"""(?x)\b(?P<key>(?:[Bb]inance|[Bb]ybit|[Cc]oinbase|[Kk]raken|[Pp]olygon|[Ff]innhub)\w*)(?:\.\w+)?\(\s*
    ["'](?P<first>[A-Za-z0-9+/=_-]{16,200})["'](?:\s*,\s*["'](?P<second>[A-Za-z0-9+/=_-]{16,200})["'])?"""
)
_COMMENT = re.compile(r"^[^\r\n#]*#[^\r\n]*", re.MULTILINE)


def read(text: str) -> Iterator[Candidate]:
    """Yield what is assigned: in quotes; without, where it ends with its line or word; in XML, SQL and `.pgpass`."""
    for pattern in (_ASSIGNED, _XML, _XML_PAIR) if ' value="' in text else (_ASSIGNED, _XML):
        for match in pattern.finditer(text):
            yield _candidate(match, match["key"])
    for match in _BARE.finditer(text):
        yield _candidate(match, match["key"])._replace(quoted=False, member=True)
    for match in _PGPASS.finditer(text):
        yield _candidate(match, "db_password")
    for match in _MADE.finditer(text):
        for which, key in (("first", "api_key"), ("second", "api_secret")):
            if match[which]:
                yield Candidate(match.start(which), match.end(which), match[which], key, (match["key"],))
    yield from sql(text)


def sql(text: str) -> Iterator[Candidate]:
    """Yield the passwords that statements give to roles."""
    for match in _SQL.finditer(text) if any(word in text for word in _SQL_WORDS) else ():
        yield _candidate(match, "db_password")


def comments(text: str) -> Iterator[Candidate]:
    """Yield what was commented out with `#`, with its quotes."""
    for comment in _COMMENT.finditer(text):
        begin = text.index("#", comment.start())
        for match in _ASSIGNED.finditer(text, begin, comment.end()):
            yield _candidate(match, match["key"])


def _candidate(match: re.Match[str], key: str) -> Candidate:
    return Candidate(match.start("value"), match.end("value"), match["value"], key.rpartition(".")[2])

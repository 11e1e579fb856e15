"""Text of no known kind: `name = "value"` and `name: value` as most languages write it, line by line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tradewarden.migrate.candidate import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator

_ASSIGNED = re.compile(
    r"""(?<![\w.-])(?P<key>[A-Za-z_][\w.-]{0,100})(?:\\?["'])?\]?\s{0,4}
    (?: :\s?(?:&(?:'static\s)?)?[\w.<>|\[\]?]{1,40}\s{0,4}= | => | := | [=:] | (?P<compared>[=!]==?)
      | \|\| | \?\? )\s{0,4}\\?(?P<quote>["']|`(?![A-Za-z_]\w{1,60}=)(?=[^`\r\n]{0,200}[0-9]))
    (?P<value>[^"'`\\\r\n]{4,2000})\\?(?P=quote)""",
    re.VERBOSE,
)
_BARE = re.compile(
    r"""(?<![\w.-])(?P<key>[A-Za-z_][\w.-]{0,100})["']?(?:=|[ \t]{0,4}[:=][ \t]{0,4})
    (?![A-Z][A-Z0-9_]{2,60}=[^=\s])(?P<value>[^\s"'`;,()<>{}\[\]&|\\]{8,200})(?=[\s"'`;,&]|$)""",
    re.VERBOSE,
)
_XML = re.compile(r"""<(?P<key>[A-Za-z_][\w.-]{0,100})>(?P<value>[^<>\s]{4,2000})</(?P=key)>""")
_XML_PAIR = re.compile(r"""\b(?:key|name)="(?P<key>[^"\r\n]{1,100})"\s+value="(?P<value>[^"\r\n]{4,2000})\"""")
_SQL = re.compile(r"""(?i)\b(?:password|\buser\s[^;]{1,100}?\bidentified\s+by)\s+'(?P<value>[^'\s]{4,200})'""")
_SQL_WORDS = ("assword '", "ASSWORD '", "dentified ", "DENTIFIED ")
_PGPASS = re.compile(r"""^[^:#\s]+:(?:\d{1,5}|\*):[^:\s]+:[^:\s]+:(?P<value>\S{4,200})$""", re.MULTILINE)
_MADE = re.compile(
    r"""(?x)\b(?P<key>(?:[Bb]inance|[Bb]ybit|[Cc]oinbase|[Kk]raken|[Pp]olygon|[Ff]innhub)\w*)(?:\.\w+)?\(\s*
    ["'](?P<first>[A-Za-z0-9+/=_-]{16,200})["'](?:\s*,\s*["'](?P<second>[A-Za-z0-9+/=_-]{16,200})["'])?"""
)
_SENDS = (
    "Client(",
    "API(",
    "Api(",
    "REST(",
    "Rest(",
    "Bot(",
    "Connector(",
    "Exchange(",
    "Gateway(",
    "Signer(",
    "SDK(",
    "Sdk(",
)
_SIGNS_IN = re.compile(
    r"""(?x)(?P<key>Client|API|Api|REST|Rest|Bot|Connector|Exchange|Gateway|Signer|SDK|Sdk)\(\s{0,9}
    ["'](?P<first>[A-Za-z0-9+/=_-]{16,200})["'](?:\s{0,9},\s{0,9}["'](?P<second>[A-Za-z0-9+/=_-]{16,200})["'])?"""
)
_GIVEN = re.compile(
    r"""(?x)\(\s{0,9}(?P<q>["'])(?P<key>[A-Za-z_][\w.-]{0,100})(?P=q)\s{0,9},\s{0,9}
    (?P<quote>["'])(?P<value>[^"'`\\\r\n]{4,2000})(?P=quote)"""
)
_GIVES = re.compile(r"(?:put|add|append|header|option|property|config|with[A-Z_]?\w{0,40}|set[A-Z_]?\w{0,40})\Z")
_CALLEE: Final = 50
_CALLED = re.compile(
    r"""(?x)(?<![\w.])(?P<key>[A-Za-z_][\w.]{2,60})\(\s{0,9}
    (?P<quote>["'])(?=[^"'\s]{0,199}[0-9])(?P<value>[A-Za-z0-9+/=_.-]{16,500})(?P=quote)\s{0,9}\)"""
)
"""What sets a key by the name of what is called: `av_api_key("…")`."""
_PAIR = re.compile(
    r"""\\?"(?P<key>[A-Za-z_][\w.-]{0,60})\\?"[ \t]{0,4}:[ \t]{0,4}\\?"(?P<value>[^"'\\\r\n]{4,2000})\\?\""""
)
_VARIABLE = re.compile(
    r"""variable "(?P<key>[\w-]{1,100})"\s{0,4}\{[^{}]{0,400}?\bdefault\s{0,20}=\s{0,4}"""
    r'"(?P<value>[^"\\\r\n]{4,2000})"'
)
_CELL = re.compile(
    r"""(?x)\|[\ \t*`]{0,4}(?P<key>[A-Za-z_][\w.-]{0,60})[\ \t*`]{0,4}
    \|[\ \t]{0,4}`?(?P<value>[^\s|`]{12,500})`?[\ \t]{0,9}\|"""
)
_COMMENT = re.compile(r"^[^\r\n#]*#[^\r\n]*", re.MULTILINE)


def read(text: str) -> Iterator[Candidate]:
    """Yield what is assigned: in quotes; without, where it ends with its line or word; in XML, SQL and `.pgpass`."""
    for pattern in (_ASSIGNED, _XML, _XML_PAIR) if ' value="' in text else (_ASSIGNED, _XML):
        for match in pattern.finditer(text):
            found = _candidate(match, match["key"])
            yield found._replace(member=True) if match.groupdict().get("compared") else found
    for match in _BARE.finditer(text):
        yield _candidate(match, match["key"])._replace(quoted=False, member=True)
    for match in _PGPASS.finditer(text):
        yield _candidate(match, "db_password")
    yield from _called(text)
    for match in _VARIABLE.finditer(text) if 'variable "' in text else ():
        yield _candidate(match, match["key"])
    for match in _CELL.finditer(text) if "| " in text else ():
        yield _candidate(match, match["key"])._replace(quoted=False, member=True)
    yield from _made(_MADE, text, "api_key")
    if any(each in text for each in _SENDS):
        yield from _made(_SIGNS_IN, text, "key")
    yield from sql(text)


def _called(text: str) -> Iterator[Candidate]:
    for match in _GIVEN.finditer(text):
        if _GIVES.search(text, max(0, match.start() - _CALLEE), match.start()):
            yield _candidate(match, match["key"])
    for match in _CALLED.finditer(text):
        yield _candidate(match, match["key"])._replace(member=True)


def _made(pattern: re.Pattern[str], text: str, first: str) -> Iterator[Candidate]:
    for match in pattern.finditer(text):
        for which, key in (("first", first), ("second", "api_secret")):
            if match[which]:
                yield Candidate(match.start(which), match.end(which), match[which], key, (match["key"],))


def sql(text: str) -> Iterator[Candidate]:
    """Yield the passwords that statements give to roles."""
    for match in _SQL.finditer(text) if any(word in text for word in _SQL_WORDS) else ():
        yield _candidate(match, "db_password")


def bodies(text: str) -> Iterator[Candidate]:
    """Yield the pairs of JSON that a command sends: `curl -d '{"password": "…"}'`."""
    for match in _PAIR.finditer(text):
        yield _candidate(match, match["key"])


def inside(text: str) -> Iterator[Candidate]:
    """Yield what is assigned in quotes within longer values: `sasl.jaas.config=… password="…"`."""
    for match in _ASSIGNED.finditer(text):
        yield _candidate(match, match["key"])


def comments(text: str) -> Iterator[Candidate]:
    """Yield what was commented out with `#`, with its quotes."""
    for comment in _COMMENT.finditer(text):
        begin = text.index("#", comment.start())
        for match in _ASSIGNED.finditer(text, begin, comment.end()):
            yield _candidate(match, match["key"])


def _candidate(match: re.Match[str], key: str) -> Candidate:
    return Candidate(match.start("value"), match.end("value"), match["value"], key.rpartition(".")[2])

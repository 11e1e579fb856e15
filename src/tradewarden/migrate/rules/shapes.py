"""Credentials that are known by their shape alone, wherever they stand in a text. Pure.

Each shape has an anchor, a piece of text that every match holds: a file without it is not searched.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from tradewarden.migrate.rules import values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_LONGEST_SCHEME: Final = 40
_SCHEME: Final = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*\Z")
_DATABASE: Final = re.compile(r"(?:postgres|postgresql|mysql|mariadb|timescaledb|cockroachdb|mssql|oracle)\b")


class Hit(NamedTuple):
    """What a shape found: `text[start:end]` is the credential, `key` what the text calls it, if it does."""

    start: int
    end: int
    rule: str
    key: str = ""
    embedded: bool = False
    """It is only a part of a longer value, like the token in a header; then the longer value is not the credential."""
    quoted: bool = False
    """In code it counts only inside a string."""
    weak: bool = False
    """Others look so too (a digest in base64): it counts only where its name says that it is a key."""


class Shape(NamedTuple):
    """One shape. The group `it` of the pattern is the credential, the group `key` names it, where they exist."""

    rule: str
    anchors: tuple[str, ...]
    pattern: re.Pattern[str]
    accepts: Callable[[str], bool] = bool
    embedded: bool = False
    weak: bool = False
    quoted: bool = False


_BINANCE: Final = "binance-key"
_LONGEST_PEM: Final = 8_000
_URL_PASSWORD: Final = "url-password"  # noqa: S105 - the name of a rule
_BEGIN = r"(?<![A-Za-z0-9_+/-])"
_END = r"(?![A-Za-z0-9_+/=-])"
_SHORTEST_PASSWORD: Final = 3
_MADE_ENTROPY: Final = 3.0
_BINANCE_ENTROPY: Final = 4.5
"""Bits a character that 64 characters out of 62 have; hexadecimal digests have at most four."""


def _filled(value: str) -> bool:
    return not values.placeholder(value)


def _random(value: str) -> bool:
    return values.random(value) and _filled(value)


def _made(value: str) -> bool:
    """For a shape that nothing else has: it is filled in, and no row of one character."""
    return values.entropy(value) >= _MADE_ENTROPY and _filled(value)


def _password(value: str) -> bool:
    return len(value) >= _SHORTEST_PASSWORD and _filled(value) and "{" not in value and not value.startswith(("$", "%"))


def _binance(value: str) -> bool:
    return (
        values.random(value, 64) and values.entropy(value) > _BINANCE_ENTROPY and any(each.isdigit() for each in value)
    )


SHAPES: Final[tuple[Shape, ...]] = (
    Shape(
        "private-key",
        ("PRIVATE KEY-----",),
        re.compile(
            r"-----BEGIN (?P<kind>(?:[A-Z0-9]+ ){0,4})PRIVATE KEY-----"
            r"(?:(?!-----)[\s\S]){64,20000}-----END (?P=kind)PRIVATE KEY-----"
        ),
        lambda value: values.random(re.sub(r"\\n|\s", "", value.split("-----")[2])[:400], 48),
    ),
    Shape(
        _URL_PASSWORD,
        ("://",),
        re.compile(
            r"(?<=[A-Za-z0-9])://[^\s\"'`<>/@:?#{}]{0,200}:(?P<password>[^\s\"'`<>/@]{1,300})@"
            r"(?:[^\s\"'`<>(),;\\]|,(?=[\w.-]{1,80}(?::\d{1,5})?[,/]))+"
        ),
    ),
    Shape(
        "bearer-token",
        ("earer ", "EARER ", "oken ", "ey "),
        re.compile(
            r"(?:\b[Bb]earer|\bBEARER"
            r"|(?:[\"']|[Aa]uthorization[\"']?\s{0,3}:\s{0,3}[\"']?)(?:[Tt]oken|[Aa]pi[Kk]ey))\s{1,9}(?P<it>[A-Za-z0-9._~+/=-]{16,4096})"
        ),
        _random,
        embedded=True,
    ),
    Shape(
        "basic-authorization",
        ("asic ",),
        re.compile(r"\bBasic\s{1,9}(?P<it>[A-Za-z0-9+/]{12,512}={0,2})"),
        _random,
        embedded=True,
    ),
    Shape(
        "url-credential",
        ("=",),
        re.compile(
            r"(?i)[?&](?P<key>x-api-key|api[-_]?key|(?:access_|api)?token|auth|secret|key|sig(?:nature)?|password)="
            r"(?P<it>[A-Za-z0-9._~+/-]{12,512}={0,2})"
        ),
        _random,
        embedded=True,
    ),
    Shape(
        "dsn-password",
        ("assword", "ASSWORD", "pwd", "Pwd", "PWD"),
        re.compile(
            r"(?i)\b(?:host|dbname|user|server|port|uid|user id|data source)\s?=[^\s;\"'][^\"'\n]{0,200}?[\s;]"
            r"(?P<key>password|pwd)\s?=\s?(?P<it>[^\s;\"'&]{3,200})"
        ),
        _password,
        embedded=True,
        quoted=True,
    ),
    Shape(
        "aws-access-key-id",
        ("AKIA", "ASIA", "ABIA", "ACCA"),
        re.compile(rf"{_BEGIN}(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{{16}}{_END}"),
        _filled,
    ),
    Shape(
        "vault-token",
        ("hvs.", "hvb.", "hvr.", "s."),
        re.compile(r"(?<![A-Za-z0-9_.-])(?:hv[sbr]\.[A-Za-z0-9_-]{24,200}|s\.[A-Za-z0-9]{24})(?![A-Za-z0-9_.-])"),
        _random,
    ),
    Shape(
        "iex-cloud-token",
        ("k_",),
        re.compile(r"(?<![A-Za-z0-9_])T?(?:sk|pk)_[0-9a-f]{32}(?![A-Za-z0-9_])"),
        _made,
    ),
    Shape(
        "telegram-bot-token",
        (":AA",),
        re.compile(r"(?<![0-9A-Za-z])(?:bot)?(?P<it>\d{8,10}:AA[0-9A-Za-z_-]{33})(?![0-9A-Za-z_-])"),
        _made,
    ),
    Shape(
        "npm-token",
        ("npm_",),
        re.compile(r"(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{36}(?![A-Za-z0-9_])"),
        _made,
    ),
    Shape(
        "slack-webhook",
        ("hooks.slack.com/",),
        re.compile(r"https://hooks\.slack\.com/(?:services|workflows|triggers)/\w{1,40}/\w{1,40}/[A-Za-z0-9_]{16,80}"),
        _random,
    ),
    Shape(
        "discord-webhook",
        ("/api/webhooks/", "/webhooks/"),
        re.compile(r"https://(?:\w+\.)?discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d{15,21}/[A-Za-z0-9_-]{40,100}"),
        _random,
    ),
    Shape(
        "coinbase-key-name",
        ("organizations/",),
        re.compile(r"organizations/[0-9a-f-]{36}/apiKeys/[0-9a-f-]{36}"),
        _filled,
    ),
    Shape(
        "rpc-url-key",
        ("/v2/", "/v3/", "quiknode.pro/", "ankr.com/", "getblock.io/"),
        re.compile(
            r"[a-z0-9.-]{1,80}(?:infura\.io/(?:ws/)?v3|alchemy(?:api)?\.(?:com|io)/v2|quiknode\.pro|getblock\.io"
            r"|ankr\.com/\w{2,20})/(?P<it>[A-Za-z0-9_-]{24,64})(?![A-Za-z0-9_-])"
        ),
        _random,
        embedded=True,
    ),
    Shape(_BINANCE, ("",), re.compile(rf"{_BEGIN}(?<!integrity=[\"'])[A-Za-z0-9]{{64}}{_END}"), _binance),
    Shape(
        "kraken-secret",
        ("==",),
        re.compile(r"(?<![A-Za-z0-9_+/=.-])[A-Za-z0-9+/]{86}=="),
        lambda value: values.random(value, 88) and _filled(value),
        weak=True,
    ),
    Shape(
        "fernet-key",
        ("=",),
        re.compile(r"(?<![A-Za-z0-9_+/.-])[A-Za-z0-9_-]{43}=(?![A-Za-z0-9=])"),
        lambda value: values.random(value, 44) and _filled(value),
        weak=True,
    ),
)


def hits(text: str) -> Iterator[Hit]:
    """Yield every credential of a known shape."""
    for shape in SHAPES:
        if not any(anchor in text for anchor in shape.anchors):
            continue
        for match in shape.pattern.finditer(text):
            hit = _url(match) if shape.rule == _URL_PASSWORD else _hit(shape, match)
            if hit is not None:
                yield hit


def _hit(shape: Shape, match: re.Match[str]) -> Hit | None:
    groups = match.groupdict()
    which = "it" if groups.get("it") else 0
    if not shape.accepts(match[which]) or (shape.rule == _BINANCE and _in_public_pem(match.string, match.start())):
        return None
    return Hit(
        match.start(which),
        match.end(which),
        shape.rule,
        groups.get("key") or "",
        shape.embedded,
        shape.quoted,
        shape.weak,
    )


def _in_public_pem(text: str, place: int) -> bool:
    """Tell whether it is a line of a certificate or public key, whose lines are as long as a key of Binance."""
    before = text[max(0, place - _LONGEST_PEM) : place]
    begin = before.rfind("-----BEGIN ")
    return begin > before.rfind("-----END ") and "PRIVATE" not in before[begin : begin + 40]


def _url(match: re.Match[str]) -> Hit | None:
    """A whole URL is the credential; in one with parts that are filled in at run time only the password is."""
    scheme = _SCHEME.search(match.string, max(0, match.start() - _LONGEST_SCHEME), match.start())
    if scheme is None or not _password(match["password"]):
        return None
    url = match[0].rstrip(".:")
    if "{" in url or "%(" in url or "%s" in url or "$" in url:
        kind = scheme[0].partition("+")[0]
        key = "db_password" if _DATABASE.match(kind) else f"{kind}_password"
        return Hit(match.start("password"), match.end("password"), _URL_PASSWORD, key, embedded=True)
    return Hit(scheme.start(), match.start() + len(url), _URL_PASSWORD)

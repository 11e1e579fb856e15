"""What a variable's text may be: each kind has a name for people and a parser.

A parser raises ValueError with what is wrong and what to do, and never repeats its input: the
caller knows whether the value may be shown.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from tradewarden.settings.secret import Secret

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Network = IPv4Network | IPv6Network

SECRET_BYTES = 32
HOW_TO_MAKE_ONE = "make one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
HOW_TO_MAKE_FERNET = (
    "make one: python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T_co]):
    """A type of setting: its name in the documentation and its parser."""

    name: str
    parse: Callable[[str], T_co]


class RateLimit(NamedTuple):
    """At most `calls` calls in `seconds` seconds."""

    calls: int
    seconds: int


# Per process, per address before authentication and per principal after it.
RATE_LIMITS: Mapping[str, RateLimit] = MappingProxyType(
    {
        "anonymous": RateLimit(100, 1),
        "open": RateLimit(1_000, 1),
        "read": RateLimit(200_000, 1),
        "write": RateLimit(50_000, 1),
        "issue": RateLimit(20_000, 1),
        "admin": RateLimit(20_000, 1),
    }
)


def _items(text: str) -> list[str]:
    return [item for item in (part.strip() for part in text.split(",")) if item]


def _flag(text: str) -> bool:
    word = text.lower()
    if word in {"true", "yes", "on", "1"}:
        return True
    if word in {"false", "no", "off", "0"}:
        return False
    raise ValueError("is neither true nor false; write one of the two")


def _text(text: str) -> str:
    return text


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]+", text):
        raise ValueError("is no address or host name; write for example 127.0.0.1 or ::1")
    return text


def _trust_domain(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9._-]{1,255}", text):
        raise ValueError("is no SPIFFE trust domain; use lower-case letters, digits, dots, dashes")
    return text


def _secret(text: str) -> Secret:
    return Secret(text)


def _strong_secret(text: str) -> Secret:
    if len(text.encode()) < SECRET_BYTES:
        raise ValueError(f"is shorter than {SECRET_BYTES} bytes; {HOW_TO_MAKE_ONE}")
    return Secret(text)


def _fernet_key(text: str) -> Secret:
    fits = re.fullmatch(r"[A-Za-z0-9_-]{43}=", text)
    if not fits or len(base64.urlsafe_b64decode(text)) != SECRET_BYTES:
        raise ValueError(f"is no Fernet key (32 bytes in URL-safe base64); {HOW_TO_MAKE_FERNET}")
    return Secret(text)


def _root_key(text: str) -> Secret:
    scheme, _, rest = text.partition(":")
    if scheme not in {"file", "env", "passphrase"}:
        raise ValueError("names no root key source of this version; use file:, env: or passphrase:")
    if scheme == "passphrase":
        # Only where it is read from; the passphrase itself never stands in the URI.
        if not re.fullmatch(r"((env|file):.+)?", rest):
            raise ValueError("is no passphrase:, passphrase:env:NAME or passphrase:file:PATH")
    elif not rest:
        raise ValueError(f"says {scheme}: and nothing after it; name what to read")
    return Secret(text)


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and parts.hostname
        has_login = parts.username is not None or parts.password is not None
    except ValueError:
        usable, has_login = None, False
    if not usable:
        raise ValueError("is no http or https address; write for example https://vault:8200")
    if has_login:
        raise ValueError("carries a login in the address; put it into its own variable")
    return text.rstrip("/")


def _database(text: str) -> Path:
    scheme, separator, rest = text.partition("://")
    if scheme.partition("+")[0] in {"postgres", "postgresql"}:
        raise ValueError("names PostgreSQL, which this version does not have yet; use sqlite:///path or unset it")
    path = unquote(rest.removeprefix("/"))
    if scheme != "sqlite" or not separator or not rest.startswith("/") or not path:
        raise ValueError("is no sqlite:///relative/path or sqlite:////absolute/path")
    if "?" in rest or "#" in rest or path == ":memory:":
        raise ValueError("must name a plain file, without options: sqlite:///path/to/file.db")
    return Path(path)


def _networks(text: str) -> tuple[Network, ...]:
    found = []
    for item in _items(text):
        try:
            found.append(ip_network(item))
        except ValueError:
            raise ValueError(f"holds {_as_meant(item)}") from None
    return tuple(found)


def _as_meant(item: str) -> str:
    try:
        meant = ip_network(item, strict=False)
    except ValueError:
        return f"{item!r}, which is no network; write for example 10.0.0.0/8, fd00::/8 or 10.1.2.3"
    return f"{item!r}, which has bits beyond its mask; write {meant}"


def _origins(text: str) -> tuple[str, ...]:
    items = tuple(_items(text))
    for item in items:
        if item != "*" and not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:_-]+", item):
            raise ValueError(f"holds {item!r}, which is no origin; write https://host or https://host:port")
    return items


def _rate_limits(text: str) -> Mapping[str, RateLimit]:
    limits = dict(RATE_LIMITS)
    for item in _items(text):
        match = re.fullmatch(r"([a-z]+)\s*=\s*([0-9]{1,9})/([0-9]{1,5})", item)
        if match is None:
            raise ValueError(f"holds {item!r}; write class=count/seconds, for example anonymous=100/1")
        name, count, seconds = match[1], int(match[2]), int(match[3])
        if name not in RATE_LIMITS:
            raise ValueError(f"holds the unknown class {name!r}; classes are {', '.join(RATE_LIMITS)}")
        if not count or not seconds:
            raise ValueError(f"holds {item!r}; count and seconds are at least 1")
        limits[name] = RateLimit(count, seconds)
    return MappingProxyType(limits)


def whole(least: int, most: int) -> Kind[int]:
    """Returns the kind of whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        # No sign, no underscores, no other scripts' digits: int() takes all of them.
        number = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else -1
        if not least <= number <= most:
            raise ValueError(f"is no whole number from {least} to {most}; write one")
        return number

    return Kind(f"whole number, {least} to {most}", parse)


def one_of(choices: tuple[T, ...]) -> Kind[T]:
    """Returns the kind of exactly these texts, in any case."""
    names = {str(choice).lower(): choice for choice in choices}
    listed = ", ".join(str(choice) for choice in choices)

    def parse(text: str) -> T:
        if text.lower() not in names:
            raise ValueError(f"is not one of {listed}; choose one")
        return names[text.lower()]

    return Kind(f"one of {listed}", parse)


FLAG = Kind("true or false", _flag)
PATH = Kind("path", Path)
TEXT = Kind("text", _text)
HOST = Kind("address or host name", _host)
TRUST_DOMAIN = Kind("SPIFFE trust domain", _trust_domain)
SECRET = Kind("secret", _secret)
STRONG_SECRET = Kind("secret of 32 bytes or more", _strong_secret)
FERNET_KEY = Kind("Fernet key", _fernet_key)
ROOT_KEY = Kind("file:, env: or passphrase: URI", _root_key)
WEB_ADDRESS = Kind("http or https address", _web_address)
DATABASE = Kind("sqlite:/// URL", _database)
NETWORKS = Kind("networks, separated by commas", _networks)
ORIGINS = Kind("origins, separated by commas", _origins)
LIMITS = Kind("class=count/seconds, separated by commas", _rate_limits)
PORT = whole(0, 65535)

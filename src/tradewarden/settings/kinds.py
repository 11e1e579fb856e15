"""What a variable's text may be: each kind has a name for people and a parser.

A parser raises ValueError with what is wrong and what to do, and never repeats its input: the
caller knows whether the value may be shown.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote

from tradewarden.ip import web_address
from tradewarden.settings.pkcs11 import TokenUri, is_token_uri, parse_token_uri
from tradewarden.settings.secret import Secret

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Network = IPv4Network | IPv6Network

SECRET_BYTES = 32
_LAST_PORT = 65535
_SHOWN, _SHOWN_OF_ADDRESS = 22, 80
_LOGIN = re.compile(r"//.*@", re.DOTALL)
HOW_TO_MAKE_ONE = "make one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
HOW_TO_MAKE_FERNET = (
    "make one: python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T_co]):
    """A type of setting: its name in the documentation and its parser."""

    name: str
    parse: Callable[[str], T_co]


def shown(text: str) -> str:
    """Returns what a message may show of a text that is not as it should be.

    A login in an address is left out; so is what is long and no address: it may be a credential in the wrong place.
    """
    if "://" in text:
        return repr(_LOGIN.sub("//…@", text)[:_SHOWN_OF_ADDRESS])
    return repr(text) if len(text) <= _SHOWN else f"a text of {len(text)} characters"


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
    if scheme not in {"file", "env", "passphrase", "pkcs11"}:
        raise ValueError("names no root key source of this version; use file:, env:, passphrase: or pkcs11:")
    if scheme == "pkcs11":
        parse_token_uri(text)
    if scheme == "passphrase":
        # Only where it is read from; the passphrase itself never stands in the URI.
        if not re.fullmatch(r"((env|file):.+)?", rest):
            raise ValueError("is no passphrase:, passphrase:env:NAME or passphrase:file:PATH")
    elif not rest:
        raise ValueError(f"says {scheme}: and nothing after it; name what to read")
    return Secret(text)


def _whole_token(text: str) -> TokenUri:
    uri = parse_token_uri(text)
    if uri.object or uri.id or uri.type:
        raise ValueError("names an object, and keys are labelled by themselves; name the token alone")
    return uri


def _key_place(text: str) -> Path | TokenUri:
    if not is_token_uri(text):
        return Path(text)
    uri = parse_token_uri(text)
    if not uri.object and not uri.id:
        raise ValueError("names no key in the token; add object= or id=")
    return uri


def _dns_server(text: str) -> tuple[str, int]:
    address, _, port = text[1:].partition("]:") if text.startswith("[") else text.partition(":")
    if text.count(":") > 1 and not text.startswith("["):
        address, port = text, ""
    try:
        found = str(ip_address(address.removesuffix("]")))
    except ValueError:
        raise ValueError("is no address; write for example 10.0.0.53, 10.0.0.53:5353 or [fd00::53]:5353") from None
    number = int(port or "53") if re.fullmatch(r"[0-9]{0,5}", port) else 0
    if not 0 < number <= _LAST_PORT:
        raise ValueError(f"names no port from 1 to {_LAST_PORT} behind the address")
    return found, number


def _host_ports(text: str) -> tuple[tuple[str, int], ...]:
    return tuple(dict.fromkeys(_host_port(item) for item in _items(text)))


def _host_port(item: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", item)
    if found is None or not 0 < int(found[3]) <= _LAST_PORT:
        raise ValueError(f"holds {shown(item)}; write host:port, for example db.internal:5432 or [fd00::1]:5432")
    return (found[1] or found[2]).lower(), int(found[3])


def _web_address(text: str) -> str:
    try:
        parts = web_address(text)
    except ValueError:
        raise ValueError("is no http or https address; write for example https://vault:8200") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("carries a login in the address; put it into its own variable")
    return text.rstrip("/")


def _region(text: str) -> str:
    # It becomes part of a host name.
    if not re.fullmatch(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}", text):
        raise ValueError("is no AWS region; write for example us-east-1")
    return text


def _public_url(text: str) -> str:
    url = _web_address(text)
    if not re.fullmatch(r"[!-~]{1,200}", url) or "?" in url or "#" in url:
        raise ValueError("is no plain address; write scheme, host, port and path, in ASCII and without ? and #")
    return url


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
            raise ValueError(f"holds {shown(item)}, which is no origin; write https://host or https://host:port")
    return items


def _rate_limits(text: str) -> Mapping[str, RateLimit]:
    limits = dict(RATE_LIMITS)
    for item in _items(text):
        match = re.fullmatch(r"([a-z]+)\s*=\s*([0-9]{1,9})/([0-9]{1,5})", item)
        if match is None:
            raise ValueError(f"holds {shown(item)}; write class=count/seconds, for example anonymous=100/1")
        name, count, seconds = match[1], int(match[2]), int(match[3])
        if name not in RATE_LIMITS:
            raise ValueError(f"holds the unknown class {name!r}; classes are {', '.join(RATE_LIMITS)}")
        if not count or not seconds:
            raise ValueError(f"holds {shown(item)}; count and seconds are at least 1")
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


def some_of(choices: tuple[T, ...]) -> Kind[tuple[T, ...]]:
    """Returns the kind of one or more of these texts, in any case, separated by commas."""
    one = one_of(choices)

    def parse(text: str) -> tuple[T, ...]:
        found = tuple(dict.fromkeys(map(one.parse, _items(text))))
        if not found:
            raise ValueError("is empty; choose at least one")
        return found

    return Kind(f"some {one.name.removeprefix('one ')}, separated by commas", parse)


FLAG = Kind("true or false", _flag)
PATH = Kind("path", Path)
TEXT = Kind("text", _text)
HOST = Kind("address or host name", _host)
TRUST_DOMAIN = Kind("SPIFFE trust domain", _trust_domain)
SECRET = Kind("secret", _secret)
STRONG_SECRET = Kind("secret of 32 bytes or more", _strong_secret)
FERNET_KEY = Kind("Fernet key", _fernet_key)
ROOT_KEY = Kind("file:, env:, passphrase: or pkcs11: URI", _root_key)
WHOLE_TOKEN = Kind("pkcs11: URI of a token", _whole_token)
KEY_PLACE = Kind("path, or pkcs11: URI of a key", _key_place)
PUBLIC_URL = Kind("http or https address", _public_url)
WEB_ADDRESS = Kind("http or https address", _web_address)
REGION = Kind("AWS region", _region)
DNS_SERVER = Kind("address, or address:port", _dns_server)
HOST_PORTS = Kind("host:port, separated by commas", _host_ports)
DATABASE = Kind("sqlite:/// URL", _database)
NETWORKS = Kind("networks, separated by commas", _networks)
ORIGINS = Kind("origins, separated by commas", _origins)
LIMITS = Kind("class=count/seconds, separated by commas", _rate_limits)
PORT = whole(0, 65535)

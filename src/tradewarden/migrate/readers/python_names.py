"""What Python code calls things: dotted names, targets of assignments, arguments that are known to be credentials."""

from __future__ import annotations

import ast
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tradewarden.migrate.readers.structured import is_name
from tradewarden.migrate.rules.keys import Trust, named_service, trust, words
from tradewarden.migrate.rules.values import is_uuid, random
from tradewarden.secrets.naming import EXCHANGES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PASSED_ON: Final = frozenset({"default", "default_value", "fallback", "value", "default_factory", "s", "text", "obj"})
"""Arguments that hold the value of what the call is assigned to: `Field(default="…")`, `SecretStr("…")`."""
_KEY_AND_SECRET: Final = MappingProxyType({0: "api_key", 1: "api_secret"})
_KEY_SECRET_PHRASE: Final = MappingProxyType({0: "api_key", 1: "api_secret", 2: "passphrase"})
_BY_PASSWORD: Final = frozenset({"basic", "digest", "login", "password", "plain", "simple", "user", "username"})
_AUTHENTICATES: Final = frozenset({"auth", "authenticator", "authentication", "credential", "credentials"})
"""A class that speaks of both takes a user and a password: `PlainTextAuthProvider("…", "…")`."""
GIVEN: Final = frozenset({"params", "args", "data", "value"})
_ASKING: Final = frozenset(
    {
        *(
            "get",
            "getenv",
            "load",
            "read",
            "open",
            "fetch",
            "lookup",
            "find",
            "pop",
            "input",
            "getpass",
            "prompt",
            "env",
        ),
        *(
            "config",
            "resolve",
            "require",
            "retrieve",
            "ask",
            "query",
            "select",
            "exists",
            "has",
            "is",
            "run",
            "check",
            "print",
        ),
    }
)
PAIRS: Final = ("auth", "creds", "credentials", "login")
"""Names of a pair of user and password."""
_POSITIONS: Final = {
    "jwt.encode": {1: "jwt_secret"},
    "jwt.decode": {1: "jwt_secret"},
    "hmac.new": {0: "hmac_key"},
    "hmac.digest": {0: "hmac_key"},
    "Fernet": {0: "encryption_key"},
    "HTTPBasicAuth": {1: "password"},
    "BasicAuth": {1: "password"},
    "HTTPDigestAuth": {1: "password"},
    "DigestAuth": {1: "password"},
    "HTTPProxyAuth": {1: "password"},
    "Redis": {3: "redis_password"},
    "StrictRedis": {3: "redis_password"},
    "InfluxDBClient": {3: "password"},
    "OAuth1": {0: "api_key", 1: "api_secret", 2: "access_token", 3: "access_token_secret"},
    "OAuth1Session": {0: "api_key", 1: "api_secret", 2: "access_token", 3: "access_token_secret"},
    "basic_auth": {1: "password"},
    "PlainCredentials": {1: "password"},
    "yagmail.SMTP": {1: "password"},
    "FTP": {2: "password"},
    "FTP_TLS": {2: "password"},
    "pymysql.connect": {2: "db_password"},
    "MySQLdb.connect": {2: "db_password"},
    "keyring.set_password": {2: "password"},
    "Signer": {0: "signing_key"},
    "TimestampSigner": {0: "signing_key"},
    "Serializer": {0: "signing_key"},
    "TimedSerializer": {0: "signing_key"},
    "URLSafeSerializer": {0: "signing_key"},
    "URLSafeTimedSerializer": {0: "signing_key"},
    "login": {1: "password"},
    "Client": {0: "api_key", 1: "api_secret"},
    "AsyncClient": {0: "api_key", 1: "api_secret"},
    "RESTClient": {0: "polygon_api_key"},
    "WebClient": {0: "token"},
    "Github": {0: "token"},
    "Session": {0: "aws_access_key_id", 1: "aws_secret_access_key"},
}
"""Positional arguments that are credentials by what is called."""


_SENDS: Final = frozenset(
    {
        *("api", "auth", "authenticator", "bot", "client", "connector", "credentials", "exchange", "feed", "gateway"),
        *("http", "rest", "sdk", "serializer", "session", "signer", "socket", "websocket", "ws"),
    }
)
"""What the class of a thing that signs in is called: `TwilioClient("…", "…")`."""
_GIVES: Final = frozenset({"from", "set", "use", "using", "with"})
_TAKES: Final = frozenset({"access_token", "api_key", "api_secret", "auth_token", "bearer", "bot_token", "token"})
"""Methods that are called after what they are given: `builder.token("…")`."""
_ALIASES: Final = frozenset({"alias", "env", "envvar", "validation_alias"})
_PEOPLE: Final = frozenset({"accounts", "logins", "passwords", "users"})
_COMPARES: Final = frozenset({"compare_digest", "constant_time_compare", "safe_str_cmp"})


def asks(callee: str) -> bool:
    """Tell whether a call looks its answer up: what it is given is then a name and no value."""
    said = words(callee.rpartition(".")[2])
    return bool(said) and said[0] in _ASKING


def asked_for(node: ast.expr) -> str:
    """Return what an expression looks up: `KEY` of `os.getenv("KEY")` and of `headers["KEY"]`; empty for others."""
    match node:
        case ast.Call(args=[first, *_]) if asks(dotted(node.func)):
            return name_in(first)
        case ast.Subscript(slice=ast.Constant(value=str() as key)):
            return key
        case _:
            return ""


def compares(callee: str) -> bool:
    """Tell whether a call tells if its arguments are equal."""
    return callee.rpartition(".")[2] in _COMPARES


def holds_people(key: str) -> bool:
    """Tell whether a dictionary of this name gives somebody's password for a name."""
    return words(key)[-1:] != () and words(key)[-1] in _PEOPLE


def keys_of(key: str, values: Sequence[str]) -> tuple[str, ...]:
    """Return what the members of a list named after a service are: `kraken = ["key", "secret"]`."""
    said = words(key)
    shaped = 1 < len(values) <= len(_KEY_SECRET_PHRASE) and all(
        random(each, 16) or is_uuid(each) for each in values[:2]
    )
    ours = bool(said) and (said[0].startswith(EXCHANGES) or named_service(said[0]))
    return tuple(_KEY_SECRET_PHRASE.values()) if ours and shaped else ()


def positions(callee: str, count: int) -> Mapping[int, str]:
    """Return which of the `count` positional arguments of a call are credentials, and what they are called."""
    last = callee.rpartition(".")[2]
    known = _POSITIONS.get(".".join(callee.split(".")[-2:])) or _POSITIONS.get(last)
    return known or (_positions(callee, last, count) if count else {})


def _positions(callee: str, last: str, count: int) -> Mapping[int, str]:
    """What is called after an exchange takes key and secret: `krakenex.API("…", "…")`."""
    if any(word.startswith(EXCHANGES) for word in words(callee)):
        return _KEY_AND_SECRET
    said = words(last)
    pair = _pair(last, said) if count > 1 else {}
    if pair:
        return pair
    if len(said) > 1 and said[0] in _GIVES and trust(last) is not Trust.NONE:
        return {count - 1: "_".join(said[1:])}
    if count == 1 and trust(last) is Trust.SECRET and (last in _TAKES or last[:1].isupper()):
        return {0: last}
    signs_in = bool(said) and last[:1].isupper() and (said[-1] in _SENDS or named_service(said[0]))
    if not signs_in:
        return {}
    return {0: "key", 1: "api_secret", **({2: "passphrase"} if said[-1] == "credentials" else {})}


def _pair(last: str, said: Sequence[str]) -> Mapping[int, str]:
    """What takes a key with its secret, or a user with a password."""
    if said and said[-1] in PAIRS and said[0] in _GIVES:
        return _KEY_SECRET_PHRASE
    by_password = last[:1].isupper() and _BY_PASSWORD.intersection(said) and _AUTHENTICATES.intersection(said)
    return {1: "password"} if by_password else {}


def said_of(node: ast.Dict) -> tuple[str, ...]:
    """Return what a dictionary says it is about: `{"name": "binance", "key": …}`."""
    pairs = zip(node.keys, node.values, strict=True)
    return tuple(
        value.value
        for name, value in pairs
        if isinstance(name, ast.Constant)
        and name.value in ("name", "id", "exchange", "provider")
        and isinstance(value, ast.Constant)
        and isinstance(value.value, str)
        and is_name(value.value)
    )


def signs_in(node: ast.Dict) -> bool:
    """Tell whether it is a message that signs in to a stream: `{"action": "auth", "params": …}`."""
    return any(
        isinstance(name, ast.Constant)
        and name.value in ("action", "op", "method", "event", "type")
        and isinstance(value, ast.Constant)
        and value.value in ("auth", "login", "authenticate")
        for name, value in zip(node.keys, node.values, strict=True)
    )


def target_name(target: ast.expr) -> tuple[str, tuple[str, ...]]:
    """Return what is assigned to, and what it is a part of: `cfg["db"].password` is password of cfg and db."""
    match target:
        case ast.Subscript(slice=ast.Constant(value=str() as key)):
            return key, tuple(dotted(target.value).split(".")) if dotted(target.value) else ()
        case ast.Attribute():
            around = dotted(target.value)
            return target.attr, () if around in ("", "self", "cls") else tuple(around.removeprefix("self.").split("."))
        case ast.Name():
            return target.id, ()
        case _:
            return "", ()


def dotted(node: ast.AST | None) -> str:
    """Return `a.b.c` for a chain of names; empty for anything else. A subscript by a text counts as a name."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            around = dotted(node.value)
            return f"{around}.{node.attr}" if around else node.attr
        case ast.Subscript(slice=ast.Constant(value=str() as key)):
            around = dotted(node.value)
            return f"{around}.{key}" if around else key
        case ast.Call():
            return dotted(node.func)
        case _:
            return ""


def name_in(node: ast.expr) -> str:
    """Return a constant text that can be a name, without leading dashes; empty for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value.lstrip("-")
        return text if is_name(text) else ""
    return ""


def named_by(node: ast.Call) -> str:
    """Return the option or field a call declares: `add_argument("--api-key", default="…")`, `Field("…", alias="…")`."""
    for keyword in node.keywords:
        if keyword.arg in _ALIASES and name_in(keyword.value):
            return name_in(keyword.value)
    texts = [text for argument in node.args if (text := name_in(argument))]
    return max(texts, key=len) if texts else ""

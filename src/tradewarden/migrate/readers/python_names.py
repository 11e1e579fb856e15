"""What Python code calls things: dotted names, targets of assignments, arguments that are known to be credentials."""

from __future__ import annotations

import ast
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tradewarden.migrate.readers.structured import is_name
from tradewarden.migrate.rules.keys import words
from tradewarden.secrets.naming import EXCHANGES

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSED_ON: Final = frozenset({"default", "default_value", "fallback", "value", "default_factory", "s", "text", "obj"})
"""Arguments that hold the value of what the call is assigned to: `Field(default="…")`, `SecretStr("…")`."""
_KEY_AND_SECRET: Final = MappingProxyType({0: "api_key", 1: "api_secret"})
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
    "login": {1: "password"},
    "Client": {0: "api_key", 1: "api_secret"},
    "AsyncClient": {0: "api_key", 1: "api_secret"},
    "RESTClient": {0: "polygon_api_key"},
    "WebClient": {0: "token"},
    "Github": {0: "token"},
    "Session": {0: "aws_access_key_id", 1: "aws_secret_access_key"},
}
"""Positional arguments that are credentials by what is called."""


def asks(callee: str) -> bool:
    """Tell whether a call looks its answer up: what it is given is then a name and no value."""
    said = words(callee.rpartition(".")[2])
    return bool(said) and said[0] in _ASKING


def positions(callee: str) -> Mapping[int, str]:
    """Return which positional arguments of a call are credentials, and what they are called."""
    known = _POSITIONS.get(callee) or _POSITIONS.get(callee.rpartition(".")[2])
    return known or _positions(callee)


def _positions(callee: str) -> Mapping[int, str]:
    """What is called after an exchange takes key and secret: `krakenex.API("…", "…")`."""
    said = words(callee)
    return _KEY_AND_SECRET if any(word.startswith(EXCHANGES) for word in said) else {}


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
    """Return the option or field a call declares: `add_argument("--api-key", default="…")`."""
    texts = [text for argument in node.args if (text := name_in(argument))]
    return max(texts, key=len) if texts else ""

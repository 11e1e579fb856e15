"""Where a credential belongs: which secret and which field, by what it is called and what stands around. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tradewarden.migrate.finding import Destination
from tradewarden.migrate.rules.keys import words
from tradewarden.secrets.naming import (
    DATA_PROVIDERS,
    DATABASE,
    ENCRYPTION_KEY,
    EXCHANGES,
    JWT_SECRET,
    PREFIX,
    api_key_secret,
    exchange_secret,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_NAME: Final = 64
_WORDS_OF_PROVIDER: Final = {name: tuple(name.split("_")) for name in DATA_PROVIDERS}
_DATABASES: Final = frozenset(
    {
        *("db", "database", "databases", "postgres", "postgresql", "pg", "pgsql", "mysql", "mariadb", "timescale"),
        *("timescaledb", "psycopg", "asyncpg", "sqlalchemy", "datasource", "datasources"),
    }
)
_CLASSES: Final = (
    (("time", "series"), "alpha_vantage"),
    (("fundamental", "data"), "alpha_vantage"),
    (("tech", "indicators"), "alpha_vantage"),
    (("foreign", "exchange"), "alpha_vantage"),
    (("rest", "client"), "polygon"),
)
"""Classes of the providers' own libraries."""
_API_WORDS: Final = frozenset({"key", "secret", "apikey", "apisecret", "passphrase", "token", "credentials"})
_DATABASE_SCHEMES = re.compile(r"(?:postgres|postgresql|mysql|mariadb|timescaledb|cockroachdb|mssql|oracle)\b")
_DOTS = re.compile(r"[^a-z0-9]+")


def destination(rule: str, key: str, owners: Sequence[str], value: str, about: Sequence[str]) -> Destination:
    """Return the secret and the field for a value.

    Decides by its key, then by the names around it, then by what the file is about.
    """
    said = words(key.removeprefix(PREFIX))
    around = [words(owner) for owner in reversed(owners)]
    if rule == "url-password" and "://" in value:
        return _whole_url(said, key, value)
    if _signs(said):
        return Destination(JWT_SECRET)
    if _encrypts(said, rule):
        return Destination(ENCRYPTION_KEY)
    outside = [words(each) for each in reversed(about)] if _may_be_api(said, rule) else []
    return _of_service(said, around, outside, rule) or _of_its_own(said, around, rule)


def _of_service(
    said: tuple[str, ...], around: Sequence[tuple[str, ...]], outside: Sequence[tuple[str, ...]], rule: str
) -> Destination | None:
    near, far = [said, *around], [said, *around, *outside]
    exchange, provider = _first(EXCHANGES, near), _provider(near)
    if not exchange and not provider:
        exchange = _exchange_of_rule(rule, _first(EXCHANGES, far))
        provider = "iex_cloud" if rule == "iex-cloud-token" else _provider(far)
    if exchange:
        return Destination(exchange_secret(exchange), _exchange_field(said, rule))
    return Destination(api_key_secret(provider)) if provider else None


def _of_its_own(said: tuple[str, ...], around: Sequence[tuple[str, ...]], rule: str) -> Destination:
    if _of_database(said, around, rule):
        return Destination(DATABASE, "password")
    return Destination(_named(said, around, rule))


def _whole_url(said: tuple[str, ...], key: str, value: str) -> Destination:
    if not key or _DATABASES.intersection(said) or _DATABASE_SCHEMES.match(value):
        generic = not key or set(said) <= _DATABASES | {
            "url",
            "uri",
            "dsn",
            "connection",
            "string",
            "conn",
            "async",
            "sync",
        }
        if generic and _DATABASE_SCHEMES.match(value):
            return Destination("database_url")
    return Destination(_named(said or ("url",), [], "url"))


def _may_be_api(said: tuple[str, ...], rule: str) -> bool:
    """Only what an exchange or a provider gives out belongs to the one that the file is about."""
    return rule in ("binance-key", "kraken-secret", "secret", "url-credential") and (not said or said[-1] in _API_WORDS)


def _signs(said: tuple[str, ...]) -> bool:
    return "jwt" in said and said[-1] in ("secret", "key", "jwt")


def _encrypts(said: tuple[str, ...], rule: str) -> bool:
    return (rule == "fernet-key" and not said) or said[-2:] == ("encryption", "key") or said[-2:] == ("fernet", "key")


def _first(names: Sequence[str], groups: Sequence[tuple[str, ...]]) -> str:
    return next((name for group in groups for word in group for name in names if word.startswith(name)), "")


def _provider(groups: Sequence[tuple[str, ...]]) -> str:
    for group in groups:
        joined = "_".join(group)
        for name in DATA_PROVIDERS:
            if re.search(rf"(?:^|_){name}(?:_|$|io)", joined) or name.replace("_", "") in group:
                return name
        if "iex" in group:
            return "iex_cloud"
        known = next((name for said, name in _CLASSES if group[-2:] == said or group[:2] == said), "")
        if known:
            return known
    return ""


def _exchange_of_rule(rule: str, about: str) -> str:
    """A shape says which exchange it is; Kraken's is Coinbase's, too, and a file about one says more."""
    shaped = next((name for name in EXCHANGES if rule.startswith(f"{name}-")), "")
    return about or shaped if rule == "kraken-secret" else shaped or about


def _exchange_field(said: tuple[str, ...], rule: str) -> str:
    if {"passphrase", "password", "pass", "passwd"}.intersection(said):
        return "passphrase"
    if {"secret", "apisecret", "bsecret", "secretkey", "private", "privatekey", "sign"}.intersection(said) or rule in (
        "private-key",
        "kraken-secret",
    ):
        return "api_secret"
    return "api_key"


def _of_database(said: tuple[str, ...], around: Sequence[tuple[str, ...]], rule: str) -> bool:
    if rule == "dsn-password":
        return True
    secret = {"password", "passwd", "pwd", "pass", "pw", "dbpassword"}.intersection(said)
    return bool(secret) and any(
        _DATABASES.intersection(group) or group == ("url", "create") for group in (said, *around)
    )


def _named(said: tuple[str, ...], around: Sequence[tuple[str, ...]], rule: str) -> str:
    """A name of its own: the key's words, with the nearest name around it where the key alone says too little."""
    parts = list(said)
    if len(parts) <= 1:
        nearest = next((group for group in around if group and not set(group) <= set(parts)), ())
        parts = [*nearest, *parts]
    text = _DOTS.sub("_", "_".join(parts) or rule.replace("-", "_")).strip("_")
    return text[:MAX_NAME].strip("_")

"""Which parts of a secret a rotation left as they were, of those that may be secret themselves. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_NO_SECRETS: Final = frozenset(
    {
        *("host", "hostname", "hosts", "port", "server", "address", "endpoint", "region", "namespace"),
        *("user", "username", "login", "role", "email", "account", "account_id", "name", "service_name"),
        *("database", "dbname", "db", "schema", "table", "driver", "dialect", "engine", "options", "application_name"),
        *("sslmode", "sslrootcert", "ssl_mode", "ssl", "tls", "ca", "ca_file", "cacert"),
        *("exchange", "testnet", "sandbox", "environment", "env", "kid", "previous_kids", "algorithm", "alg", "use"),
        *("issued_at", "expires_at", "created_at", "note", "notes", "description", "comment", "owner"),
    }
)
"""Names of fields that say where and who, and are no secrets by themselves."""


def untouched(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names of the fields that may hold a secret and have the same value before and after."""
    kept = (name for name, value in before.items() if name in after and after[name] == value)
    return tuple(sorted(name for name in kept if _may_be_secret(name, before[name])))


def _may_be_secret(name: str, value: object) -> bool:
    if isinstance(value, dict):
        return any(_may_be_secret(str(inner), each) for inner, each in value.items())
    if isinstance(value, list):
        return any(_may_be_secret(name, each) for each in value)
    if not isinstance(value, str) or not value or name.lower() in _NO_SECRETS:
        return False
    return "://" not in value or _has_secret(value)


def _has_secret(address: str) -> bool:
    """Tell whether an address holds more than where something is."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return True
    return bool(parts.password or parts.query or parts.path.strip("/"))

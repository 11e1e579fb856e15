"""What the secrets of a trading platform are called, and which environment variables stand for them. Pure."""

from __future__ import annotations

import re
from enum import StrEnum
from types import MappingProxyType
from typing import Final

PREFIX: Final = "ALPHAPULSE_"
DATABASE: Final = "database_credentials"
JWT_SECRET: Final = "jwt_secret"  # noqa: S105
ENCRYPTION_KEY: Final = "encryption_key"
EXCHANGES: Final = ("binance", "bybit", "coinbase", "kraken")
DATA_PROVIDERS: Final = ("iex_cloud", "polygon", "alpha_vantage", "finnhub")
DATABASE_FIELDS: Final = MappingProxyType(
    {"host": "DB_HOST", "port": "DB_PORT", "user": "DB_USER", "password": "DB_PASSWORD", "database": "DB_NAME"}
)
EXCHANGE_FIELDS: Final = MappingProxyType(
    {"api_key": "API_KEY", "api_secret": "API_SECRET", "passphrase": "PASSPHRASE"}
)
_CREDENTIALS: Final = "_credentials"
_KEY_NAME = re.compile(r"(?:.*_)?(?:jwt_secret|(?:signing|encryption|master|private|hmac|jwt)_key)")
_NOT_IN_VARIABLES = re.compile(r"[^A-Za-z0-9]")


class Kind(StrEnum):
    """What a secret is for: decides whether another provider may stand in when one is not reachable (decision 23)."""

    CREDENTIAL = "credential"
    KEY = "key"


def kind_of(name: str) -> Kind:
    """Return `KEY` for what signs or encrypts, by its name, however it is spelt; everything else is a credential."""
    return Kind.KEY if _KEY_NAME.fullmatch(_NOT_IN_VARIABLES.sub("_", name).lower()) else Kind.CREDENTIAL


def exchange_secret(exchange: str) -> str:
    """Return the name of an exchange's credentials: `binance` gives `binance_credentials`."""
    return f"{exchange.lower()}{_CREDENTIALS}"


def api_key_secret(service: str) -> str:
    """Return the name of a data provider's key: `polygon` gives `polygon_api_key`."""
    return f"{service.lower()}_api_key"


def api_token_secret(user: str) -> str:
    """Return the name of a user's API token: `ann` gives `ann_api_token`."""
    return f"{user}_api_token"


def variable(name: str, prefix: str = PREFIX) -> str:
    """Return the variable that holds a whole secret: `slack_webhook` stands in `ALPHAPULSE_SLACK_WEBHOOK`."""
    return prefix + _NOT_IN_VARIABLES.sub("_", name).upper()


def field_variables(name: str, prefix: str = PREFIX) -> dict[str, str]:
    """Return the variable of each field of a secret that is spread over several; empty for one that is not.

    `database_credentials` takes `ALPHAPULSE_DB_*`; `<exchange>_credentials` takes `ALPHAPULSE_<EXCHANGE>_API_KEY`,
    `_API_SECRET` and `_PASSPHRASE`.
    """
    if name == DATABASE:
        return {field: prefix + suffix for field, suffix in DATABASE_FIELDS.items()}
    if not name.endswith(_CREDENTIALS):
        return {}
    exchange = variable(name.removesuffix(_CREDENTIALS), prefix)
    return {field: f"{exchange}_{suffix}" for field, suffix in EXCHANGE_FIELDS.items()}

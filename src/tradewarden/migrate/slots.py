"""Which variable stands for a moved value, and what a second value of the same kind is called. Pure.

Always true here: every moved value has exactly one environment variable, so that one plan serves every method.
"""

from __future__ import annotations

import re
from typing import Final

from tradewarden.migrate.finding import Destination
from tradewarden.secrets.naming import (
    DATA_PROVIDERS,
    ENCRYPTION_KEY,
    JWT_SECRET,
    Kind,
    api_key_secret,
    field_variables,
    kind_of,
    variable,
)

_CREDENTIALS: Final = "_credentials"
_API_KEY: Final = "_api_key"
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_]+")


def settled(destination: Destination) -> Destination:
    """Return where a value really goes: a field that has no variable of its own becomes a secret of its own.

    `binance_credentials#api_key` stays; `stripe#token` becomes the text `stripe_token`. Names are brought to what a
    variable can be read back to: small letters, digits and `_`.
    """
    name, field = _NOT_IN_NAMES.sub("_", destination.name).lower(), destination.field
    if not field or field in field_variables(name):
        return Destination(name, field)
    return Destination(f"{name.removesuffix(_CREDENTIALS)}_{_NOT_IN_NAMES.sub('_', field).lower()}")


def numbered(destination: Destination, number: int) -> Destination:
    """Return the slot of the `number`-th value of a kind: the same for 1, `binance_2_credentials` for 2.

    The end of a name is kept, because it tells keys that sign and encrypt from credentials (decision 23).
    """
    if number == 1:
        return destination
    name = destination.name
    if kind_of(name) is Kind.KEY:
        return settled(Destination(f"account{number}_{name}", destination.field))
    for ending in (_CREDENTIALS, _API_KEY):
        if name.endswith(ending):
            return settled(Destination(f"{name.removesuffix(ending)}_{number}{ending}", destination.field))
    return settled(Destination(f"{name}_{number}", destination.field))


def variable_of(destination: Destination) -> str:
    """Return the environment variable that stands for a settled destination."""
    if destination.field:
        return field_variables(destination.name)[destination.field]
    return variable(destination.name)


def is_known(destination: Destination) -> bool:
    """Tell whether the platform itself knows a secret by this name."""
    known = {JWT_SECRET, ENCRYPTION_KEY, *map(api_key_secret, DATA_PROVIDERS)}
    return bool(destination.field) or destination.name in known


def shown(destination: Destination) -> str:
    """Return how a destination is written for people: `binance_credentials#api_key`."""
    return f"{destination.name}#{destination.field}" if destination.field else destination.name

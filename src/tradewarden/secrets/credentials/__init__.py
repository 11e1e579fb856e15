"""Typed credentials of a trading platform: databases, exchanges, data providers, keys, API tokens.

Always true here: a value that must stay secret is held in a `Secret`, so printing, logging, JSON, pickling and
`dataclasses.asdict` give nothing away, and only a method whose docstring begins with *Reveals* gives it out. What is
wrong with a stored secret is said all at once, by secret and field, never by value.
"""

from tradewarden.secrets.credentials.api_token import ApiToken
from tradewarden.secrets.credentials.data_provider import DataProviderCredentials
from tradewarden.secrets.credentials.database import DatabaseCredentials
from tradewarden.secrets.credentials.encryption_key import EncryptionKey
from tradewarden.secrets.credentials.exchange import ExchangeCredentials
from tradewarden.secrets.credentials.signing_key import SigningKey

__all__ = [
    "ApiToken",
    "DataProviderCredentials",
    "DatabaseCredentials",
    "EncryptionKey",
    "ExchangeCredentials",
    "SigningKey",
]

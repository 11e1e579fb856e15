"""The key of an exchange in a secret's value, under the names that people use; how a supplied one takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tradewarden.errors import ConfigurationError, RotationFailedError
from tradewarden.secrets.credentials.exchange import ExchangeCredentials

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY: Final = ("api_key", "apiKey", "apikey", "key", "access_key", "wallet_address", "walletAddress")
SECRET: Final = (
    "api_secret",
    "secret",
    "secret_key",
    "apiSecret",
    "api_secret_key",
    "private_key",
    "privateKey",
)
PASSPHRASE: Final = ("passphrase", "password", "api_passphrase", "apiPassphrase")
_SHOWN: Final = 4
_LONG_ENOUGH: Final = 16


def credentials(path: str, value: Mapping[str, object], exchange: str) -> ExchangeCredentials:
    """Read a value; raises `RotationFailedError` naming each field that is missing or wrong, never by its value."""
    try:
        return ExchangeCredentials.from_content(path, dict(value), exchange)
    except ConfigurationError as error:
        raise RotationFailedError(error.detail) from None


def replaced(
    current: Mapping[str, object] | None, supplied: Mapping[str, object], fresh: ExchangeCredentials
) -> dict[str, object]:
    """Return the value with the supplied key under the names that the one before it had; the rest stays as it is."""
    before = current or {}
    value: dict[str, object] = {**before, **{name: text for name, text in supplied.items() if not _named(name)}}
    passphrase = "" if fresh.passphrase is None else fresh.passphrase.reveal()
    for names, text in ((KEY, fresh.api_key.reveal()), (SECRET, fresh.api_secret.reveal()), (PASSPHRASE, passphrase)):
        found = [name for name in names if name in before] or [name for name in names if name in supplied][:1]
        value.update(dict.fromkeys(found, text))
    return {name: text for name, text in value.items() if not (name in PASSPHRASE and text == "")}


def _named(name: str) -> bool:
    return name in KEY or name in SECRET or name in PASSPHRASE


def masked(api_key: str) -> str:
    """Return what tells a key from others in a list at the exchange: its last four characters, of a long one only."""
    return f"that ends in {api_key[-_SHOWN:]}" if len(api_key) >= _LONG_ENOUGH else "before"

"""The key to an account at an exchange, in the form that ccxt wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

from tradewarden.secrets.credentials.fields import Fields
from tradewarden.settings.secret import Secret

if TYPE_CHECKING:
    from tradewarden.secrets.providers.provider import Content

_WITH_PASSPHRASE = frozenset({"bitget", "coinbase", "coinbaseexchange", "kucoin", "kucoinfutures", "okx"})
_KEY = ("apiKey", "apikey", "key", "access_key")
_SECRET = ("secret", "secret_key", "apiSecret", "api_secret_key", "private_key", "privateKey")
_PASSPHRASE = ("password", "api_passphrase", "apiPassphrase")
_WALLET = ("wallet_address", "walletAddress")
_MORE = {"uid": "uid", "login": "login", "token": "token", "twofa": "twofa", "account_id": "accountId"}
"""What single exchanges ask for beyond that, by field, and what ccxt calls it."""


class ExchangeCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A key to an account at an exchange.

    At an exchange that knows wallets instead of keys, `api_key` is the wallet's address and `api_secret` its private
    key, and `wallet` is true. `testnet` says that the account is one of the exchange's sandbox.
    """

    exchange: str
    api_key: Secret
    api_secret: Secret
    passphrase: Secret | None = None
    testnet: bool = False
    wallet: bool = False
    more: dict[str, Secret] = {}

    @classmethod
    def from_content(cls, secret: str, content: Content, exchange: str = "") -> Self:
        """Read a stored secret: an object with `api_key`, `api_secret` and, where the exchange has one, `passphrase`.

        ccxt's own names do as well. `exchange` is by default what the secret's name says (`binance_credentials`).
        Raises `ConfigurationError` that names what is missing or wrong.
        """
        exchange = exchange or secret.rpartition("/")[2].removesuffix("_credentials").lower()
        fields = Fields(secret, content)
        wallet = any(name in fields for name in _WALLET)
        if wallet:
            key = fields.key(*_WALLET)
            private = fields.key("private_key", "privateKey", "api_secret", "secret")
        else:
            # The file that Coinbase gives out calls the key's name simply so.
            key = fields.key("api_key", *_KEY, *(("name",) if exchange == "coinbase" else ()))
            private = fields.key("api_secret", *_SECRET)
        passphrase = fields.optional_key("passphrase", *_PASSPHRASE)
        if passphrase is None and exchange in _WITH_PASSPHRASE and not _of_cloud(key, private):
            fields.wrong("passphrase", f"is missing; {exchange} asks for it beside key and secret")
        testnet = fields.flag("testnet", "sandbox")
        more = {theirs: found for ours, theirs in _MORE.items() if (found := _either(fields, ours, theirs)) is not None}
        fields.require_sound()
        return cls(
            exchange=exchange,
            api_key=key,
            api_secret=private,
            passphrase=passphrase,
            testnet=testnet,
            wallet=wallet,
            more=more,
        )

    def ccxt(self) -> dict[str, str]:
        """Reveals it as what the constructor of a ccxt exchange takes: `ccxt.binance(secrets.exchange(…).ccxt())`.

        For an account of the sandbox call `set_sandbox_mode(True)` on the exchange before anything else.
        """
        names = ("walletAddress", "privateKey") if self.wallet else ("apiKey", "secret")
        given = dict(zip(names, (self.api_key.reveal(), self.api_secret.reveal()), strict=True))
        if self.passphrase is not None:
            given["password"] = self.passphrase.reveal()
        return given | {name: value.reveal() for name, value in self.more.items()}


def _either(fields: Fields, ours: str, theirs: str) -> Secret | None:
    return fields.optional_key(ours) if ours == theirs else fields.optional_key(ours, theirs)


def _of_cloud(key: Secret, private: Secret) -> bool:
    """Tell whether it is one of Coinbase's newer keys, which have a name or a PEM key and no passphrase."""
    return key.reveal().startswith("organizations/") or private.reveal().startswith("-----BEGIN ")

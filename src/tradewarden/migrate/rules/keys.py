"""What a name says about the value it is given to. Pure.

A name is read word by word (`binanceApiKey`, `BINANCE-API-KEY` and `binance.api_key` are the same words); what
counts is what it ends with: `api_key` names a key, `api_key_header` does not.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from typing import Final

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


class Trust(IntEnum):
    """How far a name alone makes its value a credential."""

    NONE = 0
    HINT = 1
    """`key`, `auth`: the value must look random, and long."""
    SECRET = 2
    """`api_key`, `token`: the value must look random."""
    SIGNING = 3
    """`jwt_secret`, `secret_key`: random, or a phrase."""
    PASSWORD = 4
    """`password`: anything that is no placeholder."""


def _words_of(text: str) -> list[str]:
    return text.split()


_PASSWORDS: Final = frozenset(
    _words_of(
        """
        dbpass dbpassword pass passcode passphrase passwd password passwort pw pwd userpass
        """
    )
)
_ENDINGS: Final = ("password", "passwd", "passphrase", "pass")
_NO_PASSWORDS: Final = ("bypass", "compass", "encompass", "overpass", "surpass", "trespass", "multipass", "onepass")
_SECRETS: Final = frozenset(
    _words_of(
        """
        accesskey accesstoken apikey apikeys apipassphrase apisecret apitoken appkey appsecret authkey authorization
        authtoken bearer clientsecret consumersecret cookie credential credentials creds jwt license mnemonic otp
        pat privatekey secret secretkey secrets sessionid sessiontoken token tokens totp webhook
        """
    )
)
_HINTS: Final = frozenset({"auth", "access", "pem", "seed", "dsn", "fernet", "private", "priv"})
_EXCHANGES: Final = frozenset({"binance", "bybit", "coinbase", "finnhub", "kraken", "polygon"})
_WALLETS: Final = frozenset({"account", "bot", "deployer", "eth", "evm", "owner", "signer", "trader", "wallet"})
"""Whose `pk` is a private key; alone it may be a public or a primary one."""
_KEY_OWNERS: Final = frozenset(
    _words_of(
        """
        access account admin api app application auth client consumer deploy integration license live mbx private
        prod project publishable read rest secret server service session shared storage subscription trade trading
        user webhook ws
        """
    )
)
"""What `key` after one of these opens is an account with somebody."""
_SIGNING_OWNERS: Final = frozenset(
    _words_of(
        """
        aes cipher cookie crypto csrf encryption fernet hash hmac jwt master pepper root salt session signature signing
        vault
        """
    )
)
"""What `key` after one of these does is sign or encrypt."""
_NAMED_BY_DIGEST: Final = frozenset({"gpg", "pgp"})
"""What `key` after one of these names is said by its fingerprint; a private one has a shape of its own."""
_SERVICES: Final = frozenset(
    _words_of(
        """
        alchemy alpaca alpha alphavantage anthropic aws binance bitfinex bitmex bot bybit cloud cmc coinbase
        coingecko coinmarketcap database datadog db deribit discord email etherscan finnhub fmp fred ftx gate gateio
        github gitlab grafana huobi ibkr iex iexcloud influx influxdb infura kraken kucoin mail mailgun mongo
        mongodb mysql newsapi oanda okex okx openai polygon postgres postgresql quandl rabbitmq redis sendgrid
        sentry slack smtp stripe telegram tiingo tradier twelvedata twilio vantage
        """
    )
)
_TAILS: Final = frozenset(
    _words_of(
        """
        b backup base bytes current default demo dev development env futures hex live local main mainnet margin new
        old paper plain plaintext previous primary prod production raw readonly ro rw sandbox secondary spot staging
        str string swap test testnet text v value
        """
    )
)
"""What may follow and changes nothing: `api_key_live`."""
_SPOILERS: Final = frozenset(
    _words_of(
        """
        allow bad base_token cache change checksum collateral column commit confirm continuation count cursor dedup
        dict disable enable encrypted endpoint erc expected feature foreign forgot gas generate group has hash hashed
        hide hot i idempotency index invalid is json lookup lp map max min missing n next no num order page pagination
        parent partition pool primary pub public quote registry require requires reset reward row sha
        shortcut show sort sorting total translation use wrong
        """
    )
)
"""Before the last word they make it something else: `public_key`, `next_token`."""


@lru_cache(maxsize=8192)
def words(name: str) -> tuple[str, ...]:
    """Return the lower-case words of a name, without digits."""
    return tuple(word.lower() for word in _WORD.findall(name))


def named_service(word: str) -> bool:
    """Tell whether a word is the name of somebody who gives out keys."""
    return word in _SERVICES


@lru_cache(maxsize=8192)
def trust(name: str) -> Trust:
    """Return how far `name` makes its value a credential."""
    parts = list(words(name[:200]))
    while len(parts) > 1 and parts[-1] in _TAILS | _SERVICES and not set(parts) <= _TAILS | _SERVICES:
        parts.pop()
    if parts[-1:] in (["id"], ["ident"]):
        return Trust.SECRET if _identifies(parts) else Trust.NONE
    if not parts or _SPOILERS.intersection(parts[:-1]):
        return Trust.NONE
    return _by_end(parts)


def _identifies(parts: list[str]) -> bool:
    """Tell whether an id is the public half of a pair, which its owner keeps too: `ACCESS_KEY_ID`, `ALPACA_KEY_ID`."""
    before = parts[-3:-1]
    return before[-1:] == ["secret"] or (
        before[1:] == ["key"] and (before[0] in ("access", "api") or named_service(before[0]))
    )


def _by_end(parts: list[str]) -> Trust:
    last, before = parts[-1], parts[-2] if len(parts) > 1 else ""
    if last in _PASSWORDS or (last.endswith(_ENDINGS) and not last.endswith(_NO_PASSWORDS)):
        return Trust.PASSWORD
    if last in ("key", "keys"):
        return _of_key(before, parts)
    if last in ("secret", "secrets", "secretkey", "jwt") and (
        before in (*_SIGNING_OWNERS, "app", "", "flask", "django")
    ):
        return Trust.SIGNING
    if last in _SECRETS or last.endswith(("secret", "apikey", "token", "secretkey", "accesskey", "privatekey")):
        return Trust.SECRET
    return Trust.HINT if _hints(last, before, alone=len(parts) == 1) else Trust.NONE


def _hints(last: str, before: str, *, alone: bool) -> bool:
    if last == "pk":
        return before in _WALLETS
    return last in _HINTS or (alone and last in _EXCHANGES)


def _of_key(before: str, parts: list[str]) -> Trust:
    if before in _SIGNING_OWNERS or (before == "secret" and "access" not in parts and "api" not in parts):
        return Trust.SIGNING
    if before in _KEY_OWNERS or before in _SERVICES:
        return Trust.SECRET
    if before in _NAMED_BY_DIGEST:
        return Trust.NONE
    return Trust.HINT

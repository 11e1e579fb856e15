"""A ccxt bot that reads its key from the platform's secrets, and goes on with the new one when it is rotated.

python examples/secrets/ccxt_bot.py binance kraken
"""

import sys

import ccxt  # type: ignore[import-untyped]

from tradewarden import PlatformSecrets
from tradewarden.errors import SecretNotFoundError
from tradewarden.secrets.credentials import ExchangeCredentials


class Account:
    """An account at one exchange; `exchange` is always one with the current key."""

    def __init__(self, secrets: PlatformSecrets, name: str) -> None:
        self.exchange = connected(secrets.exchange(name))
        secrets.on_change(f"{name}_credentials", self._take)

    def _take(self, credentials: ExchangeCredentials) -> None:
        self.exchange = connected(credentials)


def connected(credentials: ExchangeCredentials) -> ccxt.Exchange:
    """Return ccxt's exchange for a key; it is called for the first time when it is used."""
    exchange = getattr(ccxt, credentials.exchange)({**credentials.ccxt(), "enableRateLimit": True})
    exchange.set_sandbox_mode(credentials.testnet)
    exchange.check_required_credentials()
    return exchange


def main(names: list[str]) -> None:
    """Show which accounts are ready to trade."""
    with PlatformSecrets.from_environment() as secrets:
        for name in names:
            try:
                account = Account(secrets, name)
            except SecretNotFoundError as error:
                print(error)
            else:
                print(f"{account.exchange.name}: ready, {secrets.exchange(name)}")


if __name__ == "__main__":
    main(sys.argv[1:])

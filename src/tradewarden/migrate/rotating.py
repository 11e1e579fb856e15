"""Where a credential is replaced by a new one: at which exchange, provider or system, and how one gets there. Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tradewarden.secrets.naming import DATABASE, ENCRYPTION_KEY, JWT_SECRET

if TYPE_CHECKING:
    from tradewarden.migrate.finding import Finding

_BY_SERVICE: Final = MappingProxyType(
    {
        "binance": "Binance: API Management; delete the key there first",
        "bybit": "Bybit: API Management; delete the key there first",
        "coinbase": "Coinbase: API settings (Developer Platform for CDP keys); delete the key there first",
        "kraken": "Kraken: Settings, API; delete the key there first",
        "iex_cloud": "IEX Cloud: console, API tokens",
        "polygon": "Polygon.io: dashboard, API keys",
        "alpha_vantage": "Alpha Vantage: ask support for a new key",
        "finnhub": "Finnhub: dashboard, regenerate the key",
    }
)
_BY_RULE: Final = MappingProxyType(
    {
        "aws-access-key-id": "AWS: IAM, deactivate and delete the access key",
        "vault-token": "Vault: vault token revoke",
        "private-key": "wherever its public key or certificate is trusted",
        "telegram-bot-token": "Telegram: @BotFather, /revoke",
        "slack-webhook": "Slack: the app's incoming webhooks",
        "discord-webhook": "Discord: the channel's integrations",
    }
)
_BY_NAME: Final = MappingProxyType(
    {
        DATABASE: "the database: set a new password for the role",
        "database_url": "the database: set a new password for the role",
        JWT_SECRET: "the service that signs: a new key ends all tokens under the old one",
        ENCRYPTION_KEY: "the service that encrypts: a new key, then rewrap what the old one wrote",
    }
)


def where_to_rotate(finding: Finding) -> str:
    """Return where the credential must be replaced."""
    name = finding.destination.name
    service = next((text for key, text in _BY_SERVICE.items() if name.startswith(key)), None)
    known = next(
        (text for key, text in _BY_NAME.items() if name == key or name.removeprefix(key).strip("_").isdigit()), None
    )
    return known or service or _BY_RULE.get(finding.rule) or "the service that issued it"

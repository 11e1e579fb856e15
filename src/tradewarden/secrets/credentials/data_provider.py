"""The key to a provider of market data, in the form that its interface wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

from tradewarden.errors import InvalidInputError
from tradewarden.secrets.credentials.fields import Fields
from tradewarden.settings.secret import Secret

if TYPE_CHECKING:
    from tradewarden.secrets.providers.provider import Content

_PARAMETERS = {"iex_cloud": "token", "polygon": "apiKey", "alpha_vantage": "apikey", "finnhub": "token"}
_HEADERS = {"polygon": ("Authorization", "Bearer "), "finnhub": ("X-Finnhub-Token", "")}


class DataProviderCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A key to a provider of market data: IEX Cloud, Polygon.io, Alpha Vantage, Finnhub or any other."""

    provider: str
    api_key: Secret

    @classmethod
    def from_content(cls, secret: str, content: Content, provider: str = "") -> Self:
        """Read a stored secret: the key as a text, or an object with `api_key`.

        `provider` is by default what the secret's name says (`polygon_api_key`). Raises `ConfigurationError`.
        """
        fields = Fields(secret, content, alone="api_key")
        key = fields.key("api_key", "apiKey", "apikey", "key", "token", "value")
        fields.require_sound()
        return cls(provider=provider or secret.rpartition("/")[2].removesuffix("_api_key").lower(), api_key=key)

    def headers(self) -> dict[str, str]:
        """Reveals it as the request header that Polygon.io and Finnhub take; prefer it to `query`, which logs keep."""
        if self.provider not in _HEADERS:
            raise InvalidInputError(f"{self.provider} is not known to take its key in a header; see query()")
        name, before = _HEADERS[self.provider]
        return {name: before + self.api_key.reveal()}

    def query(self) -> dict[str, str]:
        """Reveals it as the query parameter that the four providers take; an address with it must not be logged."""
        if self.provider not in _PARAMETERS:
            raise InvalidInputError(f"how {self.provider} takes its key is not known here; use api_key.reveal()")
        return {_PARAMETERS[self.provider]: self.api_key.reveal()}

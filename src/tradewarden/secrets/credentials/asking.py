"""What a platform asks for, as the name of a secret and how it is read. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from tradewarden.errors import ConfigurationError, InvalidInputError
from tradewarden.secrets import naming
from tradewarden.secrets.credentials.api_token import ApiToken
from tradewarden.secrets.credentials.data_provider import DataProviderCredentials
from tradewarden.secrets.credentials.database import DatabaseCredentials
from tradewarden.secrets.credentials.encryption_key import EncryptionKey
from tradewarden.secrets.credentials.exchange import ExchangeCredentials
from tradewarden.secrets.credentials.signing_key import SigningKey

if TYPE_CHECKING:
    from tradewarden.secrets.providers.provider import Content

T = TypeVar("T")
C_co = TypeVar("C_co", covariant=True)
Credentials: TypeAlias = (
    DatabaseCredentials | ExchangeCredentials | DataProviderCredentials | SigningKey | EncryptionKey | ApiToken
)


class Answer(Protocol):
    """A secret as a chain gives it."""

    @property
    def content(self) -> Content:
        """The value."""
        ...


class Asked(NamedTuple, Generic[C_co]):
    """The name of a secret, and what makes credentials of its content."""

    name: str
    read: Callable[[Content], C_co]


def made_of(asked: Asked[T], answer: Answer) -> T:
    """Return what was asked for; raises `ConfigurationError` without a frame that has the value among its variables."""
    try:
        return asked.read(answer.content)
    except ConfigurationError as error:
        mistakes = error.mistakes
    raise ConfigurationError(mistakes)


def database(name: str = naming.DATABASE) -> Asked[DatabaseCredentials]:
    """Ask for a database; `name` is that of another secret than the platform's own."""
    return Asked(name, lambda content: DatabaseCredentials.from_content(name, content))


def exchange(exchange: str) -> Asked[ExchangeCredentials]:
    """Ask for an exchange: `binance`."""
    name = naming.exchange_secret(_one(exchange, "exchange"))
    return Asked(name, lambda content: ExchangeCredentials.from_content(name, content, exchange.lower()))


def data_provider(provider: str) -> Asked[DataProviderCredentials]:
    """Ask for a provider of market data: `polygon`."""
    name = naming.api_key_secret(_one(provider, "data provider"))
    return Asked(name, lambda content: DataProviderCredentials.from_content(name, content, provider.lower()))


def signing_key(name: str = naming.JWT_SECRET) -> Asked[SigningKey]:
    """Ask for a key that signs; the platform's own is its JWT secret."""
    return Asked(name, lambda content: SigningKey.from_content(name, content))


def encryption_key(name: str = naming.ENCRYPTION_KEY) -> Asked[EncryptionKey]:
    """Ask for a key that encrypts."""
    return Asked(name, lambda content: EncryptionKey.from_content(name, content))


def api_token(user: str) -> Asked[ApiToken]:
    """Ask for a user's API token."""
    name = naming.api_token_secret(_one(user, "user"))
    return Asked(name, lambda content: ApiToken.from_content(name, content, user))


def by_name(name: str) -> Asked[Credentials | Content]:
    """Ask for what a name stands for: `binance_credentials` for an exchange; of any other name the content itself."""
    last = name.rpartition("/")[2].lower()
    if last == naming.DATABASE:
        return database(name)
    if last.endswith("_credentials"):
        return Asked(name, lambda content: ExchangeCredentials.from_content(name, content))
    if last.endswith("_api_key"):
        return Asked(name, lambda content: DataProviderCredentials.from_content(name, content))
    if last.endswith("_api_token"):
        user = last.removesuffix("_api_token")
        return Asked(name, lambda content: ApiToken.from_content(name, content, user))
    if naming.kind_of(name) is naming.Kind.KEY:
        return encryption_key(name) if "encryption" in last else signing_key(name)
    return Asked(name, lambda content: content)


def _one(text: str, what: str) -> str:
    """Refuse what would lead to another folder of secrets: these names come from configurations and requests."""
    if not text or "/" in text:
        raise InvalidInputError(f"{what} is one name, without a slash in it")
    return text

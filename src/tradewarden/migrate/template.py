"""A `.env` to fill in: every variable of a platform's secrets and of what they need, without a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tradewarden.secrets.naming import (
    DATA_PROVIDERS,
    DATABASE,
    ENCRYPTION_KEY,
    EXCHANGES,
    JWT_SECRET,
    api_key_secret,
    exchange_secret,
    field_variables,
    variable,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NAME: Final = ".env.template"
_WITH_PASSPHRASE: Final = ("coinbase",)
_HEAD: Final = """\
# What a trading platform reads its secrets from. Copy this to .env (never into git) and fill in what you use;
# an empty variable counts as not set. Every NAME can be given as NAME_FILE, the path of a file that holds the value.
"""
_KEYS: Final = (
    "Keys: python -c 'import secrets; print(secrets.token_urlsafe(32))' makes the first, and\n"
    "# python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())' the second"
)


def template() -> str:
    """Return the text of the file."""
    return _HEAD + "".join(f"\n# {title}\n{_blank(names)}" for title, names in _sections())


def _sections() -> Iterator[tuple[str, Iterable[str]]]:
    yield "development, staging or production", ["ALPHAPULSE_ENV"]
    yield _KEYS, [variable(JWT_SECRET), variable(ENCRYPTION_KEY)]
    yield "The database", field_variables(DATABASE).values()
    yield "Exchanges", [name for exchange in EXCHANGES for name in _of_exchange(exchange)]
    yield "Market data", [variable(api_key_secret(provider)) for provider in DATA_PROVIDERS]
    yield "AWS Secrets Manager (production)", [
        "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL",
    ]  # fmt: skip
    yield "Vault (staging)", ["VAULT_URL", "VAULT_TOKEN"]
    yield "The service itself; docs/configuration.md says what each does and what it is when it is not set", [
        "ENABLE_MTLS", "ENABLE_JWT", "ENABLE_VAULT", "JWT_SECRET_KEY", "JWT_ALGORITHM", "JWT_EXPIRATION_HOURS",
        "CERT_VALIDITY_DAYS", "CA_CERT_PATH", "CA_KEY_PATH", "SERVICE_HOST", "SERVICE_PORT",
    ]  # fmt: skip


def _of_exchange(exchange: str) -> Iterator[str]:
    for field, name in field_variables(exchange_secret(exchange)).items():
        if field != "passphrase" or exchange in _WITH_PASSPHRASE:
            yield name


def _blank(names: Iterable[str]) -> str:
    return "".join(f"{name}=\n" for name in names)

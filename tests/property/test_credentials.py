"""Typed credentials, for any value: nothing is lost on the way, and nothing is shown."""

from __future__ import annotations

import secrets
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from tradewarden.errors import ConfigurationError
from tradewarden.secrets.credentials import (
    ApiToken,
    DatabaseCredentials,
    DataProviderCredentials,
    EncryptionKey,
    ExchangeCredentials,
    SigningKey,
)
from tradewarden.settings.secret import Secret

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
contents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(
    ["host", "port", "user", "password", "database", "options", "url", "sslmode", "api_key", "api_secret", "secret",
     "passphrase", "testnet", "key", "previous", "token", "name"]
)  # fmt: skip


@given(user=texts, password=texts, database=texts)
def test_every_form_of_a_database_says_the_same(user: str, password: str, database: str) -> None:
    """URI, keyword string, arguments and SQLAlchemy's URL give back exactly what was stored."""
    made = DatabaseCredentials(host="db", user=user, password=Secret(password), database=database)
    wanted = {"host": "db", "port": "5432", "user": user, "password": password, "dbname": database}
    assert conninfo_to_dict(made.uri()) == wanted
    assert conninfo_to_dict(made.conninfo()) == wanted
    assert made.asyncpg() == {
        "host": "db", "port": 5432, "user": user, "password": password, "database": database,
    }  # fmt: skip
    parts = urlsplit(made.uri())
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (user, password)
    for url in (make_url(made.sqlalchemy_url()), made.sqlalchemy()):
        assert (url.username, url.password, url.host, url.port) == (user, password, "db", 5432)
        assert url.database == database
    assert DatabaseCredentials.from_content("x", made.uri()) == made


@given(option=texts)
def test_an_option_comes_through(option: str) -> None:
    """An option's value survives every form."""
    made = DatabaseCredentials(
        host="db", user="u", password=Secret("p"), database="d", options={"application_name": option}
    )
    assert conninfo_to_dict(made.uri())["application_name"] == option
    assert conninfo_to_dict(made.conninfo())["application_name"] == option
    assert make_url(made.sqlalchemy_url()).query == {"application_name": option}


@given(content=st.text() | st.dictionaries(names | st.text(max_size=8), contents, max_size=6))
@pytest.mark.parametrize(
    "kind",
    [DatabaseCredentials, ExchangeCredentials, DataProviderCredentials, SigningKey, EncryptionKey, ApiToken],
)
def test_any_content_is_taken_or_refused(kind: type[DatabaseCredentials], content: str | dict[str, object]) -> None:
    """Whatever is stored, it is read or refused with a `ConfigurationError`; nothing else is ever raised."""
    try:
        kind.from_content("x", content)
    except ConfigurationError as error:
        assert error.mistakes  # noqa: PT017 - either way is right


@given(content=st.fixed_dictionaries({"api_key": texts, "api_secret": texts, "testnet": texts}))
def test_no_mistake_says_a_value(content: dict[str, object]) -> None:
    """Marked values do not stand in what is said about them."""
    marked: dict[str, object] = {name: f" {value}Tr0ub4dor" for name, value in content.items()}
    with pytest.raises(ConfigurationError) as caught:
        ExchangeCredentials.from_content("binance_credentials", marked)
    assert "Tr0ub4dor" not in str(caught.value)


def test_what_a_generator_makes_is_strong() -> None:
    """Keys of the usual generators are taken, every one of five hundred."""
    from cryptography.fernet import Fernet

    for _ in range(500):
        for text in (secrets.token_urlsafe(32), secrets.token_hex(32), Fernet.generate_key().decode()):
            assert SigningKey.from_content("jwt_secret", text).reveal() == text
            assert EncryptionKey.from_content("encryption_key", text).reveal() == text
        SigningKey.from_content("jwt_secret", secrets.token_hex(16))

"""Typed credentials in use: real connections to PostgreSQL with each driver, real ccxt classes."""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg  # type: ignore[import-untyped]
import ccxt  # type: ignore[import-untyped]
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import create_engine, make_url, text

from tests.support.postgres import OWNER, Postgres, postgres
from tradewarden.secrets.credentials import DatabaseCredentials, ExchangeCredentials

PASSWORDS = (
    "plain",
    "@:/%?#' \"",
    "a b+c&d=e;f\\g'h\"i",
    " begins and ends ",
    "%40%2F%00",
    "pässwörd-ключ-鍵-🔑",
    "postgresql://u:p@h/d?x=y#z",
    "'; drop table users; --",
    "tab\tand\nline",
)
USER = "bot: \"alpha\"/'pulse'@ü"
DATABASE = "trading/books?live=#1 %"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that asks everyone but its owner for a password."""
    rules = f"host all {OWNER} 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    with postgres(hba=rules) as running:
        with psycopg.connect(running.url, autocommit=True) as connection:
            connection.execute(sql.SQL("create role {} login").format(sql.Identifier(USER)))
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
        yield running


def credentials(server: Postgres, password: str) -> DatabaseCredentials:
    """Give the role a password, and return what a platform would have stored of it."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(USER), sql.Literal(password)))
    stored: dict[str, object] = {
        "host": "127.0.0.1",
        "port": str(server.port),
        "username": USER,
        "password": password,
        "dbname": DATABASE,
        "application_name": "bot's & co",
        "sslmode": "disable",
        "connect_timeout": "5",
    }
    return DatabaseCredentials.from_content("database_credentials", stored)


ASK = "select current_user::text, current_database()::text, current_setting('application_name')"
WANTED = (USER, DATABASE, "bot's & co")


@pytest.mark.parametrize("password", PASSWORDS)
async def test_every_driver_connects(server: Postgres, password: str) -> None:
    """psycopg, asyncpg and SQLAlchemy over both get in with any password, as the right user to the right database."""
    made = credentials(server, password)
    for conninfo in (made.uri(), made.conninfo()):
        with psycopg.connect(conninfo) as connection:
            assert connection.execute(ASK).fetchone() == WANTED
    direct = await asyncpg.connect(**made.asyncpg())
    assert tuple(await direct.fetchrow(ASK)) == WANTED
    await direct.close()
    for url in (made.sqlalchemy_url(), made.sqlalchemy()):
        engine = create_engine(url)
        with engine.connect() as session:
            assert tuple(session.execute(text(ASK)).one()) == WANTED
        engine.dispose()
    for url in (made.sqlalchemy_url("asyncpg"), made.sqlalchemy("asyncpg")):
        # What SQLAlchemy hands to asyncpg; an engine of it would need greenlet as well.
        parsed = make_url(url)
        _, given = parsed.get_dialect()().create_connect_args(parsed)
        direct = await asyncpg.connect(**given)
        assert tuple(await direct.fetchrow(ASK)) == WANTED
        await direct.close()


async def test_asyncpg_connects_by_the_uri(server: Postgres) -> None:
    """The URI does for asyncpg as well, where it has no options of libpq's alone."""
    made = credentials(server, PASSWORDS[1])
    plain = DatabaseCredentials(
        host=made.host, port=made.port, user=made.user, password=made.password, database=made.database
    )
    direct = await asyncpg.connect(plain.uri())
    assert await direct.fetchval("select current_user::text") == USER
    await direct.close()


def test_another_password_does_not_connect(server: Postgres) -> None:
    """The server really asks: with a wrong password nobody gets in."""
    made = credentials(server, PASSWORDS[1])
    credentials(server, PASSWORDS[2])
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(made.uri())


STORED: dict[str, dict[str, object]] = {
    "binance": {"api_key": "k", "api_secret": "s"},
    "bybit": {"api_key": "k", "api_secret": "s"},
    "coinbase": {"api_key": "k", "api_secret": "s", "passphrase": "p"},
    "coinbaseexchange": {"api_key": "k", "api_secret": "s", "passphrase": "p"},
    "kraken": {"api_key": "k", "api_secret": "s"},
    "okx": {"api_key": "k", "api_secret": "s", "passphrase": "p"},
    "bitmart": {"api_key": "k", "api_secret": "s", "uid": "memo"},
    "hyperliquid": {"wallet_address": "0xa", "private_key": "0xb"},
}


@pytest.mark.parametrize("name", STORED)
def test_ccxt_takes_what_it_is_given(name: str) -> None:
    """The check by ccxt of an exchange's required credentials passes, and every value is where ccxt reads it."""
    given = ExchangeCredentials.from_content(f"{name}_credentials", STORED[name]).ccxt()
    exchange = getattr(ccxt, name)(given)
    assert exchange.check_required_credentials()
    assert {attribute: getattr(exchange, attribute) for attribute in given} == given


@pytest.mark.parametrize("name", ["coinbaseexchange", "okx"])
def test_the_exchanges_that_need_a_passphrase_are_ccxts(name: str) -> None:
    """Without the passphrase ccxt would refuse, which is why it is asked for."""
    exchange = getattr(ccxt, name)({"apiKey": "k", "secret": "s"})
    with pytest.raises(ccxt.AuthenticationError, match="password"):
        exchange.check_required_credentials()

"""Typed credentials: what they read, what they refuse, and in which form they hand it on."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import hmac
import json
import logging
import os
import pickle
import traceback
from collections.abc import Callable, Mapping

import msgspec
import pytest

from tradewarden.errors import ConfigurationError, InvalidInputError
from tradewarden.secrets.credentials import (
    ApiToken,
    DatabaseCredentials,
    DataProviderCredentials,
    EncryptionKey,
    ExchangeCredentials,
    SigningKey,
)
from tradewarden.secrets.providers.provider import Content
from tradewarden.secrets.rotation.rotator import Job
from tradewarden.secrets.rotation.rotators.random import RandomRotator
from tradewarden.settings.secret import Secret

VALUE = "Kq7-tR0ub4dor-9f3LmWz2Yx81PbVcTn"
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----\n"
FERNET = "pHZBcYkG2o0s3u9tM4yQ1vXl7nRwEaJdLiFbUCg5h8E="
LOGIN: dict[str, object] = {"host": "db", "user": "alphapulse", "password": VALUE, "name": "trading"}
KEYS: dict[str, object] = {"api_key": "key-1", "api_secret": VALUE}

EVERY: dict[str, Callable[[], msgspec.Struct]] = {
    "database": lambda: DatabaseCredentials.from_content("database_credentials", LOGIN),
    "exchange": lambda: ExchangeCredentials.from_content("binance_credentials", KEYS),
    "passphrase": lambda: ExchangeCredentials.from_content(
        "coinbase_credentials", {"api_key": "k", "api_secret": "s", "passphrase": VALUE, "uid": VALUE}
    ),
    "provider": lambda: DataProviderCredentials.from_content("polygon_api_key", VALUE),
    "signing": lambda: SigningKey.from_content("jwt_secret", VALUE),
    "previous": lambda: SigningKey.from_content("jwt_secret", {"key": VALUE, "previous": VALUE}),
    "encryption": lambda: EncryptionKey.from_content("encryption_key", VALUE),
    "token": lambda: ApiToken.from_content("ann_api_token", VALUE),
}
every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)


def mistakes(make: Callable[[], object]) -> tuple[str, ...]:
    """Return what is wrong with a secret that must not be taken, and see that no value is said."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=False).format())
    assert VALUE not in shown
    assert caught.value.__cause__ is None
    return caught.value.mistakes


# --- values stay hidden ---


@every
def test_a_value_does_not_show(make: Callable[[], msgspec.Struct], caplog: pytest.LogCaptureFixture) -> None:
    """Printing, formatting, logging and a traceback with local variables give nothing away."""
    made = make()
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("bot").info("using %s %r", made, {"it": made})
    try:
        raise ValueError(made)  # noqa: TRY301
    except ValueError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    rich = list(made.__rich_repr__())
    assert VALUE not in f"{made} {made!r} {made!s:>200} {rich} {caplog.text} {shown}"
    assert type(made).__name__ in repr(made)


@every
def test_a_value_does_not_get_into_json_or_pickles(make: Callable[[], msgspec.Struct]) -> None:
    """Encoders and pickles refuse, and say why; what turns it into text gets no value."""
    made = make()
    for encode in (json.dumps, msgspec.json.encode, msgspec.to_builtins, msgspec.msgpack.encode):
        with pytest.raises(TypeError) as refused:
            encode(made)
        assert VALUE not in str(refused.value)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="is not pickled"):
            pickle.dumps(made, protocol)
    assert VALUE not in json.dumps(msgspec.structs.asdict(made), default=repr)
    assert VALUE.encode() not in msgspec.json.encode(made, enc_hook=repr)

    @dataclasses.dataclass
    class Bot:
        credentials: object

    assert VALUE not in str(dataclasses.asdict(Bot(made)))


@every
def test_credentials_are_copied_compared_and_never_changed(make: Callable[[], msgspec.Struct]) -> None:
    """A copy is equal, another value is not, a hash is refused, and a field cannot be set."""
    made = make()
    assert copy.copy(made) == copy.deepcopy(made) == made == make()
    with pytest.raises(TypeError, match="unhashable"):
        hash(made)
    with pytest.raises(AttributeError):
        setattr(made, made.__struct_fields__[0], None)


def test_a_secret_formats_like_a_text_and_compares_anything() -> None:
    """A width in a format is taken, half a surrogate compares, and a pickle of one is refused."""
    assert f"{Secret('x'):>12}" == " Secret('…')"
    assert Secret("\ud800") == Secret("\ud800") != Secret("x")
    with pytest.raises(TypeError, match="is not pickled"):
        pickle.dumps(Secret("x"))
    assert copy.deepcopy({"a": Secret("x")})["a"] == Secret("x")


def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equality goes through `hmac.compare_digest`."""
    seen: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        seen.extend((one, other))
        return True

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert Secret("a") == Secret("b")
    assert ApiToken.from_content("ann_api_token", "a").matches("b")
    assert seen == [b"a", b"b"] * 2


# --- databases ---


@pytest.mark.parametrize(
    "content",
    [
        LOGIN,
        {"hostname": "db", "username": "alphapulse", "pass": VALUE, "database": "trading", "port": "5432"},
        {"server": "db", "login": "alphapulse", "password": VALUE, "dbname": "trading", "port": 5432},
        {"engine": "postgres", "host": "db", "username": "alphapulse", "password": VALUE, "db": "trading"},
        f"postgresql://alphapulse:{VALUE}@db:5432/trading",
        {"url": f"postgresql+asyncpg://alphapulse:{VALUE}@db/trading"},
        {"database_url": "postgres://db/trading", "user": "alphapulse", "password": VALUE},
    ],
)
def test_a_database_is_read_under_the_names_people_use(content: Content) -> None:
    """Fields by any of their names, and an address, give the same credentials."""
    assert DatabaseCredentials.from_content("database_credentials", content) == DatabaseCredentials(
        host="db", user="alphapulse", password=Secret(VALUE), database="trading"
    )


def test_what_a_database_secret_may_leave_out() -> None:
    """The document's own three fields are enough: the port is PostgreSQL's, the database is called as its user."""
    made = DatabaseCredentials.from_content("x", {"host": "db", "user": "alphapulse", "password": VALUE})
    assert (made.port, made.database, made.options) == (5432, "alphapulse", {})


def test_options_of_a_database_are_kept() -> None:
    """Connection parameters stand beside the fields, in an object of their own, or in the address."""
    beside = {**LOGIN, "sslmode": "verify-full", "connect_timeout": 5}
    inside = {**LOGIN, "options": {"sslmode": "verify-full", "connect_timeout": "5"}}
    address = f"postgresql://alphapulse:{VALUE}@db/trading?sslmode=verify-full&connect_timeout=5"
    made = [DatabaseCredentials.from_content("x", each) for each in (beside, inside, address)]
    assert [each.options for each in made] == [{"sslmode": "verify-full", "connect_timeout": "5"}] * 3
    text = DatabaseCredentials.from_content("x", {**LOGIN, "options": "-c search_path=books"})
    assert text.options == {"options": "-c search_path=books"}
    assert "options=[connect_timeout, sslmode]" in repr(made[0])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"user": "u", "password": VALUE}, "field 'host' is missing (it may also be called hostname, server)"),
        ({"host": "db", "password": VALUE}, "field 'user' is missing"),
        ({"host": "db", "user": "u"}, "field 'password' is missing"),
        ({**LOGIN, "port": "none"}, "field 'port' is no whole number from 1 to 65535"),
        ({**LOGIN, "port": 0}, "field 'port'"),
        ({**LOGIN, "password": [VALUE]}, "field 'password' is no text"),
        ({**LOGIN, "password": VALUE + "\0"}, "field 'password' is no text"),
        ({**LOGIN, "password": VALUE + "\ud800"}, "field 'password' is no text"),
        ({**LOGIN, "username": "other"}, "field 'user' stands there as user, username, and they differ"),
        ({**LOGIN, "host": f"{VALUE}@elsewhere"}, "field 'host' is neither"),
        ({**LOGIN, "engine": "mysql"}, "field 'engine' is not postgres"),
        ({**LOGIN, "options": {"hostaddr": "10.0.0.1"}}, "field 'options.hostaddr' is no connection parameter"),
        ({**LOGIN, "options": {"sslpassword": VALUE}}, "field 'options.sslpassword' is no connection parameter"),
        ({**LOGIN, "connect_timeout": "soon"}, "field 'connect_timeout' is no whole number"),
        (f"mysql://u:{VALUE}@db/x", "field 'url' is no postgresql:// address"),
        (f"postgresql://u:{VALUE}@db:port/x", "field 'url' is no address"),
        (VALUE, "field 'url' is no postgresql:// address"),
    ],
)
def test_what_is_wrong_with_a_database_is_named(content: Content, says: str) -> None:
    """A missing or wrong field is named with the secret, and no value is said."""
    said = mistakes(lambda: DatabaseCredentials.from_content("database_credentials", content))
    assert said[0].startswith("Secret 'database_credentials': field ")
    assert says in said[0]


def test_all_that_is_wrong_is_said_together() -> None:
    """Every missing and wrong field stands in the one error."""
    said = mistakes(lambda: DatabaseCredentials.from_content("x", {"port": "x", "sslmode": ["a"]}))
    assert [each.partition("'")[2].partition("field '")[2].partition("'")[0] for each in said] == [
        "host", "user", "sslmode", "password", "port",
    ]  # fmt: skip


def test_a_login_by_certificate_needs_no_password() -> None:
    """With `sslcert` the password may be missing, and is in no form then."""
    made = DatabaseCredentials.from_content("x", {"host": "db", "user": "u", "sslcert": "c.pem", "sslkey": "c.key"})
    assert made.password is None
    assert made.uri() == "postgresql://u@db:5432/u?sslcert=c.pem&sslkey=c.key"
    assert "password" not in made.conninfo()
    assert "password" not in made.asyncpg()


def test_hosts_in_addresses() -> None:
    """IPv6 addresses are in brackets, a socket's directory is percent-encoded and keeps its case."""
    six = DatabaseCredentials.from_content("x", {**LOGIN, "host": "fd00::1"})
    assert six.uri().endswith("@[fd00::1]:5432/trading")
    assert six.sqlalchemy_url().endswith("@[fd00::1]:5432/trading")
    assert DatabaseCredentials.from_content("x", six.uri()) == six
    socket = DatabaseCredentials.from_content("x", {**LOGIN, "host": "/var/run/Postgres"})
    assert "@%2Fvar%2Frun%2FPostgres:5432/" in socket.uri()
    assert DatabaseCredentials.from_content("x", socket.uri()) == socket
    assert socket.sqlalchemy_url().endswith("@/trading?host=%2Fvar%2Frun%2FPostgres")
    assert socket.sqlalchemy().query == {"host": "/var/run/Postgres"}


def test_asyncpg_gets_its_options_where_it_takes_them() -> None:
    """Parameters without an argument of their own go in by an address that has nothing else in it."""
    made = DatabaseCredentials.from_content("x", {**LOGIN, "sslmode": "require", "connect_timeout": 5})
    given = made.asyncpg()
    assert given.pop("dsn") == "postgresql://?sslmode=require"
    assert given == {
        "host": "db", "port": 5432, "user": "alphapulse", "database": "trading", "password": VALUE, "timeout": 5.0,
    }  # fmt: skip
    assert made.sqlalchemy("asyncpg").query == {"dsn": "postgresql://?sslmode=require"}
    with pytest.raises(InvalidInputError, match="psycopg, psycopg2 or asyncpg"):
        made.sqlalchemy_url("pg8000")


def test_sqlalchemys_url_hides_the_password() -> None:
    """SQLAlchemy's own object prints without it, and has it for the driver."""
    url = DatabaseCredentials.from_content("x", LOGIN).sqlalchemy()
    assert VALUE not in f"{url} {url!r}"
    assert url.render_as_string(hide_password=False).count(VALUE) == 1


# --- exchanges ---


@pytest.mark.parametrize(
    "content",
    [
        {"api_key": "k", "api_secret": VALUE},
        {"apiKey": "k", "secret": VALUE},
        {"key": "k", "secret_key": VALUE, "created_at": "2026-01-01", "metadata": {"by": "ann"}},
        {"api_key": "k", "apiKey": "k", "privateKey": VALUE},
    ],
)
def test_an_exchange_is_read_under_the_names_people_use(content: Content) -> None:
    """Fields by any of their names give what ccxt takes; what else stands there does not matter."""
    made = ExchangeCredentials.from_content("api_keys/binance_credentials", content)
    assert made.exchange == "binance"
    assert made.ccxt() == {"apiKey": "k", "secret": VALUE}


@pytest.mark.parametrize("name", ["binance", "bybit", "coinbase", "kraken", "bitstamp"])
@pytest.mark.parametrize("field", ["api_key", "api_secret"])
def test_a_missing_half_of_an_exchanges_key_is_named(name: str, field: str) -> None:
    """Whatever the exchange, a key without its other half is no key."""
    content = {"api_key": VALUE, "api_secret": VALUE, "passphrase": VALUE}
    del content[field]
    (said,) = mistakes(lambda: ExchangeCredentials.from_content(f"{name}_credentials", dict(content)))
    assert said.startswith(f"Secret '{name}_credentials': field '{field}' is missing")


@pytest.mark.parametrize("name", ["coinbase", "okx", "kucoin", "bitget", "coinbaseexchange"])
def test_exchanges_with_a_passphrase_need_it(name: str) -> None:
    """Where the exchange asks for a passphrase it must be there, and goes to ccxt as its password."""
    (said,) = mistakes(lambda: ExchangeCredentials.from_content(f"{name}_credentials", KEYS))
    assert (
        said == f"Secret '{name}_credentials': field 'passphrase' is missing; {name} asks for it beside key and secret"
    )
    made = ExchangeCredentials.from_content(f"{name}_credentials", {"apiKey": "k", "secret": "s", "password": VALUE})
    assert made.ccxt() == {"apiKey": "k", "secret": "s", "password": VALUE}


def test_coinbases_newer_keys_have_none() -> None:
    """The file that Coinbase's developer platform gives out is taken as it is, also as one line of a variable."""
    for pem in (PEM, PEM.replace("\n", "\\n")):
        content: Content = {"name": "organizations/a/apiKeys/b", "privateKey": pem}
        made = ExchangeCredentials.from_content("coinbase_credentials", content)
        assert made.ccxt() == {"apiKey": "organizations/a/apiKeys/b", "secret": PEM}


def test_wallets_and_what_single_exchanges_ask_for() -> None:
    """A wallet's address and key, a user id and others go to ccxt under its names."""
    wallet = ExchangeCredentials.from_content("hyperliquid_credentials", {"walletAddress": "0xa", "private_key": VALUE})
    assert wallet.wallet
    assert wallet.ccxt() == {"walletAddress": "0xa", "privateKey": VALUE}
    more = ExchangeCredentials.from_content("bitmart_credentials", {**KEYS, "uid": "memo", "account_id": 7})
    assert more.ccxt() == {"apiKey": "key-1", "secret": VALUE, "uid": "memo", "accountId": "7"}


@pytest.mark.parametrize(
    ("given", "meant"), [(True, True), ("true", True), ("1", True), (False, False), ("no", False), (None, False)]
)
def test_the_sandbox_is_said(given: object, meant: bool) -> None:
    """`testnet` says whether the account is one of the sandbox."""
    assert ExchangeCredentials.from_content("x_credentials", {**KEYS, "testnet": given}).testnet is meant


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({**KEYS, "api_key": f"{VALUE}\n"}, "field 'api_key' has white space at its ends"),
        ({**KEYS, "api_secret": f" {VALUE}"}, "field 'api_secret' has white space at its ends"),
        ({**KEYS, "testnet": "perhaps"}, "field 'testnet' is neither true nor false"),
        (VALUE, "is a text, and an object with named fields is needed"),
    ],
)
def test_what_is_wrong_with_an_exchange_is_named(content: Content, says: str) -> None:
    """What a copy brought along, or a text in place of two halves, is named without its value."""
    assert says in mistakes(lambda: ExchangeCredentials.from_content("binance_credentials", content))[0]


# --- data providers and tokens ---


def test_data_providers_take_their_key_each_in_its_way() -> None:
    """Header where the provider has one, query parameter for all four, and nothing made up for others."""
    made = {
        name: DataProviderCredentials.from_content(f"{name}_api_key", VALUE)
        for name in ("iex_cloud", "polygon", "alpha_vantage", "finnhub", "tiingo")
    }
    assert made["polygon"].headers() == {"Authorization": f"Bearer {VALUE}"}
    assert made["finnhub"].headers() == {"X-Finnhub-Token": VALUE}
    assert made["iex_cloud"].query() == {"token": VALUE}
    assert made["polygon"].query() == {"apiKey": VALUE}
    assert made["alpha_vantage"].query() == {"apikey": VALUE}
    assert made["finnhub"].query() == {"token": VALUE}
    for refused in (made["tiingo"].headers, made["tiingo"].query, made["alpha_vantage"].headers):
        with pytest.raises(InvalidInputError):
            refused()
    assert made["tiingo"].api_key.reveal() == VALUE


def test_a_data_providers_key_may_stand_in_an_object() -> None:
    """An object with the key does as well as the key; one without names the field."""
    for field in ("api_key", "apiKey", "key", "token"):
        assert DataProviderCredentials.from_content("x_api_key", {field: VALUE}).api_key == Secret(VALUE)
    (said,) = mistakes(lambda: DataProviderCredentials.from_content("x_api_key", {"user": VALUE}))
    assert "field 'api_key' is missing" in said


def test_a_users_token() -> None:
    """It is compared with what is presented, and sent as a bearer token."""
    made = ApiToken.from_content("ann_api_token", VALUE, "ann")
    assert made.user == "ann"
    assert made.matches(VALUE)
    assert not made.matches(VALUE[:-1])
    assert made.headers() == {"Authorization": f"Bearer {VALUE}"}
    assert "white space" in mistakes(lambda: ApiToken.from_content("ann_api_token", "two words"))[0]


# --- keys ---


async def test_what_rotation_writes_is_read() -> None:
    """A key that the rotator made is strong, has its id, and the one before it is kept for verifying."""
    job = Job("1", "jwt_secret", {"make": "base64url"}, current={"key": VALUE, "kid": "k1"})
    made = SigningKey.from_content("jwt_secret", await RandomRotator(os.urandom).create(job, _unread))
    assert made.reveal() != VALUE
    assert made.by_kid() == {made.kid: made.reveal(), "k1": VALUE}
    fernet = Job("2", "encryption_key", {"make": "fernet"}, current={"key": FERNET})
    encrypting = EncryptionKey.from_content("encryption_key", await RandomRotator(os.urandom).create(fernet, _unread))
    assert encrypting.is_fernet
    assert encrypting.fernet()[1:] == [FERNET.encode()]


async def _unread(path: str) -> Mapping[str, object]:
    raise AssertionError(path)


def test_keys_are_revealed_in_the_forms_they_are_used_in() -> None:
    """A signing key is its text; an encryption key also its bytes; earlier ones are kept for verifying."""
    signing = SigningKey.from_content("jwt_secret", {"key": VALUE, "previous": ["old-1", "old-2"]})
    assert signing.reveal() == VALUE
    assert signing.verifying() == [VALUE, "old-1", "old-2"]
    assert signing.by_kid() == {}
    rotated: Content = {"key": VALUE, "kid": "k2", "previous": ["old-1", "old-2"], "previous_kids": ["k1", "k0"]}
    assert SigningKey.from_content("jwt_secret", rotated).by_kid() == {"k2": VALUE, "k1": "old-1", "k0": "old-2"}
    fernet = EncryptionKey.from_content("encryption_key", {"key": FERNET, "previous": FERNET[::-1]})
    assert fernet.is_fernet
    assert fernet.fernet() == [FERNET.encode()]
    assert len(fernet.raw()) == 32
    assert fernet.reveal() == FERNET
    digest = hashlib.sha256(b"x").hexdigest()
    hexadecimal = EncryptionKey.from_content("k", digest)
    assert hexadecimal.raw() == bytes.fromhex(digest)
    assert not hexadecimal.is_fernet
    with pytest.raises(InvalidInputError, match="no Fernet key"):
        hexadecimal.fernet()


WEAK = [
    ("", "is missing"),
    ("Tr0ub4dor", "is shorter than 32 bytes"),
    ("0123456789abcdef0123456789abcde", "is shorter than 32 bytes"),
    ("change-me-to-at-least-32-random-bytes", "is a placeholder"),
    ("dev-jwt-secret-change-in-production-min-32-chars", "is a placeholder"),
    ("your_jwt_secret_key_here_make_it_long_and_random", "is a placeholder"),
    ("Super-Secret-Password-For-Production-2026", "is a placeholder"),
    (hashlib.shake_256(b"x").hexdigest(2100) + "x", "is longer than 4096 bytes"),
    ("a" * 48, "is not random"),
    ("abc" * 16, "is not random"),
    ("12345678901234567890123456789012", "is not random"),
    ("abcdefghijklmnopqrstuvwxyz{|}~ABCDEFGH", "is not random"),
    ("aaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbx", "is not random"),
]


@pytest.mark.parametrize(("text", "says"), WEAK)
def test_a_weak_signing_key_is_refused(text: str, says: str) -> None:
    """What is short, copied from an example, or repeats is refused with what to do, without the key."""
    (said,) = mistakes(lambda: SigningKey.from_content("jwt_secret", text))
    assert said.startswith(f"Secret 'jwt_secret': field 'key' {says}")
    assert not text or text not in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        *WEAK[:2],
        *WEAK[3:7],
        ("Y2hhbmdlLW1lLWNoYW5nZS1tZS1jaGFuZ2UtbWUtY2g=", "is a placeholder"),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "is not random"),
        ("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "is not random"),
        (hashlib.sha256(b"x").hexdigest()[:32], "is shorter than 32 bytes"),
    ],
)
def test_a_weak_encryption_key_is_refused(text: str, says: str) -> None:
    """It is judged by the bytes that its base64 or hex stands for: the placeholder of `.env.example` is none."""
    (said,) = mistakes(lambda: EncryptionKey.from_content("encryption_key", text))
    assert said.startswith(f"Secret 'encryption_key': field 'key' {says}")

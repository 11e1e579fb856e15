"""The page of a platform's secrets is true: its blocks and examples run, beside a real PostgreSQL."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
from httpx import ASGITransport, AsyncClient
from psycopg import sql
from sqlalchemy import text

from tests.support.chain import Bench, ToldProvider, unreachable
from tests.support.exporting import session
from tests.support.pages import ROOT, blocks
from tests.support.postgres import OWNER, Postgres, postgres
from tests.support.service import free_port
from tradewarden import AsyncPlatformSecrets, PlatformSecrets
from tradewarden.secrets.chain.chain import Chain
from tradewarden.settings.table import SECRET_PROVIDERS

PAGE = ROOT / "docs" / "secrets.md"
PASSWORD = "@:/%?#"
_SHOWN = re.compile(
    r"\]\(\.\./(?P<path>examples/[\w./]+)\)[^\n]*\n(?:[^\n]+\n)*\n```py\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server with the page's database, user and password."""
    rules = f"host all {OWNER} 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    with postgres(hba=rules) as running:
        with psycopg.connect(running.url, autocommit=True) as connection:
            connection.execute(sql.SQL("create role alphapulse login password {}").format(sql.Literal(PASSWORD)))
            connection.execute("create database alphapulse owner alphapulse")
        yield running


@pytest.fixture
def example(request: pytest.FixtureRequest) -> ModuleType:
    """One of the page's examples, as a module."""
    name = getattr(request, "param", "ccxt_bot")
    found = importlib.util.spec_from_file_location(name, ROOT / "examples" / "secrets" / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_page_runs_as_written(server: Postgres, tmp_path: Path) -> None:
    """Each block works in a fresh checkout, and what it shows is what comes."""
    ports = {"5432": str(server.port), "8010": str(free_port())}
    with session(PAGE, tmp_path, replaced=ports) as page:
        page.run()
    assert page.ran == [block for block in blocks(PAGE) if block.language != "py"]


def test_the_page_shows_the_examples() -> None:
    """What stands below an example's name is that file, or one piece of it."""
    shown = list(_SHOWN.finditer(PAGE.read_text()))
    assert len(shown) == 3
    for each in shown:
        assert each["text"] in (ROOT / each["path"]).read_text(), each["path"]


def test_the_page_has_every_provider_and_every_question() -> None:
    """Its tables name each provider of the settings, and each typed method of the library."""
    page = PAGE.read_text()
    assert [each for each in SECRET_PROVIDERS if f"\n| `{each}` | " not in page] == []
    rows = re.findall(r"^\| `(\w+)\(.*?\)` \|", page, re.MULTILINE)
    plain = {"close", "delete", "forget", "from_environment", "health", "names", "on_change", "put", "subscribe"}
    public = {name for name in vars(PlatformSecrets) if not name.startswith("_")}
    assert set(rows) == public - plain


def test_the_bot_goes_on_with_a_new_key(example: ModuleType) -> None:
    """The example's account has an exchange with the rotated key, without a restart."""
    provider = ToldProvider("vault", {"kraken_credentials": {"api_key": "one", "api_secret": "s", "testnet": False}})
    bench = Bench(provider)
    account = example.Account(PlatformSecrets(bench.chain), "kraken")
    assert (account.exchange.id, account.exchange.apiKey) == ("kraken", "one")
    provider.held["kraken_credentials"] = {"api_key": "two", "api_secret": "s"}
    bench.later(bench.chain.policy.watch_seconds)
    bench.chain.run_due()
    bench.threads.work()
    assert account.exchange.apiKey == "two"


@pytest.mark.parametrize("example", ["fastapi_service"], indirect=True)
async def test_the_service_tells_strangers_from_outages(example: ModuleType) -> None:
    """A wrong token, an unknown user and a made-up name are 401 alike; when nobody can tell, it is 503."""
    provider = ToldProvider("vault", {"ann_api_token": "right"})
    example.app.state.secrets = AsyncPlatformSecrets(Chain([provider]))
    transport = ASGITransport(app=example.app, raise_app_exceptions=False)
    async with example.app.state.secrets, AsyncClient(transport=transport, base_url="http://bot") as client:

        async def status(user: str, token: str) -> int:
            asked = await client.get("/positions", headers={"X-User": user, "Authorization": f"Bearer {token}"})
            return asked.status_code

        assert [await status(*each) for each in (("ann", "wrong"), ("ben", "right"), ("a/../ann", "right"))] == [
            401
        ] * 3
        assert (await client.get("/health")).json() == {"healthy": True, "providers": ["vault"]}
        assert await status("ann", "right") == 503  # known, and the database's login is missing: no 404
        provider.failing = unreachable
        assert await status("cid", "right") == 503
        assert (await client.get("/health")).json()["healthy"] is False


@pytest.mark.parametrize("example", ["sqlalchemy_engine"], indirect=True)
def test_a_new_connection_has_the_new_password(server: Postgres, example: ModuleType) -> None:
    """The example's engine goes on after the password was rotated, without a restart."""
    variables = {
        "ALPHAPULSE_DB_HOST": "127.0.0.1",
        "ALPHAPULSE_DB_PORT": str(server.port),
        "ALPHAPULSE_DB_USER": "rotated",
        "ALPHAPULSE_DB_NAME": "postgres",
        "ALPHAPULSE_DB_PASSWORD": "one",
    }
    with (
        PlatformSecrets.from_environment(variables, None) as secrets,
        psycopg.connect(server.url, autocommit=True) as owner,
    ):
        owner.execute("create role rotated login password 'one'")
        engine = example.engine_of(secrets)
        for password in ("one", "two"):
            owner.execute(sql.SQL("alter role rotated password {}").format(sql.Literal(password)))
            variables["ALPHAPULSE_DB_PASSWORD"] = password
            secrets.forget("database_credentials")
            engine.dispose()
            with engine.connect() as connection:
                assert connection.execute(text("select current_user")).scalar_one() == "rotated"
        engine.dispose()

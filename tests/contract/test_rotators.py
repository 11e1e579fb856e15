"""What every rotator does, each against its real other side: steps that may be repeated, and no moment without a value.

`works` tells whether the other side takes a value; where there is none, a value that is well formed works.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped]
import msgspec
import pytest

from tests.support.exchange import Exchange, Key, exchange
from tests.support.postgres import OWNER, Postgres, postgres
from tests.support.rotators import STEPS, Drive
from tradewarden import Warden, load_settings
from tradewarden.clock import SystemClock, system_randomness
from tradewarden.errors import InvalidInputError
from tradewarden.own_services import OwnServices
from tradewarden.secrets.credentials.database import DatabaseCredentials
from tradewarden.secrets.rotation.rotators.outbound import Outbound
from tradewarden.secrets.rotation.rotators.registry import rotators

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

KINDS = ("client_secret", "exchange", "postgres", "random", "service_token")
HBA = f"host all {OWNER} 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


@dataclass
class Case:
    """One rotator at its other side. `overlaps`: the old value works until the last step; `ends`: not after it."""

    run: Drive
    works: Callable[[dict[str, object]], Awaitable[bool]]
    overlaps: bool = True
    ends: bool = True


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    """Run a PostgreSQL server."""
    with postgres({}, HBA) as server:
        yield server


@pytest.fixture(scope="module")
def market() -> Iterator[Exchange]:
    """Run a stand-in exchange."""
    with exchange() as made:
        yield made


@pytest.fixture
async def warden(tmp_path: Path) -> AsyncIterator[Warden]:
    """Open an installation."""
    async with Warden.open(load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data")})) as opened:
        yield opened


@pytest.fixture(params=KINDS)
async def case(
    request: pytest.FixtureRequest, database: Postgres, market: Exchange, warden: Warden
) -> AsyncIterator[Case]:
    """Give each rotator in turn, with a value in use."""
    async with _CASES[request.param](database, market, warden) as made:
        yield made


def _drive(warden: Warden, kind: str, places: list[tuple[str, int]], **parameters: str) -> Drive:
    made = rotators(Outbound(places), OwnServices(warden), SystemClock(), system_randomness)
    assert set(made) == set(KINDS)
    return Drive(made[kind], parameters)


@asynccontextmanager
async def _random(_database: Postgres, _market: Exchange, warden: Warden) -> AsyncIterator[Case]:
    async def works(value: dict[str, object]) -> bool:
        return bool(re.fullmatch("[0-9a-f]{64}", str(value["key"])))

    run = _drive(warden, "random", [], make="hex")
    run.versions = [{"key": "0" * 64, "note": "kept"}]
    yield Case(run, works, ends=False)


@asynccontextmanager
async def _postgres(database: Postgres, _market: Exchange, warden: Warden) -> AsyncIterator[Case]:
    owner = await asyncpg.connect(database.url)
    await owner.execute("CREATE ROLE trading; CREATE ROLE app_a LOGIN PASSWORD 'first'; GRANT trading TO app_a")

    async def works(value: dict[str, object]) -> bool:
        try:
            connection = await asyncpg.connect(**DatabaseCredentials.from_content("s", value).asyncpg())
        except asyncpg.PostgresError:
            return False
        await connection.close()
        return True

    names = {"admin": "admin", "user_a": "app_a", "user_b": "app_b", "group": "trading", "grace_seconds": "0"}
    run = _drive(warden, "postgres", [("127.0.0.1", database.port)], **names)
    place: dict[str, object] = {"host": "127.0.0.1", "port": database.port, "database": "postgres"}
    run.others["admin"] = place | {"user": OWNER, "password": "none"}
    run.versions = [place | {"user": "app_a", "password": "first", "note": "kept"}]
    yield Case(run, works)
    await owner.execute("DROP ROLE IF EXISTS app_b; DROP ROLE app_a; DROP ROLE trading")
    await owner.close()


@asynccontextmanager
async def _service_token(_database: Postgres, _market: Exchange, warden: Warden) -> AsyncIterator[Case]:
    made = await warden.local.services.register("bot", ["audit:read"])

    async def works(value: dict[str, object]) -> bool:
        return await OwnServices(warden).accepts("bot", str(value["token"]))

    run = _drive(warden, "service_token", [], grace_seconds="0")
    token = (await warden.local.tokens.issue("bot", ["audit:read"])).token
    run.versions = [
        {"service_name": "bot", "client_secret": made.client_secret, "token": token, "note": "kept"},
    ]
    yield Case(run, works)


@asynccontextmanager
async def _client_secret(_database: Postgres, _market: Exchange, warden: Warden) -> AsyncIterator[Case]:
    made = await warden.local.services.register("bot", ["audit:read"])

    async def works(value: dict[str, object]) -> bool:
        return await OwnServices(warden).proves("bot", str(value["client_secret"]))

    run = _drive(warden, "client_secret", [])
    run.versions = [{"service_name": "bot", "client_secret": made.client_secret, "note": "kept"}]
    yield Case(run, works, overlaps=False)


@asynccontextmanager
async def _exchange(_database: Postgres, market: Exchange, warden: Warden) -> AsyncIterator[Case]:
    market.keys = {name: Key("of-" + name) for name in ("old-key", "new-key")}

    async def works(value: dict[str, object]) -> bool:
        return value["api_key"] in market.keys

    run = _drive(warden, "exchange", [("127.0.0.1", market.port)], exchange="binance", url=market.url, old_key="leave")
    run.versions = [{"api_key": "old-key", "api_secret": "of-old-key", "note": "kept"}]
    run.supplied = {"api_key": "new-key", "api_secret": "of-new-key"}
    yield Case(run, works, ends=False)


_CASES = {
    "random": _random,
    "postgres": _postgres,
    "service_token": _service_token,
    "client_secret": _client_secret,
    "exchange": _exchange,
}


async def test_each_step_may_be_repeated(case: Case) -> None:
    """With every step carried out twice, the new value works at the end, and what else is in the secret stays."""
    before = case.run.current
    assert await case.works(before)
    await case.run.rotate(repeat=2)
    assert case.run.current != before
    assert await case.works(case.run.current)
    assert await case.works(before) is not case.ends
    assert case.run.current["note"] == "kept"


async def test_what_is_current_works_after_every_step(case: Case) -> None:
    """Whatever step a process was killed after, what is current works; the value before does until the last step."""
    before = case.run.current
    seen: list[dict[str, object]] = []

    async def watch() -> None:
        if case.overlaps or len(case.run.versions) > 1 or not seen:
            assert await case.works(case.run.current)
        if case.overlaps and len(case.run.versions) == 1:
            assert await case.works(before)
        seen.append(case.run.current)

    await case.run.rotate(repeat=3, watch=watch)
    assert len(seen) == 3 * len(STEPS)


async def test_a_new_value_is_json(case: Case) -> None:
    """What `create` gives can be stored: it comes out of JSON as it went in."""
    case.run.begin()
    await case.run.step("create")
    assert msgspec.json.decode(msgspec.json.encode(case.run.pending)) == case.run.pending


async def test_a_job_does_not_show_its_values(case: Case) -> None:
    """The repr of a job, which may stand in a log, holds neither old nor new values."""
    case.run.begin()
    await case.run.step("create")
    shown = repr(case.run.job())
    values = [*case.run.current.values(), *(case.run.pending or {}).values()]
    assert not [each for each in values if isinstance(each, str) and len(each) > 6 and each in shown]


async def test_parameters_are_checked(case: Case) -> None:
    """A policy's own parameters are taken; one that the rotator does not know is refused by its name."""
    case.run.rotator.check(case.run.parameters)
    with pytest.raises(InvalidInputError, match="no_such_parameter"):
        case.run.rotator.check(case.run.parameters | {"no_such_parameter": "x"})


async def test_a_kind_says_its_name(case: Case) -> None:
    """A rotator is known by its kind, and only the hand-over of an exchange's key needs a person."""
    assert case.run.rotator.kind in KINDS
    assert case.run.rotator.automatic is (case.run.rotator.kind != "exchange")

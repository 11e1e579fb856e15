"""The rotators under the real engine: policies, runs and what is told of them in an installation."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.support.audit import TestClock
from tests.support.exchange import Key, exchange
from tests.support.postgres import OWNER, postgres
from tradewarden import Warden, load_settings
from tradewarden.access.grant import Grant, authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.entry import Entry, EventType
from tradewarden.audit.query import Filter
from tradewarden.errors import (
    ConflictError,
    InvalidInputError,
    RotationFailedError,
    UnavailableError,
)
from tradewarden.secrets.commands import SetSecretMetadata
from tradewarden.secrets.credentials.database import DatabaseCredentials
from tradewarden.secrets.rotation.commands import RunRotation, SetPolicy
from tradewarden.secrets.rotation.rotations import ROTATE

if TYPE_CHECKING:
    from pathlib import Path

PATH = "trading/secret"


async def opened(directory: Path, clock: TestClock | None = None, hosts: str = "") -> Warden:
    """Open an installation that may connect to these hosts."""
    more = {"TRADEWARDEN_ROTATION_HOSTS": hosts} if hosts else {}
    settings = load_settings({"TRADEWARDEN_DATA_DIR": str(directory / "data"), **more})
    return await Warden.start(settings, clock=clock)


async def value(warden: Warden, path: str = PATH) -> dict[str, object]:
    """Return what is current."""
    return (await warden.local.secrets.get(path)).value()


async def test_a_database_login(tmp_path: Path) -> None:
    """A policy and a run give a secret its login, another run the other one; an admin's secret that is not is named."""
    hba = f"host all {OWNER} 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    with postgres({}, hba) as server:
        warden = await opened(tmp_path, hosts=f"127.0.0.1:{server.port}")
        owner = await asyncpg.connect(server.url)
        await owner.execute("CREATE ROLE trading")
        parameters = {"admin": "platform/admin", "user_a": "app_a", "user_b": "app_b", "group": "trading"}
        with pytest.raises(InvalidInputError, match="platform/admin"):
            await warden.local.rotations.set_policy(PATH, "postgres", parameters, every_seconds=86_400)
        admin = {"host": "127.0.0.1", "port": server.port, "user": OWNER, "password": "x", "database": "postgres"}
        await warden.local.secrets.put("platform/admin", admin)
        await warden.local.rotations.set_policy(PATH, "postgres", parameters, every_seconds=86_400)
        await warden.local.secrets.delete("platform/admin")
        with pytest.raises(RotationFailedError, match="platform/admin"):
            await warden.local.rotations.run(PATH)
        await warden.local.secrets.put("platform/admin", admin)
        for number, user in ((1, "app_a"), (2, "app_b"), (3, "app_a")):
            rotated = await warden.local.rotations.run(PATH)
            assert (rotated.version, bool(rotated.waits)) == (number, number > 1)
            found = await value(warden)
            assert found["user"] == user
            connection = await asyncpg.connect(**DatabaseCredentials.from_content(PATH, found).asyncpg())
            await connection.close()
        await owner.close()
        await warden.close()


async def test_a_token_waits_for_the_end_of_its_grace(tmp_path: Path) -> None:
    """A run is done when the new token is current, says that the old one is still to end, and ends it by itself."""
    clock = TestClock()
    warden = await opened(tmp_path, clock)
    made = await warden.local.services.register("bot", ["audit:read"])
    await warden.local.secrets.put("bots/own", {"service_name": "bot", "client_secret": made.client_secret})
    parameters = {"credentials": "bots/own", "grace_seconds": "600"}
    await warden.local.rotations.set_policy(PATH, "service_token", parameters)
    await warden.local.rotations.run(PATH)
    before = (await value(warden))["token"]
    rotated = await warden.local.rotations.run(PATH)
    assert rotated.version == 2
    assert "ends in" in rotated.waits
    assert (await warden.local.tokens.validate(str(before))).service_name == "bot"
    clock.ahead += 601
    assert await warden.rotations.tending.tend(warden.rotating) == ()
    assert [each.state for each in await warden.local.rotations.list()] == ["idle"]
    listed = {each.jti: each.revoked for each in await warden.local.tokens.list("bot")}
    assert sorted(listed.values()) == [False, True]
    await warden.close()


async def test_an_exchange_key_is_handed_over(tmp_path: Path) -> None:
    """A run takes what is supplied, says which key to delete, and ends once the exchange no longer takes it."""
    with exchange() as market:
        market.keys = {name: Key(f"of-{name}") for name in ("the-old-key-of-1111", "the-new-key-of-2222")}
        warden = await opened(tmp_path, hosts=f"127.0.0.1:{market.port}")
        await warden.local.secrets.put(PATH, {"api_key": "the-old-key-of-1111", "api_secret": "of-the-old-key-of-1111"})
        with pytest.raises(InvalidInputError, match="needs a person"):
            await warden.local.rotations.set_policy(PATH, "exchange", {"exchange": "binance"}, automatic=True)
        await warden.local.rotations.set_policy(PATH, "exchange", {"exchange": "binance", "url": market.url})
        with pytest.raises(InvalidInputError, match="supply"):
            await warden.local.rotations.run(PATH)
        supplied = {"api_key": "the-new-key-of-2222", "api_secret": "of-the-new-key-of-2222"}
        rotated = await warden.local.rotations.run(PATH, supplied)
        assert "ends in 1111" in rotated.waits
        assert await value(warden) == supplied
        assert "ends in 1111" in (await warden.local.rotations.run(PATH)).waits
        del market.keys["the-old-key-of-1111"]
        assert (await warden.local.rotations.run(PATH)).waits == ""
        await warden.clerk.run_once(last=True)
        told = str(await warden.local.audit.search(Filter()))
        assert "the-new-key" not in told
        assert not [each for each in market.signatures if each in told]
        await warden.close()


async def test_two_at_once(tmp_path: Path) -> None:
    """Of two runs that begin at the same moment one rotates, and the other is told so; one version is written."""
    warden = await opened(tmp_path)
    await warden.local.rotations.set_policy(PATH, "random", {"make": "hex"})
    outcomes = await asyncio.gather(*(warden.local.rotations.run(PATH) for _ in range(2)), return_exceptions=True)
    failed = [each for each in outcomes if isinstance(each, BaseException)]
    assert len(failed) == 1
    assert isinstance(failed[0], ConflictError)
    assert len((await warden.local.secrets.metadata(PATH)).versions) == 1
    await warden.close()


async def test_a_rollback_within_the_grace_is_seen(tmp_path: Path) -> None:
    """A login that is current again by a rollback is shown at once, and kept when the grace is over."""
    hba = f"host all {OWNER} 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    clock = TestClock()
    with postgres({}, hba) as server:
        warden = await opened(tmp_path, clock, f"127.0.0.1:{server.port}")
        owner = await asyncpg.connect(server.url)
        await owner.execute("CREATE ROLE trading")
        admin = {"host": "127.0.0.1", "port": server.port, "user": OWNER, "password": "x", "database": "postgres"}
        await warden.local.secrets.put("platform/admin", admin)
        parameters = {"admin": "platform/admin", "user_a": "app_a", "user_b": "app_b", "group": "trading"}
        await warden.local.rotations.set_policy(PATH, "postgres", parameters, every_seconds=86_400)
        await warden.local.rotations.run(PATH)
        await warden.local.rotations.run(PATH)
        assert await warden.local.rotations.list(due=True) == []
        await warden.local.secrets.put(PATH, (await warden.local.secrets.get(PATH, 1)).value())
        (shown,) = await warden.local.rotations.list(due=True)
        assert shown.waits.startswith("version 3 took the place of its version 2; ")
        clock.ahead += 3601  # the server's own clock has not moved: it would end the password a minute later
        assert await warden.rotations.tending.tend(warden.rotating) == ()
        assert [each.state for each in await warden.local.rotations.list()] == ["idle"]
        until = await owner.fetchval("SELECT rolvaliduntil::text FROM pg_roles WHERE rolname = 'app_a'")
        assert until == "infinity"
        connection = await asyncpg.connect(**DatabaseCredentials.from_content(PATH, await value(warden)).asyncpg())
        await connection.close()
        await owner.close()
        await warden.close()


async def test_a_server_that_goes_away_after_the_promotion(tmp_path: Path) -> None:
    """An error of the last step says that the new value is current already."""
    hba = f"host all {OWNER} 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    clock = TestClock()
    with postgres({}, hba) as server:
        warden = await opened(tmp_path, clock, f"127.0.0.1:{server.port}")
        owner = await asyncpg.connect(server.url)
        await owner.execute("CREATE ROLE trading")
        await owner.close()
        admin = {"host": "127.0.0.1", "port": server.port, "user": OWNER, "password": "x", "database": "postgres"}
        await warden.local.secrets.put("platform/admin", admin)
        parameters = {"admin": "platform/admin", "user_a": "app_a", "user_b": "app_b", "group": "trading"}
        await warden.local.rotations.set_policy(PATH, "postgres", parameters)
        await warden.local.rotations.run(PATH)
        await warden.local.rotations.run(PATH)
    with pytest.raises(UnavailableError, match="has its new value already, version 2"):
        await warden.rotations.run(*warden_run(warden))
    await warden.close()


def warden_run(warden: Warden) -> tuple[Grant, RunRotation, Entry]:
    """Return what goes on with a rotation under way, and begins none."""
    grant, entry = warden.rotating(PATH)
    return grant, RunRotation(PATH, resume=True), entry


async def test_a_token_is_replaced_before_it_ends(tmp_path: Path) -> None:
    """A policy that asks for less would leave the token to end: that is refused, and the token's own end counts."""
    clock = TestClock()
    warden = await opened(tmp_path, clock)
    made = await warden.local.services.register("bot", ["audit:read"])
    await warden.local.secrets.put("bots/own", {"service_name": "bot", "client_secret": made.client_secret})
    parameters = {"credentials": "bots/own", "grace_seconds": "0"}
    given = {**parameters, "ttl_seconds": "600"}
    with pytest.raises(InvalidInputError, match="would end before it is replaced"):
        await warden.local.rotations.set_policy(PATH, "service_token", given, every_seconds=601)
    given = {**parameters, "ttl_seconds": "86400"}
    with pytest.raises(InvalidInputError, match="would end before it is replaced"):
        await warden.local.rotations.set_policy(PATH, "service_token", given, schedule="sun 02:00-04:00")
    await warden.local.rotations.set_policy(PATH, "service_token", parameters, every_seconds=300 * 86_400)
    await warden.local.rotations.run(PATH)
    found = await value(warden)
    life = rfc3339_seconds(str(found["expires_at"])) - rfc3339_seconds(str(found["issued_at"]))
    (shown,) = await warden.local.rotations.list()
    assert shown.due_at is not None
    assert 0 < rfc3339_seconds(str(found["expires_at"])) - shown.due_at <= 3600
    clock.ahead += life - 10
    assert len(await warden.local.rotations.list(due=True)) == 1
    assert await warden.rotations.tending.tend(warden.rotating) == ()
    assert (await warden.local.secrets.get(PATH)).version == 2
    await warden.close()


def rfc3339_seconds(text: str) -> float:
    """Return seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


async def test_a_policy_that_could_only_fail_is_refused(tmp_path: Path) -> None:
    """What can be seen when a policy is written is said then: fields, exchanges, hours, versions."""
    warden = await opened(tmp_path)
    local = warden.local
    await local.secrets.put("one", {"api_key": "k", "api_secret": "s"})
    for kind, parameters, schedule, word in (
        ("random", {"make": "password"}, "", "no field 'password'"),
        ("exchange", {"exchange": "binanse"}, "", "binanse"),
        ("random", {"make": "token", "fields": "api_key"}, "sun 02:00-02:00", "00:00-24:00"),
    ):
        with pytest.raises(InvalidInputError, match=word):
            await local.rotations.set_policy("one", kind, parameters, schedule=schedule)
    grant = authorize(Principal(Kind.USER, "admin"), PermissionSet(("admin",)), "secrets:write", "one")
    entry = warden.entry(EventType.SECRET_ACCESS, "write", "one")
    await warden.secrets.set_metadata(grant, SetSecretMetadata("one", max_versions=1), entry)
    with pytest.raises(InvalidInputError, match="keeps one version only"):
        await local.rotations.set_policy("one", "random", {"make": "token", "fields": "api_key"})
    rotate = authorize(Principal(Kind.USER, "x"), PermissionSet((ROTATE,)), ROTATE, "two")
    parameters = {"admin": "one", "user_a": "a", "user_b": "b", "group": "g"}
    with pytest.raises(InvalidInputError, match="must be able to read"):
        await warden.rotations.set_policy(rotate, SetPolicy("two", "postgres", parameters), entry)
    await warden.close()

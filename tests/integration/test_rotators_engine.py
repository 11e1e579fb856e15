"""The rotators under the real engine: policies, runs and what is told of them in an installation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.support.audit import TestClock
from tests.support.exchange import Key, exchange
from tests.support.postgres import OWNER, postgres
from tradewarden import Warden, load_settings
from tradewarden.audit.query import Filter
from tradewarden.errors import ConflictError, InvalidInputError, RotationFailedError
from tradewarden.secrets.credentials.database import DatabaseCredentials

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
        await warden.local.rotations.set_policy(PATH, "postgres", parameters, every_seconds=86_400)
        with pytest.raises(RotationFailedError, match="platform/admin"):
            await warden.local.rotations.run(PATH)
        admin = {"host": "127.0.0.1", "port": server.port, "user": OWNER, "password": "x", "database": "postgres"}
        await warden.local.secrets.put("platform/admin", admin)
        for number, user in ((1, "app_a"), (2, "app_b"), (3, "app_a")):
            rotated = await warden.local.rotations.run(PATH)
            assert (rotated.version, rotated.waits) == (number, "")
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

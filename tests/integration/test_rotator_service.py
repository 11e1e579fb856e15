"""The rotation of tokens and client secrets of our own services, in a real installation."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests.support.audit import TestClock
from tests.support.rotators import Drive
from tradewarden import Warden, load_settings
from tradewarden.audit.query import Filter
from tradewarden.errors import (
    AuthenticationError,
    InvalidInputError,
    RotationFailedError,
    RotationWaitsError,
    TokenError,
)
from tradewarden.own_services import OwnServices
from tradewarden.secrets.rotation.rotators.service_token import ClientSecretRotator, ServiceTokenRotator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CREDENTIALS = "bots/credentials"


@pytest.fixture
def clock() -> TestClock:
    """Give a clock that a test moves."""
    return TestClock()


@pytest.fixture
async def warden(tmp_path: Path, clock: TestClock) -> AsyncIterator[Warden]:
    """Open an installation."""
    settings = load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data")})
    warden = await Warden.start(settings, clock=clock)
    yield warden
    await warden.close()


async def drive(warden: Warden, clock: TestClock, **parameters: str) -> Drive:
    """Return a rotation of a token of a service that is registered, by credentials that another secret holds."""
    made = await warden.local.services.register("bot", ["secrets:read:bots/*", "audit:read"])
    held: dict[str, object] = {"service_name": "bot", "client_secret": made.client_secret}
    rotator = ServiceTokenRotator(OwnServices(warden), clock)
    return Drive(rotator, {"credentials": CREDENTIALS} | parameters, None, {CREDENTIALS: held})


async def accepted(warden: Warden, token: object) -> bool:
    """Tell whether a token is good."""
    try:
        await warden.local.tokens.validate(str(token))
    except TokenError:
        return False
    return True


async def test_a_token_is_replaced_and_the_one_before_ended(warden: Warden, clock: TestClock) -> None:
    """The new token has what was asked for; the one before works until the rotation's last step, which may repeat."""
    run = await drive(warden, clock, permissions="secrets:read:bots/*", ttl_seconds="600", grace_seconds="0")
    await run.rotate(repeat=2)
    before = run.current
    run.begin()
    for step in ("create", "set", "test", "promote"):
        await run.step(step)
        assert await accepted(warden, before["token"])
    assert await accepted(warden, run.current["token"])
    for _ in range(2):
        await run.step("finish")
        assert not await accepted(warden, before["token"])
        assert await accepted(warden, run.current["token"])
    assert (await warden.local.tokens.validate(str(run.current["token"]))).permissions == ("secrets:read:bots/*",)
    assert set(run.current) == {"service_name", "token", "issued_at", "expires_at"}


async def test_the_token_before_lives_through_the_grace(warden: Warden, clock: TestClock) -> None:
    """Until the grace is over the last step waits, saying for how long, and both tokens are good."""
    run = await drive(warden, clock, grace_seconds="600")
    await run.rotate()
    before = run.current["token"]
    with pytest.raises(RotationWaitsError) as caught:
        await run.rotate()
    assert 590 < caught.value.seconds <= 600
    assert await accepted(warden, before)
    clock.ahead += 601
    await run.step("finish")
    assert not await accepted(warden, before)
    assert await accepted(warden, run.current["token"])


async def test_a_compromised_token_has_no_grace(warden: Warden, clock: TestClock) -> None:
    """Where the value in use may be in wrong hands, the token before ends at once."""
    run = await drive(warden, clock, grace_seconds="600")
    await run.rotate()
    before, run.urgent = run.current["token"], True
    await run.rotate()
    assert not await accepted(warden, before)
    assert await accepted(warden, run.current["token"])


async def test_no_more_than_the_service_may(warden: Warden, clock: TestClock) -> None:
    """A policy cannot ask for what the service is not registered for, nor for a token of another service."""
    run = await drive(warden, clock, permissions="services:manage")
    with pytest.raises(RotationFailedError, match="look at its permissions"):
        await run.rotate()
    await warden.local.services.register("admin-bot", ["admin"])
    run.others[CREDENTIALS] |= {"service_name": "admin-bot"}
    with pytest.raises(RotationFailedError, match="client secret is not accepted"):
        await run.rotate()


async def test_anothers_token_is_not_ended(warden: Warden, clock: TestClock) -> None:
    """A token of another service that somebody wrote into the secret stays good."""
    run = await drive(warden, clock, grace_seconds="0")
    await warden.local.services.register("other", ["audit:read"])
    token = (await warden.local.tokens.issue("other", ["audit:read"])).token
    run.versions = [{"token": token}]
    await run.rotate()
    assert await accepted(warden, token)


async def test_a_token_that_is_not_good_is_not_taken(warden: Warden, clock: TestClock) -> None:
    """The test step refuses a token that has ended meanwhile, and one of another service."""
    run = await drive(warden, clock)
    run.begin()
    await run.step("create")
    assert run.pending is not None
    await warden.local.tokens.revoke(token=str(run.pending["token"]))
    with pytest.raises(RotationFailedError, match="not accepted"):
        await run.step("test")
    await warden.local.services.register("other", ["audit:read"])
    run.pending = {"token": (await warden.local.tokens.issue("other", ["audit:read"])).token}
    with pytest.raises(RotationFailedError, match="not accepted"):
        await run.step("test")


async def test_the_client_secret_is_replaced(warden: Warden) -> None:
    """The new client secret proves the service, the one before does not, and each step may be repeated."""
    made = await warden.local.services.register("bot", ["audit:read"])
    token = (await warden.local.tokens.issue("bot", ["audit:read"])).token
    first: dict[str, object] = {"service_name": "bot", "client_secret": made.client_secret, "note": "kept"}
    run = Drive(ClientSecretRotator(OwnServices(warden)), {}, first)
    await run.rotate(repeat=2)
    assert run.current == first | {"client_secret": run.current["client_secret"]}
    assert (await warden.services.authenticate("bot", str(run.current["client_secret"]))).service_name == "bot"
    with pytest.raises(AuthenticationError):
        await warden.services.authenticate("bot", made.client_secret)
    assert await accepted(warden, token)
    run.versions = [first]
    with pytest.raises(RotationFailedError, match="not accepted"):
        await run.rotate()


async def test_all_of_it_is_in_the_audit_log(
    warden: Warden, clock: TestClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What is done for a service is recorded as the service's, with the secret for which; no log holds a value."""
    caplog.set_level(logging.DEBUG)
    run = await drive(warden, clock, grace_seconds="0")
    await run.rotate()
    await run.rotate()
    secret = Drive(ClientSecretRotator(OwnServices(warden)), {}, dict(run.others[CREDENTIALS]))
    await secret.rotate()
    run.others[CREDENTIALS] |= {"client_secret": "tws_wrong"}
    with pytest.raises(RotationFailedError):
        await run.rotate()
    await warden.clerk.run_once(last=True)
    entries = [
        each for each in await warden.local.audit.search(Filter(resource="bot")) if each["user"] == "service:bot"
    ]
    assert sorted(str(each["action"]) for each in entries) == ["issue", "issue", "revoke", "rotate"]
    assert {each["reason"] for each in entries} == {"for the rotation of trading/secret"}
    told = caplog.text + str(await warden.local.audit.search(Filter()))
    values = [
        each[name] for each in (*run.versions, *secret.versions) for name in ("token", "client_secret") if name in each
    ]
    assert values
    assert not [each for each in values if str(each) in told]


@pytest.mark.parametrize("lost", ["service_name", "client_secret"])
async def test_what_is_missing_is_named(warden: Warden, clock: TestClock, lost: str) -> None:
    """Credentials without a name or a client secret are refused by the path of the secret."""
    run = await drive(warden, clock)
    del run.others[CREDENTIALS][lost]
    with pytest.raises(RotationFailedError, match=CREDENTIALS):
        await run.rotate()


@pytest.mark.parametrize(
    "parameters", [{"ttl_seconds": "x"}, {"grace_seconds": "-1"}, {"credentials": "/x"}, {"service_name": "bot"}]
)
def test_a_wrong_parameter_is_named(parameters: dict[str, str], clock: TestClock) -> None:
    """A policy with a parameter that is wrong or unknown is refused by the name of it; a client secret takes none."""
    own = OwnServices.__new__(OwnServices)
    with pytest.raises(InvalidInputError, match=next(iter(parameters))):
        ServiceTokenRotator(own, clock).check(parameters)
    with pytest.raises(InvalidInputError, match=next(iter(parameters))):
        ClientSecretRotator(own).check(parameters)

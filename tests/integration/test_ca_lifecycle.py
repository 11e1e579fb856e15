"""The CAs of an open installation: what the clerk does for them, what an operator is told, what is audited."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.pki import DAY, SetClock
from tradewarden import Warden, load_settings
from tradewarden.audit.query import Filter
from tradewarden.background import tidy
from tradewarden.http.metrics import Gauge, Metrics
from tradewarden.http.serve import _count
from tradewarden.timefloor.ascent import PROBATION_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class MovedClock(SetClock):
    """A clock whose monotonic time moves on with every look, by `step`."""

    passed = 0.0
    step = 10.0

    def monotonic(self) -> float:
        """Return more than a second after the last look."""
        self.passed += self.step
        return self.passed

    def wait_until(self, seconds: float) -> None:
        """Let time pass, as no leap does."""
        self.passed += seconds - self.time
        self.time = seconds


@pytest.fixture
def clock() -> MovedClock:
    """The clock of the warden below."""
    return MovedClock()


@pytest.fixture
async def warden(tmp_path: Path, clock: MovedClock) -> AsyncIterator[Warden]:
    """Give an installation whose clock can be set."""
    settings = load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data")})
    opened = await Warden.start(settings, clock=clock)
    yield opened
    await opened.close()


async def rotations(warden: Warden) -> list[tuple[object, object]]:
    """Return what the audit log says of rotations."""
    await warden.clerk.run_once(last=True)
    found = await warden.local.audit.search(Filter())
    return [(each["resource"], each["result"]) for each in found if each["action"] == "rotate"]


async def test_the_clerk_rotates_an_ageing_issuing_ca(warden: Warden, clock: MovedClock) -> None:
    """Tidying at two thirds of its life rotates the issuing CA, once, with an audit entry and sealed rows in it."""
    before = warden.authority.cas.known
    await tidy(warden)
    assert warden.authority.cas.known.rows == before.rows
    clock.wait_until(before.issuing.ageing)
    await tidy(warden)
    await tidy(warden)
    assert warden.authority.cas.known.issuing.fingerprint != before.issuing.fingerprint
    assert await rotations(warden) == [("issuing", "success")]


async def test_a_leap_of_the_clock_ends_and_rotates_nothing_until_it_has_stood(
    warden: Warden, clock: MovedClock
) -> None:
    """Within its ten minutes no token is forgotten and no CA rotated; a clock set right again finds them as before."""
    await warden.local.tokens.issue("bot", ["read"])
    before = warden.authority.cas.known
    clock.step, clock.time = 0.0, before.issuing.ageing
    await tidy(warden)
    assert warden.authority.cas.known.rows == before.rows
    assert (await warden.tokens.counts()) == 0
    assert await warden.database.all("SELECT count(*) FROM tokens") == [(1,)]
    clock.wait_until(clock.time + PROBATION_SECONDS)
    await tidy(warden)
    assert warden.authority.cas.known.issuing.fingerprint != before.issuing.fingerprint
    assert await warden.database.all("SELECT count(*) FROM tokens") == [(0,)]


async def test_an_end_that_nears_is_told_and_does_not_unready(
    warden: Warden, clock: MovedClock, tmp_path: Path
) -> None:
    """Readiness says what to bring back, while requests go on; the gauges say how long."""
    assert (await warden.readiness()).warnings == ()
    (tmp_path / "data" / "ca" / "ca_key.pem").unlink()
    clock.time = warden.authority.ca_expires_at - 100 * DAY
    state = await warden.readiness()
    assert state.reasons == ()
    assert any("issuing CA" in each for each in state.warnings)
    assert len(await warden.authority.cas.news()) == len(state.warnings)
    assert await warden.authority.cas.news() == ()
    metrics = Metrics((), 1)
    slot = metrics.slot(0)
    await _count(warden, slot)
    told = dict(re.findall(r"^tradewarden_(ca_\w+) (\S+)$", metrics.render().decode(), re.MULTILINE))
    assert float(told[Gauge.CA_ISSUING_EXPIRY_SECONDS.label]) == 100 * DAY
    assert float(told[Gauge.CA_ROOT_EXPIRY_SECONDS.label]) > 1000 * DAY

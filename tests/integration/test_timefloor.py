"""A clock that is set back, and an installation that does not believe it: in process, over a real database."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.handshakes import shake
from tests.support.timefloor import DAY, YEARS, Machine
from tradewarden import Warden, background, load_settings
from tradewarden.audit.query import Filter
from tradewarden.background import work
from tradewarden.clock import rfc3339
from tradewarden.errors import AuthenticationError, ConfigurationError, ConflictError, TokenError
from tradewarden.ground import reset_time_floor
from tradewarden.http.live import LiveTls
from tradewarden.http.peers import Peers
from tradewarden.pki.peer import identifier
from tradewarden.records import open_for_reading
from tradewarden.timefloor.ascent import PROBATION_SECONDS
from tradewarden.timefloor.floor import RESET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tradewarden.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings of an installation."""
    return load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data")})


@pytest.fixture
def machine() -> Machine:
    """A machine whose clock is right."""
    return Machine(time.time())


@asynccontextmanager
async def running(settings: Settings, machine: Machine) -> AsyncIterator[Warden]:
    """Open an installation on a machine, with its background work, as `Warden.open` does."""
    warden = await Warden.start(settings, clock=machine)
    stop = asyncio.Event()
    working = asyncio.create_task(work(warden, stop, lambda _: None))
    try:
        yield warden
    finally:
        stop.set()
        await working
        await warden.close()


async def why_refused(warden: Warden, token: str) -> str:
    """Return why a token does not count."""
    with pytest.raises(TokenError) as refused:
        await warden.local.tokens.validate(token)
    return refused.value.reason


async def raised_by_mistake(settings: Settings, machine: Machine) -> None:
    """Let a wrong clock raise the floor by years, and set the clock right again."""
    async with running(settings, machine) as warden:
        await warden.floor.keep(last=True)
        machine.set(YEARS)
        await warden.floor.keep()
        machine.wait(PROBATION_SECONDS)
    machine.set(-YEARS)


async def test_what_ended_stays_ended_after_a_restart(settings: Settings, machine: Machine) -> None:
    """A token and the admin token that ended are not good again when the clock is set back before the next start."""
    async with running(settings, machine) as warden:
        token = (await warden.local.tokens.issue("bot", ttl_seconds=3600)).token
        admin = warden.admin_token.path.read_text().strip()
        machine.wait(DAY + 1.0)
        assert await why_refused(warden, token) == "token is expired"
    machine.set(-DAY)
    async with running(settings, machine) as warden:
        assert await why_refused(warden, token) == "token is expired"
        with pytest.raises(AuthenticationError):
            await warden.admin_token.authenticate(admin, await warden.revisions())


async def test_the_library_keeps_a_floor_too(settings: Settings) -> None:
    """`Warden.open` stores it when it closes, and reads it when it opens."""
    async with Warden.open(settings) as warden:
        shown = warden.clock.now()
    earlier = Machine(time.time() - DAY)
    async with running(settings, earlier) as warden:
        assert warden.clock.now() >= shown


async def test_the_log_goes_on_in_order(settings: Settings, machine: Machine) -> None:
    """Entries and checkpoints of a clock that was set back, while it runs and before a start, stand in their order."""
    async with running(settings, machine) as warden:
        await warden.local.secrets.put("bots/a", {"key": "one"})
        machine.wait(1.0)
        machine.set(-DAY)
        await warden.local.secrets.put("bots/a", {"key": "two"})
    machine.set(-DAY)
    async with running(settings, machine) as warden:
        await warden.local.secrets.get("bots/a")
        await warden.clerk.run_once(last=True)
        entries = await warden.local.audit.search(Filter(oldest_first=True), 1000)
        stamps = [each["timestamp"] for each in entries]
        assert len(stamps) > 5
        assert stamps == sorted(stamps, key=str)
    async with open_for_reading(settings) as records:
        assert (await records.verify()).ok


async def test_readiness_says_it_and_stays_ready(
    settings: Settings, machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock far behind is a warning that names the cause and the way out, and one line of the log."""
    monkeypatch.setattr(background, "_TIME_SECONDS", 0.01)
    async with running(settings, machine) as warden:
        await warden.floor.keep(last=True)
    machine.set(-DAY)
    with caplog.at_level("INFO"):
        async with running(settings, machine) as warden:
            found = await warden.readiness()
            assert (found.storage, found.audit, found.reasons) == (True, True, ())
            (told,) = [each for each in found.warnings if each.startswith("clock:")]
            assert "1 day, 0:00:00 behind" in told
            assert RESET in told
            async with asyncio.timeout(10):
                while told not in caplog.messages:  # noqa: ASYNC110 - a list has no event
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)  # many rounds, in which nothing more may be said
            machine.set(DAY)
            machine.wait(1.1)
            assert (await warden.readiness()).warnings == ()
            async with asyncio.timeout(10):
                while "clock: this machine's clock counts again" not in caplog.messages:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)
    assert len([each for each in caplog.messages if each.startswith("clock: this machine's clock is")]) == 1


async def test_the_mtls_port_goes_by_the_same_time(settings: Settings, machine: Machine, tmp_path: Path) -> None:
    """OpenSSL knows the machine's clock only; while that is behind, a good client gets in and an ended one does not."""
    machine.set(2 * DAY)  # OpenSSL's is two days behind
    async with running(settings, machine) as warden:
        lasting = await warden.local.credentials.issue("bot", ttl_hours=72)
        ending = await warden.local.credentials.issue("bot", ttl_hours=1)
        peers = Peers(warden)
        live = LiveTls(warden, peers)
        await live.turn()
        assert live.mutual is not None

        def client(made: str, key: str | None) -> ssl.SSLContext:
            """Return a client whose own clock does not matter here."""
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            pem = tmp_path / "client.pem"
            pem.write_text((key or "") + made)
            context.load_cert_chain(pem)
            return context

        good = client(lasting.certificate_chain, lasting.private_key)
        with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):
            shake(live.mutual, good)
        machine.set(-2 * DAY)
        await live.turn()
        shake(live.mutual, good)
        machine.wait(3600.0)
        await live.turn()
        shake(live.mutual, good)
        server, _ = shake(live.mutual, client(ending.certificate_chain, ending.private_key))
        shown = identifier(settings.trust_domain)(server.getpeercert(binary_form=True) or b"")
        with pytest.raises(AuthenticationError, match="expired"):
            await peers.require(shown, await warden.revisions())
        machine.set(2 * DAY)
        await live.turn()
        with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):
            shake(live.mutual, good)


async def test_a_reset_is_the_way_back_from_a_clock_that_ran_ahead(settings: Settings, machine: Machine) -> None:
    """The floor a mistake raised is put to the machine's time: recorded, once, and the log still verifies."""
    await raised_by_mistake(settings, machine)
    async with running(settings, machine) as warden:
        assert warden.clock.now() > machine.wall + YEARS - DAY
        assert RESET in (await warden.readiness()).warnings[0]
    done = await reset_time_floor(settings, machine)
    assert done.before is not None
    assert done.before > machine.wall + YEARS - DAY
    assert done.now == machine.wall
    with pytest.raises(ConflictError, match="not ahead"):
        await reset_time_floor(settings, machine)
    async with running(settings, machine) as warden:
        assert warden.clock.now() == machine.wall
        assert not [each for each in (await warden.readiness()).warnings if each.startswith("clock")]
        token = (await warden.local.tokens.issue("bot")).token
        await warden.local.tokens.validate(token)
        await warden.clerk.run_once(last=True)
        refused, made = await warden.local.audit.search(Filter(action="reset"))
    assert (refused["result"], made["result"]) == ("failure", "success")
    assert (made["event_type"], made["resource"]) == ("configuration_change", "time_floor")
    assert str(made["user"]).startswith("local:")
    assert made["reason"] == f"from {rfc3339(done.before)} to {rfc3339(done.now)}"
    async with open_for_reading(settings) as records:
        assert (await records.verify()).ok


async def test_a_floor_that_was_changed_outside_stops_the_start(settings: Settings, machine: Machine) -> None:
    """The start names it and the way out; the way out works."""
    async with running(settings, machine) as warden:
        await warden.floor.keep(last=True)
        await warden.database.transact(lambda transaction: transaction.run("UPDATE time_floor SET seconds = 1.0"))
        machine.wait(1.1)
        assert "changed outside" in (await warden.readiness()).warnings[0]
    with pytest.raises(ConfigurationError, match=RESET):
        await Warden.start(settings, clock=machine)
    assert (await reset_time_floor(settings, machine)).before is None
    async with running(settings, machine):
        pass


async def test_a_reset_needs_an_installation(settings: Settings) -> None:
    """Nothing is made for it."""
    with pytest.raises(ConfigurationError, match="holds no Tradewarden data"):
        await reset_time_floor(settings)
    assert not settings.data_dir.exists()

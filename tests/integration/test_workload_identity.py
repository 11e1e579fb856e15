"""An identity against a small service with a CA of its own: enrol, renew, expire, recover, follow."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import free_port, wait_until
from tests.support.standin_ca import StandIn, authority, cross, stand_in
from tradewarden import ServiceIdentity
from tradewarden.errors import AuthenticationError, ConfigurationError, IntegrityError, UnavailableError
from tradewarden.workload.errors import EnrolmentNeededError
from tradewarden.workload.lists import read_lists
from tradewarden.workload.pair import Pair


@pytest.fixture
def ca(tmp_path: Path) -> Iterator[StandIn]:
    """A service."""
    yield from stand_in(tmp_path)


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory and the join token's file are looked at more often than every ten seconds."""
    monkeypatch.setattr("tradewarden.workload.keeper.LONGEST_SECONDS", 0.1)


class Moved:
    """A clock that runs, and was put forward."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.ahead = ahead

    def now(self) -> float:
        """Return the time."""
        return time.time() + self.ahead

    def monotonic(self) -> float:
        """Return seconds that do not run backwards."""
        return time.monotonic() + self.ahead


def identity(ca: StandIn, **options: object) -> ServiceIdentity:
    """Return an identity below the service's directory."""
    given: dict[str, object] = {"mtls_url": ca.url, **options}
    return ServiceIdentity(ca.directory / "identity", ca.url, **given)  # type: ignore[arg-type]


async def test_enrols_with_a_token_and_keeps_files_private(ca: StandIn) -> None:
    """A join token gives a pair that only this user can read, and the key was never sent."""
    async with identity(ca, join_token=ca.token("orders")) as held:
        assert held.pair.spiffe_id == "spiffe://trade.example/orders"
        assert held.pair.anchored
    modes = {stat.S_IMODE(each.lstat().st_mode) for each in (ca.directory / "identity").rglob("*.pem")}
    assert modes == {0o600}
    assert {stat.S_IMODE(each.lstat().st_mode) for each in (ca.directory / "identity" / "versions").iterdir()} == {
        0o700
    }
    assert ca.asked[:2] == ["GET /ca/certificate", "POST /credentials/enroll token"]


async def test_the_token_is_not_sent_to_another_service(ca: StandIn) -> None:
    """A service under another root than the token names is told nothing."""
    token = ca.token("orders")
    ca.rotate(keep=False)
    ca.renew_own()
    with pytest.raises(AuthenticationError, match=r"The token was not sent.*root CA was replaced.*make another token"):
        await identity(ca, join_token=token).start(0)
    assert ca.asked == ["GET /ca/certificate"]


async def test_the_token_goes_only_over_a_verified_connection(ca: StandIn) -> None:
    """Someone in between who shows the true root and another certificate gets no token."""
    token = ca.token("orders")
    true = ca.roots
    ca.rotate(keep=False)
    ca.renew_own()
    ca.roots = true
    with pytest.raises(UnavailableError, match="TLS"):
        await identity(ca, join_token=token).start(0)
    assert ca.asked == ["GET /ca/certificate"]


async def test_renews_over_mtls_with_a_new_key(ca: StandIn) -> None:
    """A certificate past two thirds of its life is replaced by one for another key, proven with the old."""
    ca.wear_out()
    async with identity(ca, join_token=ca.token("orders")) as held:
        first = held.pair
        ca.wear_out(3600)
        wait_until(lambda: held.pair.serial_number != first.serial_number, "not renewed")
        assert held.pair.ends > first.ends
    assert "POST /credentials/renew mtls" in ca.asked
    assert len(set(ca.keys)) == len(ca.keys) >= 2
    assert not [each for each in ca.bodies if "PRIVATE" in each]


async def test_renews_by_proof_without_an_mtls_address(ca: StandIn) -> None:
    """Without an mTLS port the old key signs for the new one."""
    ca.wear_out()
    async with identity(ca, join_token=ca.token("orders"), mtls_url="") as held:
        first = held.pair.serial_number
        wait_until(lambda: held.pair.serial_number != first, "not renewed")
    assert "POST /credentials/renew proof" in ca.asked


async def test_survives_that_the_service_is_away(ca: StandIn) -> None:
    """While the service answers 503 the old pair stays in use; when it is back it is renewed."""
    ca.wear_out()
    async with identity(ca, join_token=ca.token("orders")) as held:
        first = held.pair.serial_number
        ca.down = True
        wait_until(lambda: held.error is not None, "never tried")
        assert held.pair.serial_number == first
        ca.down = False
        wait_until(lambda: held.pair.serial_number != first, "not renewed after it came back")
        assert held.error is None


async def test_starts_while_the_service_is_away(ca: StandIn) -> None:
    """A pair on disk is enough to start with."""
    async with identity(ca, join_token=ca.token("orders")) as held:
        first = held.pair.serial_number
    ca.down = True
    async with identity(ca) as held:
        assert held.pair.serial_number == first


async def test_a_lost_answer_costs_a_try_and_not_the_pair(ca: StandIn) -> None:
    """The service certified a key whose answer never came: the next try gets another one."""
    ca.wear_out()
    async with identity(ca, join_token=ca.token("orders"), mtls_url="") as held:
        first = held.pair.serial_number
        ca.lose_answers = 1
        wait_until(lambda: held.pair.serial_number != first, "not renewed")
    assert len(ca.keys) >= 3


def test_nothing_is_asked_for_without_room_for_it(ca: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk no join token is spent and no certificate issued that could not be kept."""
    made = identity(ca, join_token=ca.token("orders"))
    for get in (made.enroll, lambda: made.renew(force=True)):
        asked = len(ca.keys)
        with monkeypatch.context() as full:
            full.setattr("tradewarden.crypto.keyfile._write_durably", _no_room)
            with pytest.raises(UnavailableError, match="No space left"):
                get()
        assert len(ca.keys) == asked
        get()
        assert len(ca.keys) == asked + 1


def _no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_recovers_after_expiry_within_the_grace(ca: StandIn) -> None:
    """After a downtime longer than the certificate's life the old key still opens the door, where a grace is set."""
    async with identity(ca, join_token=ca.token("orders")) as held:
        first = held.pair.serial_number
    ca.grace = 10 * 365 * 86_400
    ahead = Moved(400 * 86_400.0)
    ca.life = 3 * 365 * 86_400.0
    async with identity(ca, clock=ahead) as held:
        assert held.pair.serial_number != first
    assert ca.asked.count("POST /credentials/renew proof") == 1


async def test_recovers_by_a_new_join_token_in_the_file(ca: StandIn) -> None:
    """Without a grace the error names the file, and a token written there is taken at the next try."""
    file = ca.directory / "join-token"
    file.touch(0o600)
    file.write_text(ca.token("orders"))
    ca.wear_out(2.0)
    async with identity(ca, join_token_file=file) as held:
        first = held.pair.serial_number
        ca.refuse = True
        wait_until(lambda: isinstance(held.error, EnrolmentNeededError), "no word of a way back")
        assert str(file) in str(held.error)
        assert "expired at" in str(held.error) or "valid until" in str(held.error)
        wait_until(lambda: held.pair.ends < time.time(), "it does not expire")
        ca.refuse = False
        ca.life, ca.began = 3600.0, 0.0
        file.write_text(ca.token("orders"))
        wait_until(lambda: held.pair.serial_number != first, "the new token was not taken")


async def test_a_first_start_says_what_is_missing(ca: StandIn) -> None:
    """Without a certificate and without a token the start says how to get one."""
    file = ca.directory / "join-token"
    with pytest.raises(EnrolmentNeededError, match=f"There is no certificate yet.*orders.*{file}"):
        await identity(ca, service_name="orders", join_token_file=file).start(0)


async def test_a_spent_token_is_not_sent_again(ca: StandIn) -> None:
    """The token that enrolled this directory is known after a restart."""
    token = ca.token("orders")
    async with identity(ca, join_token=token):
        pass
    ca.refuse = True
    with pytest.raises(EnrolmentNeededError):
        await identity(ca, join_token=token, clock=Moved(400 * 86_400.0)).start(0)
    assert ca.asked.count("POST /credentials/enroll token") == 1


async def test_another_name_is_not_taken(ca: StandIn) -> None:
    """A token for another service than the one that was named gives nothing."""
    with pytest.raises(IntegrityError, match="this identity is payments"):
        await identity(ca, service_name="payments", join_token=ca.token("orders")).start(0)
    assert not (ca.directory / "identity" / "current").exists()
    assert json.loads(ca.bodies[-1])["service_name"] == "payments"  # so that the service refuses, the token unspent


async def test_a_rotated_root_reaches_the_bundle(ca: StandIn) -> None:
    """A root that the service adds is trusted without a renewal, over a connection that the old root vouches for."""
    async with identity(ca, join_token=ca.token("orders"), roots_seconds=0.2) as held:
        serial = held.pair.serial_number
        ca.rotate()
        wait_until(lambda: len(held.pair.roots) == 2, "the new root did not arrive")
        assert held.pair.serial_number == serial


async def test_one_renewal_brings_the_whole_bundle(ca: StandIn) -> None:
    """Also without a daemon, due or not, a command brings new roots, and drops none that the service still trusts."""
    async with identity(ca, join_token=ca.token("orders")):
        pass
    ca.rotate()
    assert not identity(ca).renew()
    held = identity(ca).held
    assert held is not None
    assert len(held.roots) == 2
    assert identity(ca).renew(force=True)
    held = identity(ca).held
    assert held is not None
    assert len(held.roots) == 2
    ca.down = True
    assert not identity(ca).renew()


async def test_roots_from_someone_else_are_not_taken(ca: StandIn) -> None:
    """A server that the roots do not vouch for cannot bring roots of its own."""
    async with identity(ca, join_token=ca.token("orders"), roots_seconds=0.2) as held:
        ca.rotate(keep=False)
        ca.renew_own()
        asked = len(ca.asked)
        await asyncio.sleep(0.5)  # nothing happens, and nothing could be waited for
        assert len(held.pair.roots) == 1
        assert len(ca.asked) == asked


async def test_roots_that_no_root_vouches_for_are_not_taken(ca: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever answers with a certificate of our issuing CA brings no root of his own, in the bundle or a renewal."""
    async with identity(ca, join_token=ca.token("orders"), roots_seconds=0.2) as held:
        rogue = authority("rogue")
        known = held.pair.roots_pem
        ca.roots.append(rogue)
        ca.crosses = [cross(rogue, ca.issuing), cross(rogue, rogue), cross(ca.root, rogue)]
        wait_until(lambda: ca.asked.count("GET /ca/cross-certificates") >= 2, "nobody asked who vouches for it")
        assert held.pair.roots_pem == known
        ca.roots.remove(ca.root)
        wait_until(lambda: "vouches for those that the service gives" in caplog.text, "the bundle was not refused")
        assert held.pair.roots_pem == known
    ca.root = rogue  # what an answer to a renewal offers
    assert identity(ca).renew(force=True)
    renewed = identity(ca).held
    assert renewed is not None
    assert renewed.roots_pem == known


async def test_a_service_without_cross_certificates_changes_no_root(ca: StandIn) -> None:
    """One that does not know the call yet is listened to as before, and its new root waits for a renewal."""
    async with identity(ca, join_token=ca.token("orders")) as held:
        known = held.pair.roots_pem
    ca.rotate()
    ca.without_crosses = True
    assert not identity(ca).renew()
    assert getattr(identity(ca).held, "roots_pem", b"") == known
    assert identity(ca).renew(force=True)
    assert len(getattr(identity(ca).held, "roots", ())) == 2


async def test_a_server_of_a_revoked_ca_is_not_the_service(ca: StandIn) -> None:
    """Once the root's list names the CA above it nothing is asked of it, by neither address, whatever it answers."""
    async with identity(ca, join_token=ca.token("orders"), check_revocation=True):
        pass
    ca.revoked.append(ca.issuing.certificate.serial_number)
    async with identity(ca, check_revocation=True) as held:
        wait_until(lambda: _names(ca, ca.issuing.certificate.serial_number), "the list did not come")
        first, asked = held.pair.serial_number, len(ca.asked)
        for each in (identity(ca), ServiceIdentity(ca.directory / "identity", mtls_url=ca.url)):
            with pytest.raises(UnavailableError, match="CN=issuing is revoked"):
                each.renew(force=True)
        assert len(ca.asked) == asked
    ca.issuing = authority("issuing 2", ca.root)
    ca.renew_own()
    assert identity(ca).renew(force=True)
    assert getattr(identity(ca).held, "serial_number", first) != first


def _names(ca: StandIn, serial: int) -> bool:
    """Tell whether the lists in the identity's directory name a certificate."""
    found = read_lists((ca.directory / "identity" / "crls.pem").read_bytes()).values()
    return any(each.get_revoked_certificate_by_serial_number(serial) is not None for each in found)


async def test_the_mtls_port_is_the_services_own(ca: StandIn) -> None:
    """No other service of the CA is believed there; before the HTTP port a proxy of that host's name may stand."""
    async with identity(ca, join_token=ca.token("orders")):
        pass
    ca.own_name = "proxy"
    ca.renew_own()
    with pytest.raises(UnavailableError, match=r"The peer is spiffe://trade.example/proxy, not spiffe"):
        ServiceIdentity(ca.directory / "identity", mtls_url=ca.url).renew(force=True)
    assert ServiceIdentity(ca.directory / "identity", ca.url).renew(force=True)


async def test_a_lost_root_brings_a_renewal_at_once(ca: StandIn) -> None:
    """When the service drops the root that our chain leads to, a certificate under the new one is asked for."""
    async with identity(ca, join_token=ca.token("orders"), roots_seconds=0.2) as held:
        serial = held.pair.serial_number
        ca.rotate()
        wait_until(lambda: len(held.pair.roots) == 2, "the new root did not arrive")
        ca.renew_own()
        ca.roots = ca.roots[:1]
        wait_until(lambda: held.pair.serial_number != serial, "not renewed")
        assert held.pair.anchored
        assert len(held.pair.roots) == 1


async def test_a_certificate_that_leads_nowhere_is_not_taken(ca: StandIn) -> None:
    """What is not under a trusted root replaces nothing."""
    async with identity(ca, join_token=ca.token("orders")) as held:
        first = held.pair.serial_number
    ca.issuing = authority("issuing", authority("root"))
    with pytest.raises(IntegrityError, match="does not lead to a root"):
        identity(ca).renew(force=True)
    kept = identity(ca).held
    assert kept is not None
    assert kept.serial_number == first


async def test_a_root_that_was_replaced_meanwhile_needs_a_join_token(ca: StandIn) -> None:
    """Who knows only a root that is gone is told the way back over TLS too, and takes it when a token is there."""
    async with identity(ca, join_token=ca.token("orders")) as held:
        first = held.pair
    ca.rotate(keep=False)
    ca.renew_own()
    with pytest.raises(EnrolmentNeededError, match=r"no TLS connection.*tradewarden ca join-token orders"):
        identity(ca).renew(force=True)
    assert identity(ca, join_token=ca.token("orders")).renew(force=True)
    renewed = identity(ca).held
    assert renewed is not None
    assert renewed.anchored
    assert renewed.roots_pem != first.roots_pem


async def test_listeners_hear_of_each_change(ca: StandIn) -> None:
    """Functions and coroutine functions run in the loop that they were added in; one that fails disturbs nobody."""
    heard: list[tuple[str, str]] = []
    done = asyncio.Event()
    held = identity(ca, join_token=ca.token("orders"))

    @held.listen
    def broken(_pair: Pair) -> None:
        raise ValueError

    @held.listen
    def plain(pair: Pair) -> None:
        heard.append(("plain", pair.serial_number))

    @held.listen
    async def slow(pair: Pair) -> None:
        await asyncio.sleep(0)
        heard.append(("slow", pair.serial_number))
        if len(heard) == 4:
            done.set()

    ca.wear_out()
    async with held:
        first = held.pair.serial_number
        ca.life, ca.began = 3600.0, 0.0
        async with asyncio.timeout(10):
            await done.wait()
        second = held.pair.serial_number
    assert heard == [("plain", first), ("slow", first), ("plain", second), ("slow", second)]


async def test_two_processes_share_a_directory(ca: StandIn) -> None:
    """One of two renews, the other follows, and one without addresses follows too."""
    ca.wear_out()
    async with identity(ca, join_token=ca.token("orders")) as first:
        serial = first.pair.serial_number
        ca.life, ca.began = 3600.0, 0.0
        async with identity(ca) as second, ServiceIdentity(ca.directory / "identity") as third:
            for each in (first, second, third):
                wait_until(lambda each=each: each.pair.serial_number != serial, "it has the old certificate")  # type: ignore[misc]
            assert first.pair.serial_number == second.pair.serial_number
            assert third.pair.serial_number == first.pair.serial_number
    assert ca.asked.count("POST /credentials/renew mtls") == 1


def test_works_without_an_event_loop(ca: StandIn) -> None:
    """`with` does what `async with` does."""
    with identity(ca, join_token=ca.token("orders")) as held:
        assert held.pair.service_name == "orders"


def test_nothing_is_sent_in_the_clear_to_another_host(tmp_path: Path) -> None:
    """Plain HTTP is for this machine only."""
    with pytest.raises(ConfigurationError, match="in the clear"):
        ServiceIdentity(tmp_path / "identity", "http://tradewarden.example:8002")
    with pytest.raises(ConfigurationError, match="https only"):
        ServiceIdentity(tmp_path / "identity", mtls_url=f"http://127.0.0.1:{free_port()}")

"""A service keeps its own certificate fresh against the real Tradewarden: enrol, use, renew, expire, recover."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.support.service import PROGRAM, Service, free_port, start, stop, wait_until
from tests.support.tls_echo import EndedError, listening, ping
from tradewarden import ServiceIdentity
from tradewarden.workload.errors import EnrolmentNeededError


class House(NamedTuple):
    """A running service with its mTLS port."""

    service: Service
    mtls_url: str

    def post(self, path: str, body: dict[str, object]) -> dict[str, object]:
        """Call as the admin."""
        headers = {"Authorization": f"Bearer {self.service.admin_token}"}
        answer = httpx.post(self.service.url + path, json=body, headers=headers, trust_env=False)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def pins(self) -> list[str]:
        """Return the pin set that anyone may have."""
        published = httpx.get(f"{self.service.url}/ca/pins", trust_env=False).json()
        return [each["sha256"] for each in published["pin_set"]["pins"]]

    def token(self, name: str) -> str:
        """Make a join token."""
        return str(self.post("/credentials/join-tokens", {"service_name": name})["join_token"])

    def identity(self, directory: Path, **options: object) -> ServiceIdentity:
        """Return an identity, not started."""
        given: dict[str, object] = {"mtls_url": self.mtls_url, **options}
        return ServiceIdentity(directory, self.service.url, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for all tests here."""
    yield from _house(tmp_path_factory.mktemp("house"), TRADEWARDEN_CA_ANNOUNCE_MINUTES="0")


@pytest.fixture
def announcing(tmp_path: Path) -> Iterator[House]:
    """One that announces a new root, as it is without a setting."""
    yield from _house(tmp_path)


def _house(directory: Path, **environment: str) -> Iterator[House]:
    port = free_port()
    running = start(directory, TRADEWARDEN_MTLS_PORT=str(port), **environment)
    yield House(running, f"https://127.0.0.1:{port}")
    stop(running)


class Ahead:
    """A clock that runs hours ahead."""

    def __init__(self, hours: float) -> None:
        self._seconds = hours * 3600

    def now(self) -> float:
        """Return the time."""
        return time.time() + self._seconds

    monotonic = staticmethod(time.monotonic)


def private(path: Path, text: str) -> Path:
    """Write a file that only this user can read."""
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_text(text)
    return path


async def test_a_life(house: House, tmp_path: Path) -> None:
    """A service enrols, is known by its certificate, renews by mTLS and by proof, expires, and comes back in."""
    directory = tmp_path / "orders"
    house.post("/services", {"service_name": "orders", "permissions": ["secrets:read:orders/*"]})

    async with house.identity(directory, join_token=house.token("orders")) as enrolled:
        first = enrolled.pair
        assert first.service_name == "orders"
        async with httpx.AsyncClient(verify=enrolled.client_context(), trust_env=False) as client:
            answer = await client.post(f"{house.mtls_url}/tokens/generate", json={"service_name": "orders"})
            assert answer.status_code == 200, answer.text

    assert house.identity(directory).renew(force=True)
    assert not house.identity(directory).renew()
    assert house.identity(directory, mtls_url="", ttl_hours=1).renew(force=True)

    file = private(tmp_path / "join-token", "")
    late = house.identity(directory, clock=Ahead(2), join_token_file=file)
    with pytest.raises(EnrolmentNeededError, match=rf"expired at .*tradewarden ca join-token orders.*{file}"):
        late.renew()
    private(file, house.token("orders"))
    assert late.renew()
    back = late.held
    assert back is not None
    assert back.service_name == "orders"
    assert back.ends > first.starts + 24 * 3600


async def test_a_revoked_one_needs_a_person(house: House, tmp_path: Path) -> None:
    """A revoked certificate is renewed in no way but by a new join token."""
    directory = tmp_path / "payments"
    async with house.identity(directory, join_token=house.token("payments")) as held:
        serial = held.pair.serial_number
    house.post("/credentials/revoke", {"serial_number": serial})
    with pytest.raises(EnrolmentNeededError, match="join-token payments"):
        house.identity(directory).renew(force=True)
    assert house.identity(directory, join_token=house.token("payments")).renew(force=True)


async def test_a_spent_token_is_refused(house: House, tmp_path: Path) -> None:
    """One token lets one in."""
    token = house.token("trader")
    async with house.identity(tmp_path / "one", join_token=token):
        pass
    with pytest.raises(EnrolmentNeededError, match="not accepted"):
        await house.identity(tmp_path / "two", join_token=token).start(0)


def command(house: House, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start `tradewarden ca …` as it runs beside a service, away from the data directory."""
    given = {"PATH": os.environ["PATH"], "TRADEWARDEN_MTLS_URL": house.mtls_url, **environment}
    return subprocess.Popen(
        [PROGRAM, "--url", house.service.url, "ca", *arguments],
        env=given,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return how it ended."""
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_the_command_line(house: House, tmp_path: Path) -> None:
    """Enrolment and renewal by command, with their exit codes, a hook, and no token in the arguments."""
    directory = str(tmp_path / "identity")
    token = private(tmp_path / "join-token", house.token("bot"))
    code, out, err = outcome(command(house, "enroll", "--dir", directory, "--join-token-file", str(token), "--json"))
    assert code == 0, err
    first = json.loads(out)
    assert first["spiffe_id"].endswith("/bot")
    assert outcome(command(house, "enroll", "--dir", directory, TRADEWARDEN_JOIN_TOKEN=house.token("bot")))[0] == 5

    code, out, err = outcome(command(house, "renew", "--dir", directory, "--json"))
    assert (code, json.loads(out)["renewed"]) == (0, False), err
    hook = f"/bin/sh -c 'echo $TRADEWARDEN_IDENTITY_SERIAL_NUMBER > {tmp_path}/told'"
    code, out, err = outcome(command(house, "renew", "--dir", directory, "--force", "--on-change", hook, "--json"))
    again = json.loads(out)
    assert (code, again["renewed"]) == (0, True), err
    assert again["serial_number"] != first["serial_number"]
    assert (tmp_path / "told").read_text().strip() == again["serial_number"]
    code, _, err = outcome(command(house, "renew", "--dir", directory, "--force", "--on-change", "/bin/false"))
    assert (code, "exit code 1" in err) == (1, True)
    elsewhere = command(house, "renew", "--dir", str(tmp_path / "empty"))
    code, _, err = outcome(elsewhere)
    assert code == 4
    assert "There is no certificate yet" in err
    down = subprocess.Popen(
        [PROGRAM, "--url", f"http://127.0.0.1:{free_port()}", "ca", "renew", "--dir", directory, "--force"],
        env={"PATH": os.environ["PATH"]},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert outcome(down)[0] == 6


def test_the_example(house: House, tmp_path: Path) -> None:
    """The example runs and shows who is let in."""
    example = Path(__file__).parents[2] / "examples" / "identity.py"
    token = {"TRADEWARDEN_TOKEN": house.service.admin_token}
    given = {"TRADEWARDEN_URL": house.service.url, "TRADEWARDEN_MTLS_URL": house.mtls_url, **token}
    run = subprocess.run(
        [sys.executable, example],
        env={"PATH": os.environ["PATH"], **given},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, third = run.stdout.splitlines()
    assert "/orders, renewed after" in first
    assert second.startswith("hello spiffe://")
    assert third.endswith("/payments")


def test_the_daemon(house: House, tmp_path: Path) -> None:
    """It waits for its join token, enrols, tells the hook, logs as JSON, and ends with SIGTERM."""
    directory, file, told = tmp_path / "identity", tmp_path / "join-token", tmp_path / "told"
    daemon = command(
        house,
        "renew",
        *("--dir", str(directory), "--daemon", "--json"),
        *("--join-token-file", str(file), "--on-change", f"/usr/bin/touch {told}"),
    )
    assert daemon.stderr is not None
    try:
        waiting = json.loads(daemon.stderr.readline())
        assert "There is no certificate yet" in waiting["message"]
        private(tmp_path / "made", house.token("daemon")).rename(file)
        wait_until(told.exists, "the hook was not run", 20)
    finally:
        daemon.send_signal(signal.SIGTERM)
        code, _, err = outcome(daemon)
    assert code == 0, err
    assert (directory / "current" / "key.pem").exists()
    assert any("certificate of spiffe://" in json.loads(line)["message"] for line in err.splitlines())
    assert "twj_" not in err
    assert "PRIVATE KEY" not in err


async def test_peers_that_the_service_revokes_are_refused(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The revocation list of the service reaches contexts of services."""
    monkeypatch.setattr("tradewarden.workload.identity.CRL_SECONDS", 0.5)
    async with (
        house.identity(tmp_path / "one", join_token=house.token("one"), check_revocation=True) as one,
        house.identity(tmp_path / "two", join_token=house.token("two")) as two,
        listening(one.server_context(), []) as port,
    ):
        context = two.client_context(peer="one")
        assert (await ping(context, port))[0].startswith("pong")
        house.post("/credentials/revoke", {"serial_number": two.pair.serial_number})
        with pytest.raises((ssl.SSLError, EndedError, ConnectionError)):  # noqa: PT012 - it takes a list that is newer
            async with asyncio.timeout(10):
                while True:
                    await ping(context, port)


@pytest.mark.parametrize("what", ["issuing", "root"])
async def test_a_rotation_keeps_nobody_who_checks_revocation_from_anybody(
    announcing: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Peers of the CA before and of the new one, and the service itself, are taken at each try from then on.

    Of a new root from when it counts, which is after its list was fetched.
    """
    monkeypatch.setattr("tradewarden.workload.identity.CRL_SECONDS", 0.2)
    async with (
        announcing.identity(tmp_path / "one", join_token=announcing.token("one"), check_revocation=True) as one,
        listening(one.server_context(), []) as port,
    ):
        if what == "root":
            lists = (tmp_path / "one" / "crls.pem").read_bytes().count(b"BEGIN")
            announcing.post("/ca/rotate", {"what": "root"})
            held = tmp_path / "one" / "crls.pem"
            await asyncio.to_thread(
                wait_until, lambda: held.read_bytes().count(b"BEGIN") > lists, "the new root's list was not fetched"
            )
        announcing.post("/ca/rotate", {"what": "issuing"})
        await _require_everybody(announcing, tmp_path, one, port)


async def _require_everybody(house: House, tmp_path: Path, one: ServiceIdentity, port: int) -> None:
    """Have a service certified by the CA that issues now; it, `one` and the service accept each other at once."""
    async with (
        house.identity(tmp_path / "two", join_token=house.token("two"), check_revocation=True) as two,
        listening(two.server_context(), []) as other,
    ):
        assert two.pair.chain[1].subject != one.pair.chain[1].subject
        assert (await ping(two.client_context(peer="one"), port))[0].startswith("pong")
        assert (await ping(one.client_context(peer="two"), other))[0].startswith("pong")
        end = time.monotonic() + 1.5  # until after the listener has a certificate of the new CA
        while time.monotonic() < end:
            async with httpx.AsyncClient(verify=one.client_context(peer="tradewarden"), trust_env=False) as client:
                assert (await client.get(f"{house.mtls_url}/health/live")).is_success


async def test_a_root_that_nobody_announced_is_known_within_a_second(house: House, tmp_path: Path) -> None:
    """Whoever checks revocation refuses the first chain below it, fetches the list, and goes on."""
    async with (
        house.identity(tmp_path / "one", join_token=house.token("one"), check_revocation=True) as one,
        listening(one.server_context(), []) as port,
    ):
        house.post("/ca/rotate", {"what": "root"})
        async with house.identity(tmp_path / "two", join_token=house.token("two")) as two:
            context, begun = two.client_context(peer="one"), time.monotonic()
            with pytest.raises(EndedError):
                await ping(context, port)
            while not await _taken(context, port):
                assert time.monotonic() < begun + 5
    house.post("/ca/rotate", {"what": "root", "finish": True})


async def test_peers_of_a_compromised_ca_are_refused(
    announcing: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next lists nobody gets in with what that CA issued; whoever has a certificate of the next one does."""
    monkeypatch.setattr("tradewarden.workload.identity.CRL_SECONDS", 0.2)
    two = announcing.identity(tmp_path / "two", join_token=announcing.token("two"))
    async with (
        announcing.identity(tmp_path / "one", join_token=announcing.token("one"), check_revocation=True) as one,
        listening(one.server_context(), []) as port,
    ):
        async with two:
            lost = two.client_context(peer="one")
        assert await _taken(lost, port)
        announcing.post("/ca/rotate", {"what": "issuing", "compromised": True})
        async with asyncio.timeout(10):
            while await _taken(lost, port):  # noqa: ASYNC110 - the condition is the peer's own answer
                await asyncio.sleep(0.05)
        again = announcing.identity(tmp_path / "two")
        assert await asyncio.to_thread(lambda: again.renew(force=True))
        async with again:
            assert await _taken(again.client_context(peer="one"), port)
        assert not await _taken(lost, port)


async def _taken(context: ssl.SSLContext, port: int) -> bool:
    try:
        return (await ping(context, port))[0].startswith("pong")
    except (OSError, EndedError):
        return False


async def test_pins_are_those_that_the_service_publishes(house: House, tmp_path: Path) -> None:
    """The published pin set fits the service's own listener; a foreign key does not."""
    pins = house.pins()
    foreign = base64.b64encode(bytes(32)).decode()
    async with house.identity(tmp_path / "pinned", join_token=house.token("pinned")) as pinned:
        async with httpx.AsyncClient(verify=pinned.client_context(pins=pins), trust_env=False) as client:
            assert (await client.get(f"{house.mtls_url}/health")).is_success
        async with httpx.AsyncClient(verify=pinned.client_context(pins=[foreign]), trust_env=False) as client:
            with pytest.raises(httpx.ConnectError, match="none of its keys is pinned"):
                await client.get(f"{house.mtls_url}/health")


def test_the_unit_is_one_that_the_command_takes() -> None:
    """Every option in the systemd unit is one of `ca renew`, and its variables are read."""
    unit = (Path(__file__).parents[2] / "deploy/systemd/tradewarden-identity.service").read_text()
    options = set(re.findall(r"(?<=\s)--[a-z-]+", unit.partition("ExecStart=")[2].partition("Environment=")[0]))
    told = subprocess.run([PROGRAM, "ca", "renew", "--help"], capture_output=True, text=True, check=True).stdout
    assert {"--daemon", "--dir", "--join-token-file"} <= options
    assert all(each in told for each in options)
    assert "TRADEWARDEN_MTLS_URL" in told


async def test_a_new_root_reaches_services(house: House, tmp_path: Path) -> None:
    """A rotation of the root arrives without a renewal; renewals and connections go on before, during and after."""
    async with house.identity(tmp_path / "one", join_token=house.token("one"), roots_seconds=0.2) as one:
        serial, root = one.pair.serial_number, one.pair.roots[0]
        house.post("/ca/rotate", {"what": "root"})
        wait_until(lambda: len(one.pair.roots) == 2, "the new root did not arrive")
        assert root in one.pair.roots
        assert one.pair.serial_number == serial
        async with (
            house.identity(tmp_path / "two", join_token=house.token("two")) as two,
            listening(one.server_context(), []) as port,
        ):
            assert (await ping(two.client_context(peer="one"), port))[0].startswith("pong")
        house.post("/ca/rotate", {"what": "issuing"})
    assert house.identity(tmp_path / "one").renew(force=True)
    assert house.identity(tmp_path / "one").renew(force=True)

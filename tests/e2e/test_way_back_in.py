"""A certificate that counts no more: its holder learns it from the service, and comes back in by itself if it can."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.support.service import PROGRAM, Service, free_port, start, stop, wait_until
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

    def token(self, name: str) -> str:
        """Make a join token."""
        return str(self.post("/credentials/join-tokens", {"service_name": name})["join_token"])

    def token_file(self, path: Path, name: str) -> Path:
        """Make a join token in a file that only this user can read."""
        path.unlink(missing_ok=True)
        path.touch(0o600)
        path.write_text(self.token(name))
        return path

    def identity(self, directory: Path, **options: object) -> ServiceIdentity:
        """Return an identity, not started."""
        given: dict[str, object] = {"mtls_url": self.mtls_url, **options}
        return ServiceIdentity(directory, self.service.url, **given)  # type: ignore[arg-type]

    def enrolled(self, directory: Path) -> str:
        """Let a service in, by the directory's name, and return its serial number."""
        return self.identity(directory, join_token=self.token(directory.name)).enroll().serial_number

    def accepts(self, held: ServiceIdentity) -> bool:
        """Tell whether the mTLS port takes an identity."""
        try:
            with httpx.Client(verify=held.client_context(peer="tradewarden"), trust_env=False) as client:
                return client.get(f"{self.mtls_url}/ca/certificate").is_success
        except httpx.TransportError:
            return False

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `tradewarden ca …` as it runs beside a service."""
        command = [str(PROGRAM), "--url", self.service.url, "ca", *arguments]
        given = {**self.service.environment, "TRADEWARDEN_MTLS_URL": self.mtls_url}
        return subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for all tests here."""
    port = free_port()
    options = {"TRADEWARDEN_MTLS_PORT": str(port), "TRADEWARDEN_CA_ANNOUNCE_MINUTES": "0"}
    running = start(tmp_path_factory.mktemp("house"), **options)
    yield House(running, f"https://127.0.0.1:{port}")
    stop(running)


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at every ten seconds or every minute is looked at several times a second."""
    monkeypatch.setattr("tradewarden.workload.keeper.LONGEST_SECONDS", 0.2)
    monkeypatch.setattr("tradewarden.workload.identity.STANDING_SECONDS", 0.5)


async def test_a_revoked_one_comes_back_by_a_join_token(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It learns that it was revoked, says what it needs, and takes the token that comes, all in one process."""
    file = tmp_path / "join-token"
    serial = house.enrolled(tmp_path / "orders")
    async with house.identity(tmp_path / "orders", join_token_file=file) as held:
        assert house.accepts(held)
        house.post("/credentials/revoke", {"serial_number": serial})
        wait_until(lambda: isinstance(held.error, EnrolmentNeededError), "it is not told that it was revoked")
        assert "tradewarden ca join-token orders" in str(held.error)
        assert held.renews_at() == 0.0
        assert [each for each in caplog.messages if f"certificate {serial}" in each and "is revoked" in each]
        house.token_file(file, "orders")
        wait_until(lambda: held.pair.serial_number != serial, "the token is not taken")
        assert held.error is None
        wait_until(lambda: house.accepts(held), "the new certificate is not taken")


async def test_where_only_the_mtls_port_is_known_its_refusal_tells(house: House, tmp_path: Path) -> None:
    """The alert by which the listener refuses the certificate is enough to say what is needed."""
    serial = house.enrolled(tmp_path / "payments")
    with ServiceIdentity(tmp_path / "payments", mtls_url=house.mtls_url, check_revocation=True) as held:
        house.post("/credentials/revoke", {"serial_number": serial})
        wait_until(lambda: isinstance(held.error, EnrolmentNeededError), "it is not told that it was revoked")


async def test_services_go_on_by_their_old_keys_after_a_theft(house: House, tmp_path: Path) -> None:
    """Whoever has a certificate of the compromised CA, or of a retired one, has a new one soon, and nobody acts."""
    early = house.enrolled(tmp_path / "early")
    house.post("/ca/rotate", {"what": "issuing"})
    late = house.enrolled(tmp_path / "late")
    with house.identity(tmp_path / "early") as one, house.identity(tmp_path / "late", check_revocation=True) as two:
        issuing = {held.pair.chain[1].subject for held in (one, two)}
        assert len(issuing) == 2
        house.post("/ca/rotate", {"what": "issuing", "compromised": True})
        for held, serial in ((one, early), (two, late)):
            wait_until(partial(_replaced, held, serial), "it is not renewed")
            assert held.pair.chain[1].subject not in issuing
            wait_until(partial(house.accepts, held), "the new certificate is not taken")


def _replaced(held: ServiceIdentity, serial: str) -> bool:
    return held.pair.serial_number != serial


def test_a_leaf_of_a_retired_ca_is_refused_by_openssl_after_a_theft(house: House, tmp_path: Path) -> None:
    """With the lists that the service gives out after, also beside the CA's own from before: the root names the CA."""
    made = house.post("/credentials/issue", {"service_name": "leaf"})
    house.post("/ca/rotate", {"what": "issuing"})
    before = httpx.get(f"{house.service.url}/ca/crls", trust_env=False).content
    (tmp_path / "roots.pem").write_text(str(made["ca_certificate"]))
    (tmp_path / "chain.pem").write_text(str(made["certificate_chain"]))

    def verify(lists: bytes) -> str:
        (tmp_path / "lists.pem").write_bytes(lists)
        command = ["openssl", "verify", "-crl_check_all", "-CRLfile", "lists.pem", "-CAfile", "roots.pem"]
        command += ["-untrusted", "chain.pem", "chain.pem"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stderr

    assert not verify(before)
    house.post("/ca/rotate", {"what": "issuing", "compromised": True})
    after = httpx.get(f"{house.service.url}/ca/crls", trust_env=False).content
    assert "unable to get certificate CRL" in verify(after)
    assert "certificate revoked" in verify(after + before)


def test_renewing_once_tells_a_revoked_certificate_from_a_fresh_one(house: House, tmp_path: Path) -> None:
    """`ca renew` ends with 4 while a join token is needed, and takes it; `ca enroll` needs no --force for it either."""
    directory = str(tmp_path / "once")
    serial = house.enrolled(tmp_path / "once")
    fresh = house.run("renew", "--dir", directory)
    assert (fresh.returncode, "(not yet due)" in fresh.stdout) == (0, True), fresh.stderr
    refused = house.run(
        "enroll", "--dir", directory, "--join-token-file", str(house.token_file(tmp_path / "t", "once"))
    )
    assert (refused.returncode, "is valid" in refused.stderr) == (5, True)

    house.post("/credentials/revoke", {"serial_number": serial})
    told = house.run("renew", "--dir", directory)
    assert (told.returncode, "tradewarden ca join-token once" in told.stderr) == (4, True), told.stderr
    again = house.run("enroll", "--dir", directory, "--join-token-file", str(tmp_path / "t"), "--json")
    assert again.returncode == 0, again.stderr

    held = house.identity(tmp_path / "once").held
    assert held is not None
    house.post("/credentials/revoke", {"serial_number": held.serial_number})
    token = str(house.token_file(tmp_path / "t", "once"))
    renewed = house.run("renew", "--dir", directory, "--join-token-file", token)
    assert (renewed.returncode, "(not yet due)" in renewed.stdout) == (0, False), renewed.stderr


def test_the_daemon_takes_a_token_for_a_revoked_certificate(house: House, tmp_path: Path) -> None:
    """`ca renew --daemon` says what it needs as soon as it runs, and goes on when the token lies in its file."""
    directory, file = tmp_path / "daemon", tmp_path / "join-token"
    serial = house.enrolled(directory)
    house.post("/credentials/revoke", {"serial_number": serial})
    command = [str(PROGRAM), "--url", house.service.url, "ca", "renew", "--daemon", "--dir", str(directory)]
    log = tmp_path / "daemon.log"
    with log.open("w") as out:
        daemon = subprocess.Popen([*command, "--join-token-file", str(file)], env=house.service.environment, stderr=out)
    try:
        wait_until(lambda: "tradewarden ca join-token daemon" in log.read_text(), "it does not say what it needs")
        assert f"certificate {serial}" in log.read_text()
        house.token_file(file, "daemon")
        wait_until(lambda: _serial(house, directory) != serial, "the token is not taken", seconds=20)
    finally:
        daemon.terminate()
        assert daemon.wait(20) == 0


def _serial(house: House, directory: Path) -> str:
    held = house.identity(directory).held
    assert held is not None
    return held.serial_number


def test_a_root_that_went_while_it_slept_is_noticed_at_the_start(house: House, tmp_path: Path) -> None:
    """What starts after the overlap says that it needs a token and takes it, and the advice of each command holds."""
    for name in ("sleeper", "other"):
        house.enrolled(tmp_path / name)
    house.post("/ca/rotate", {"what": "root"})
    house.post("/ca/rotate", {"what": "root", "finish": True})
    file = tmp_path / "join-token"
    with house.identity(tmp_path / "sleeper", join_token_file=file) as held:
        serial = held.pair.serial_number
        wait_until(lambda: isinstance(held.error, EnrolmentNeededError), "it is not told that its root is gone")
        house.token_file(file, "sleeper")
        wait_until(lambda: held.pair.serial_number != serial, "the token is not taken")
        wait_until(lambda: house.accepts(held), "the new certificate is not taken")

    other = str(tmp_path / "other")
    told = house.run("renew", "--dir", other)
    assert (told.returncode, "tradewarden ca join-token other" in told.stderr) == (4, True), told.stderr
    listed = house.run("list", "--service", "other", "--state", "active", "--json").stdout
    assert listed.count('"serial_number"') == 1, "it was given certificates that it does not take"
    done = house.run("enroll", "--dir", other, "--join-token-file", str(house.token_file(file, "other")))
    assert done.returncode == 0, done.stderr

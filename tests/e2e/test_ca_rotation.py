"""Rotations of the CAs of a running service: nobody is refused, and everybody follows."""

from __future__ import annotations

import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from cryptography import x509

from tests.support.http import Answer
from tests.support.mtls import Identity, issued, mtls_url
from tests.support.service import PROGRAM, Service, start, stop, wait_until
from tests.support.trial import done, wait_until_recorded
from tests.support.wire import Wire

WORKERS = 2


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service of the test's own, with two workers."""
    running = start(tmp_path, TRADEWARDEN_WORKERS=str(WORKERS))
    yield running
    assert stop(running) == 0, running.log.read_text()


class Issuing:
    """Clients that have certificates issued as fast as they are answered; each must be good when it comes."""

    def __init__(self, service: Service, clients: int = 4) -> None:
        self.serials: list[str] = []
        self.requests: list[str] = []
        self._failures: list[BaseException] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(service, each)) for each in range(clients)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        self.more()
        return self

    def __exit__(self, *_: object) -> None:
        self.more()
        self._over.set()
        for each in self._threads:
            each.join(20)
        assert not self._failures, self._failures

    def more(self) -> None:
        """Return after some more certificates."""
        aim = len(self.serials) + 100
        wait_until(lambda: len(self.serials) >= aim or bool(self._failures), "nothing is issued")

    def _client(self, service: Service, number: int) -> None:
        try:
            with Wire(service.url, token=service.admin_token) as admin:
                while not self._over.is_set():
                    answer = admin.ask("POST", "/credentials/issue", {"service_name": f"bot{number}"})
                    made = done(answer)
                    chain = x509.load_pem_x509_certificates(made["certificate_chain"].encode())
                    for below, above in pairwise(chain):
                        below.verify_directly_issued_by(above)
                    self.serials.append(made["serial_number"])
                    self.requests.append(answer.headers["x-request-id"])
        except BaseException as error:  # noqa: BLE001 - told by the test, which waits for these threads
            self._failures.append(error)


@contextmanager
def everywhere(service: Service) -> Iterator[list[Wire]]:
    """Give connections to every worker, as the admin."""
    seen: set[str] = set()
    wires: list[Wire] = []
    try:
        while len(seen) < WORKERS:
            assert len(wires) < 64, "a worker is never asked"
            wires.append(Wire(service.url, token=service.admin_token))
            seen.add(wires[-1].ask("GET", "/secrets?limit=1").headers["x-request-id"][:10])
        yield wires
    finally:
        for each in wires:
            each.close()


def test_every_rotation_goes_on_under_load(service: Service) -> None:
    """Each rotation loses no request and is followed by every worker with its next call; the audit log tells of it."""
    steps: tuple[dict[str, Any], ...] = (
        {"what": "issuing"},
        {"what": "root"},
        {"what": "issuing"},
        {"what": "root", "finish": True},
        {"what": "issuing", "compromised": True},
    )
    with everywhere(service) as wires, Issuing(service) as load:
        for step in steps:
            earlier = done(wires[0].ask("POST", "/credentials/issue", {"service_name": "earlier"}))["serial_number"]
            answer = wires[0].ask("POST", "/ca/rotate", step)
            known = _uncounted(answer)
            active = next(ca for ca in known if ca["role"] == "issuing" and ca["state"] == "active")
            for wire in wires:
                made = done(wire.ask("POST", "/credentials/issue", {"service_name": "after"}))
                chain = x509.load_pem_x509_certificates(made["certificate_chain"].encode())
                assert chain[1].subject.rfc4514_string() == active["subject"]
                assert _uncounted(wire.ask("GET", "/ca")) == known
                roots = wire.ask("GET", "/ca/certificate").body.decode()
                assert roots == made["ca_certificate"]
                assert roots.count("BEGIN") == [(ca["role"], ca["state"]) for ca in known].count(("root", "next")) + 1
                shown = done(wire.ask("GET", f"/credentials/{earlier}"))
                assert shown["state"] == ("revoked" if "compromised" in step else "active")
            load.requests.append(answer.headers["x-request-id"])
            load.more()
        versions = {wire.ask("GET", "/ca/pins").json()["pin_set"]["version"] for wire in wires}
        assert len(versions) == 1
    with Wire(service.url, token=service.admin_token) as admin:
        wait_until_recorded(admin, load.requests)
        for action, finish in (("rotate", False), ("finish", True)):
            events = done(admin.ask("GET", f"/audit/events?action={action}&event_type=certificate"))["events"]
            assert len(events) == len([step for step in steps if step.get("finish", False) is finish])


def _uncounted(answer: Answer) -> list[dict[str, Any]]:
    """Return the CAs that an answer lists, without how many certificates of each are active at that moment."""
    counts = {"active_certificates", "old_root_only"}
    return [{name: ca[name] for name in ca.keys() - counts} for ca in done(answer)["authorities"]]


def _accepted(service: Service, roots: str, identity: Identity) -> bool:
    """Tell whether a client that knows only `roots` and the service accept each other."""
    context = ssl.create_default_context(cadata=roots)
    context.load_cert_chain(identity.certificate, identity.key)
    try:
        url = f"{mtls_url(service)}/health/live"
        return httpx.get(url, verify=context, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _accepted_everywhere(service: Service, roots: str, identity: Identity) -> bool:
    """Tell the same of every worker; each follows in its own time, within a second."""
    context = ssl.create_default_context(cadata=roots)
    context.load_cert_chain(identity.certificate, identity.key)
    seen: set[str] = set()
    with ExitStack() as held:
        for _ in range(64):
            wire = held.enter_context(Wire(mtls_url(service), tls=context))
            try:
                seen.add(wire.ask("GET", "/health/live").headers["x-request-id"][:10])
            except OSError:
                return False
            if len(seen) == WORKERS:
                return True
    raise AssertionError("a worker is never asked")


def test_what_a_new_ca_issues_is_good_at_once(service: Service) -> None:
    """A certificate that is issued the moment after a rotation is taken by every worker's listener, at first try."""
    steps: tuple[dict[str, Any], ...] = (
        {"what": "issuing", "compromised": True},
        {"what": "issuing"},
        {"what": "root"},
        {"what": "issuing"},
        {"what": "root", "finish": True},
        {"what": "root"},
    )
    with Wire(service.url, token=service.admin_token) as admin:
        for number, step in enumerate(steps):
            both = admin.ask("GET", "/ca/certificate").body.decode()
            done(admin.ask("POST", "/ca/rotate", step))
            identity = issued(service, f"new{number}")
            assert [_accepted(service, both, identity) for _ in range(6)] == [True] * 6, step


def test_live_clients_of_either_root_are_served_while_the_root_changes(service: Service) -> None:
    """Who knows only the old root and who knows only the new one both talk mTLS until the old one retires."""
    before = issued(service, "early")
    with Wire(service.url, token=service.admin_token) as admin:
        old = admin.ask("GET", "/ca/certificate").body.decode()
        assert _accepted(service, old, before)
        done(admin.ask("POST", "/ca/rotate", {"what": "root"}))
        both = admin.ask("GET", "/ca/certificate").body.decode()
        new = both.removeprefix(old)
        during = issued(service, "late")
        wait_until(lambda: _accepted_everywhere(service, new, during), "a listener does not follow")
        for roots in (old, new, both):
            for identity in (before, during):
                assert _accepted(service, roots, identity)
        done(admin.ask("POST", "/ca/rotate", {"what": "root", "finish": True}))
        after = issued(service, "later")
        wait_until(lambda: not _accepted(service, old, after), "the old root goes on")
        for identity in (during, after):
            assert _accepted(service, new, identity)


def test_an_identity_that_slept_through_the_overlap_needs_a_join_token(service: Service, tmp_path: Path) -> None:
    """`ca renew` ends with 4 and says so when it knows only a root that is gone; a new token in the file helps."""

    def ca(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(PROGRAM), "ca", *arguments]
        return subprocess.run(command, env=service.environment, capture_output=True, text=True, check=False, timeout=30)

    token, directory = tmp_path / "join-token", str(tmp_path / "identity")
    assert ca("join-token", "sleeper", "--out", str(token)).returncode == 0
    assert ca("enroll", "--dir", directory, "--join-token-file", str(token)).returncode == 0
    with Wire(service.url, token=service.admin_token) as admin:
        done(admin.ask("POST", "/ca/rotate", {"what": "root"}))
        done(admin.ask("POST", "/ca/rotate", {"what": "root", "finish": True}))
    for where in ((), ("--mtls-url", mtls_url(service))):
        refused = ca("renew", "--dir", directory, "--force", *where)
        assert refused.returncode == 4, refused.stderr
        assert "tradewarden ca join-token sleeper" in refused.stderr
    token.unlink()
    assert ca("join-token", "sleeper", "--out", str(token)).returncode == 0
    renewed = ca("renew", "--dir", directory, "--force", "--join-token-file", str(token))
    assert renewed.returncode == 0, renewed.stderr


def test_a_compromised_ca_ends_what_it_issued(service: Service) -> None:
    """A client of the revoked CA is refused, one of the new CA is served, and the service has a new certificate."""
    lost = issued(service, "lost")
    with Wire(service.url, token=service.admin_token) as admin:
        roots = admin.ask("GET", "/ca/certificate").body.decode()
        assert _accepted(service, roots, lost)
        done(admin.ask("POST", "/ca/rotate", {"what": "issuing", "compromised": True}))
        wait_until(lambda: not _accepted(service, roots, lost), "it goes on being served")
        found = issued(service, "found")
        wait_until(lambda: _accepted(service, roots, found), "the new CA's client is not served")


def test_the_command_line_rotates_and_lists(service: Service) -> None:
    """`ca rotate` answers with the table that `ca authorities` shows."""

    def ca(*arguments: str) -> str:
        command = [str(PROGRAM), "ca", *arguments]
        run = subprocess.run(command, env=service.environment, capture_output=True, check=True, timeout=30)
        return run.stdout.decode()

    listed = [line.split()[:2] for line in ca("authorities").splitlines()[1:]]
    assert listed == [["root", "active"], ["issuing", "active"], ["issuing", "next"]]
    rotated = ca("rotate")
    assert [line.split()[:2] for line in rotated.splitlines()[1:]] == [*listed, ["issuing", "retired"]]
    assert ca("authorities") == rotated
    os.rename(service.data_dir / "ca" / "ca_key.pem", service.data_dir / "away.pem")  # noqa: PTH104
    assert ca("authorities").splitlines()[1].split()[-1] == "no"
    ca("rotate", "issuing", "--compromised", "--yes")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        ca("rotate", "root")
    assert b"ca_key.pem" in refused.value.stderr

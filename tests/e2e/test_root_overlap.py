"""A change of the root seen by identities that know the service over plain HTTP alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import PROGRAM, Service, start, stop
from tests.support.trial import done
from tests.support.wire import Wire


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service of the test's own."""
    running = start(tmp_path)
    yield running
    assert stop(running) == 0, running.log.read_text()


def test_who_was_certified_in_the_overlap_outlives_it(service: Service, tmp_path: Path) -> None:
    """Both roots are in the files after an enrolment and after a renewal; so an early end of the overlap harms none."""

    def ca(*arguments: str) -> None:
        command = [str(PROGRAM), "ca", *arguments]
        ran = subprocess.run(command, env=service.environment, capture_output=True, text=True, check=False, timeout=30)
        assert ran.returncode == 0, ran.stderr

    def enrol(name: str) -> Path:
        token, directory = tmp_path / f"{name}.token", tmp_path / name
        ca("join-token", name, "--out", str(token))
        ca("enroll", "--dir", str(directory), "--join-token-file", str(token))
        return directory

    assert service.url.startswith("http:")
    early = enrol("early")
    with Wire(service.url, token=service.admin_token) as admin:
        (old,) = roots(admin)
        assert crosses(admin) == 0
        done(admin.ask("POST", "/ca/rotate", {"what": "root"}))
        both = roots(admin)
        assert crosses(admin) == 2
        assert len(both) == 2
        assert trusted(early) == {old}
        ca("renew", "--dir", str(early), "--force")
        late = enrol("late")
        assert trusted(early) == trusted(late) == both
        done(admin.ask("POST", "/ca/rotate", {"what": "root", "finish": True}))
        for each in (early, late):
            ca("renew", "--dir", str(each), "--force")
            assert trusted(each) == both
        assert crosses(admin) == 0


def crosses(wire: Wire) -> int:
    """Return how many certificates of one root by the other come with a new certificate, and to whoever asks."""
    made = done(wire.ask("POST", "/credentials/issue", {"service_name": "any"}))
    given = wire.ask("GET", "/ca/cross-certificates")
    assert given.status == 200
    assert given.body.decode() == made.get("cross_certificates", "")
    return given.body.count(b"BEGIN")


def roots(wire: Wire) -> set[str]:
    """Return the roots that the service trusts now."""
    return split(wire.ask("GET", "/ca/certificate").body.decode())


def trusted(directory: Path) -> set[str]:
    """Return the roots that an identity trusts."""
    return split((directory / "current" / "ca.pem").read_text())


def split(pem: str) -> set[str]:
    """Return the certificates of a PEM text."""
    end = "-----END CERTIFICATE-----"
    return {each.strip() for each in pem.split(end) if each.strip()}

"""`tradewarden ca rotate`, `ca authorities` and `ca list`: what is said before something ends, and what is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import Cli, FakeService

FAR, PAST = "2199-01-15T10:30:00.000000Z", "2006-01-15T10:30:00.000000Z"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Commands run in this process."""
    monkeypatch.chdir(tmp_path)
    return Cli(monkeypatch, capfd)


def ca(role: str, state: str, issuer: str = "", active: int = 0, until: str = FAR) -> dict[str, object]:
    """Return one CA as the service lists it; a root's fingerprint is its state's name."""
    shown: dict[str, object] = {"role": role, "state": state, "subject": "CN=C", "fingerprint_sha256": state}
    more = {"not_after": until, "key_here": True, "key": "key", "issuer_sha256": issuer, "active_certificates": active}
    more["old_root_only"] = active if issuer == "active" else 0
    return {**shown, **more}


ROOTS = (ca("root", "active"), ca("root", "next"))
ISSUING = (
    ca("issuing", "active", "next", 1),
    ca("issuing", "next", "next"),
    ca("issuing", "retired", "active", 40),
    ca("issuing", "retired", "active", 2),
    ca("issuing", "retired", "active", 0, PAST),
    ca("issuing", "revoked", "active"),
)


def fake(monkeypatch: pytest.MonkeyPatch, *cas: dict[str, object]) -> FakeService:
    """Stand in for a service with these CAs."""
    listed = json.dumps({"authorities": cas}).encode()
    return FakeService({"GET /ca": listed, "POST /ca/rotate": listed}).stand_in(monkeypatch)


@pytest.mark.parametrize(
    ("states", "arguments", "told"),
    [
        (("active", "retired"), ("root",), True),
        (("active", "revoked"), ("root", "--compromised", "--yes"), True),
        (("active", "next"), ("root",), False),
        (("active", "retired"), ("root", "--finish", "--yes"), False),
        (("active",), ("issuing",), False),
    ],
)
def test_a_root_that_is_replaced_at_once_is_to_be_given_out(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, states: tuple[str, ...], arguments: tuple[str, ...], *, told: bool
) -> None:
    """After an ended or compromised root clients must be given the new one; in an overlap they follow."""
    fake(monkeypatch, *(ca("root", state) for state in states))
    code, _, err = cli("ca", "rotate", *arguments)
    assert (code, "give it to every client that lacks it: tradewarden ca cert" in err) == (0, told)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("issuing", "revokes 3 issuing CAs, active and retired, with 43 active certificates, at once"),
        ("root", "revokes the root, and 2 issuing CAs, active and retired, with 42 active certificates, at once"),
    ],
)
def test_what_a_compromised_ca_takes_with_it_is_said_before(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, what: str, says: str
) -> None:
    """How many CAs and certificates end: those that live; below the old root alone while the root is changed."""
    service = fake(monkeypatch, *ROOTS, *ISSUING)
    code, _, err = cli("ca", "rotate", what, "--compromised")
    assert (code, says in " ".join(err.split())) == (2, True), err
    assert [call for call, _ in service.calls] == ["GET /ca"]
    assert cli("ca", "rotate", what, "--compromised", "--yes").code == 0
    assert service.calls[-1] == ("POST /ca/rotate", {"what": what, "compromised": True, "finish": False})


def test_the_end_of_an_overlap_cuts_nobody_off_unless_told_to(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """While active certificates lead to the old root alone it asks with their number; --yes stops there."""
    service = fake(monkeypatch, *ROOTS, *ISSUING)
    code, _, err = cli("ca", "rotate", "root", "--finish")
    assert (code, "42 active certificates chain only to the old root" in " ".join(err.split())) == (2, True), err
    code, _, err = cli("ca", "rotate", "root", "--finish", "--yes")
    assert (code, "42 active certificates" in err, "add --cut-off" in " ".join(err.split())) == (5, True, True), err
    assert [call for call, _ in service.calls] == ["GET /ca"] * 2
    assert cli("ca", "rotate", "root", "--finish", "--yes", "--cut-off").code == 0
    assert service.calls[-1] == ("POST /ca/rotate", {"what": "root", "compromised": False, "finish": True})
    assert cli("ca", "rotate", "root", "--cut-off").code == 2


def test_an_overlap_that_nobody_needs_ends_with_yes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without active certificates of the old root there is nothing more to ask."""
    service = fake(monkeypatch, *ROOTS, ISSUING[0], ca("issuing", "retired", "active", 0))
    assert cli("ca", "rotate", "root", "--finish", "--yes").code == 0
    assert [call for call, _ in service.calls] == ["GET /ca", "POST /ca/rotate"]


def test_the_issuing_ca_stands_beside_each_certificate(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As much of its SHA-256 as `ca authorities` shows."""
    item = {"serial_number": "0a", "service_name": "bot", "state": "active", "expires_at": FAR}
    page = {"certificates": [{**item, "issuer_sha256": "0123456789abcdef" * 4}], "next": ""}
    FakeService({"GET /credentials": json.dumps(page).encode()}).stand_in(monkeypatch)
    code, out, _ = cli("ca", "list")
    assert (code, out.split()[-1]) == (0, "0123456789abcdef")

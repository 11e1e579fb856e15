"""`tradewarden ca acme`: what is shown once, what is listed, what is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import Cli, FakeService

MOMENT = "2026-01-15T10:30:00.000000Z"
KEY = {
    "service_name": "web",
    "kid": "k1d",
    "hmac_key": "c2VjcmV0",
    "directory": "https://ca.internal/acme/directory",
    "expires_at": MOMENT,
}
ACCOUNT = {
    "id": "a1",
    "service_name": "web",
    "status": "valid",
    "contact": ["mailto:ops@example.com"],
    "key_thumbprint": "t",
    "created_at": MOMENT,
}
ORDER = {
    "id": "o1",
    "account": "a1",
    "service_name": "web",
    "status": "invalid",
    "identifiers": ["web.test", "10.0.0.1"],
    "serial_number": "",
    "error": "web.test does not answer",
    "created_at": MOMENT,
    "expires_at": MOMENT,
}


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Commands run in this process."""
    monkeypatch.chdir(tmp_path)
    return Cli(monkeypatch, capfd)


def fake(monkeypatch: pytest.MonkeyPatch, call: str, answer: object) -> FakeService:
    """Stand in for the service."""
    return FakeService({call: json.dumps(answer).encode()}).stand_in(monkeypatch)


def test_a_key_stands_alone_on_stdout(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script takes key id and HMAC key, a line each; people read where the account is opened on stderr."""
    service = fake(monkeypatch, "POST /acme/eab", KEY)
    code, out, err = cli("ca", "acme", "eab", "web", "--dns", ".test")
    assert (code, out) == (0, "k1d\nc2VjcmV0\n")
    assert "https://ca.internal/acme/directory" in err
    assert "c2VjcmV0" not in err
    asked = service.calls[0][1]
    assert (asked["service_name"], asked["dns_names"], asked["profile"]) == ("web", [".test"], "server")


def test_accounts_are_listed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row an account, and JSON for programs."""
    fake(monkeypatch, "GET /acme/accounts", {"accounts": [ACCOUNT], "next": ""})
    assert "mailto:ops@example.com" in cli("ca", "acme", "accounts").out
    assert json.loads(cli("ca", "acme", "accounts", "--json").out)["accounts"] == [ACCOUNT]


def test_orders_are_listed_with_what_went_wrong(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order shows its names and its last problem."""
    service = fake(monkeypatch, "GET /acme/orders", {"orders": [ORDER], "next": ""})
    out = cli("ca", "acme", "orders", "--account", "a1").out
    assert "web.test 10.0.0.1" in out
    assert "does not answer" in out
    assert service.calls[0][1]["account"] == "a1"


def test_an_account_is_ended_when_asked_twice(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal nothing ends unless --yes says so."""
    service = fake(monkeypatch, "POST /acme/accounts/end", {**ACCOUNT, "status": "revoked"})
    assert cli("ca", "acme", "end", "a1").code != 0
    assert service.calls == []
    assert cli("ca", "acme", "end", "a1", "--yes").out == "a1 of web: revoked\n"

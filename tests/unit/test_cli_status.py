"""`tradewarden status`: what the screen makes of a service's answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import Cli, FakeService
from tradewarden.cli.exit_codes import ExitCode

HEALTH = {
    "status": "healthy",
    "timestamp": "2031-05-01T23:59:30.500000Z",
    "version": "0.1.0",
    "components": {"mtls": True},
    "active_credentials": 1,
    "active_tokens": 0,
}
METRICS = b"""# TYPE tradewarden_certificate_expiry_seconds gauge
tradewarden_certificate_expiry_seconds 129600.0
tradewarden_audit_lag_seconds 0.25
"""


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Commands run in this process, beside no data directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADEWARDEN_DATA_DIR", str(tmp_path / "none"))
    return Cli(monkeypatch, capfd)


def serve(monkeypatch: pytest.MonkeyPatch, **changed: object) -> None:
    """Have the command talk to a service whose health is as above, but for what changed."""
    answers = {
        "GET /health/ready": b'{"status":"ready","reasons":[]}',
        "GET /health": json.dumps({**HEALTH, **changed}).encode(),
        "GET /metrics": METRICS,
    }
    monkeypatch.setattr("tradewarden.cli.status.Client", lambda *_: FakeService(answers))


@pytest.mark.parametrize("timestamp", ["2031-05-01T23:59:30.500000Z", "2031-05-02T01:59:30+02:00"])
def test_the_first_to_expire_is_told_by_the_service_s_time(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, timestamp: str
) -> None:
    """The end is in UTC and counted from the time of the service, not of a machine whose clock is years off."""
    serve(monkeypatch, timestamp=timestamp)
    code, out, _ = cli("--url", "http://127.0.0.1:1", "status")
    assert code == 0
    assert "first to expire  certificate in 1.5 days, 2031-05-03 11:59:30Z\n" in out
    found = json.loads(cli("--url", "http://127.0.0.1:1", "status", "--json").out)
    assert (found["timestamp"], found["certificate_expiry_seconds"]) == (timestamp, 129600.0)


def test_an_answer_without_a_time_is_not_tradewarden_s(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time nobody can place is not guessed at."""
    serve(monkeypatch, timestamp="2031-05-01T23:59:30")
    code, out, _ = cli("--url", "http://127.0.0.1:1", "status")
    assert code == ExitCode.UNAVAILABLE
    assert "first to expire" not in out
    assert "is not Tradewarden" in out


@pytest.mark.parametrize("url", ["http://[::1", "http://h:x", "http://h\x01", "http://..", "http://me:hunter2@[::1"])
@pytest.mark.parametrize("command", [("status",), ("secrets", "list")])
def test_an_address_that_is_none_is_said_in_one_sentence(cli: Cli, url: str, command: tuple[str, ...]) -> None:
    """A URL that cannot be read is the user's to mend: one sentence, exit code 2, and nothing of a password."""
    code, out, err = cli("--url", url, *command)
    assert (code, out) == (ExitCode.USAGE, "")
    assert err.count("\n") == 1
    assert "hunter2" not in err

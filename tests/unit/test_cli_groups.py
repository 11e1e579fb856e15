"""The other groups: what is shown once, what is asked, what goes where."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from tests.support.cli import Cli, FakeService
from tradewarden.cli.tokens import duration
from tradewarden.errors import InvalidInputError

MOMENT = "2026-01-15T10:30:00.000000Z"
REGISTERED = b'{"service_name":"trader","permissions":["read"],"client_secret":"tws_once","created_at":"x"}'
ISSUED = (
    b'{"token":"T.O.K","service_name":"trader","permissions":["read"],"issued_at":"x",'
    b'"expires_at":"2026-01-15T10:30:00.000000Z","expires_in":60,"refresh_token":"twr_r"}'
)
CERTIFICATE = {
    "service_name": "trader",
    "certificate": "LEAF",
    "certificate_chain": "CHAIN",
    "ca_certificate": "ROOT",
    "serial_number": "0a",
    "spiffe_id": "spiffe://d/trader",
    "expires_at": MOMENT,
    "private_key": "KEY",
}


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Commands run in this process."""
    monkeypatch.chdir(tmp_path)
    return Cli(monkeypatch, capfd)


def _fake(monkeypatch: pytest.MonkeyPatch, **answers: bytes) -> FakeService:
    return FakeService({call.replace("__", " /").replace("_", "/"): body for call, body in answers.items()}).stand_in(
        monkeypatch
    )


def test_client_secret_stands_alone_on_stdout(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script takes the one-time secret from stdout; people read the rest on stderr."""
    fake = _fake(monkeypatch, POST__services=REGISTERED)
    code, out, err = cli("services", "add", "trader", "-p", "read")
    assert (code, out) == (0, "tws_once\n")
    assert "trader" in err
    assert "tws_once" not in err
    assert fake.calls == [("POST /services", {"service_name": "trader", "permissions": ["read"]})]


def test_client_secret_goes_to_a_private_new_file(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`--out` writes it with mode 0600, shows it nowhere, and never overwrites a file."""
    fake = _fake(monkeypatch, POST__services=REGISTERED)
    code, out, err = cli("services", "add", "trader", "--out", "secret")
    assert (code, out) == (0, "")
    assert "tws_once" not in err
    assert (tmp_path / "secret").read_text() == "tws_once\n"
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    fake.calls.clear()
    assert cli("services", "add", "trader", "--out", "secret").code == 5
    assert fake.calls == []


def test_no_permission_is_sent_as_none(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service registered without permissions is granted nothing."""
    fake = _fake(monkeypatch, POST__services=REGISTERED)
    cli("services", "add", "trader")
    assert fake.calls[0][1]["permissions"] == []


def test_remove_asks_first(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ending a service and its tokens needs a yes."""
    fake = _fake(monkeypatch, DELETE__services_trader=b'{"service_name":"trader","deleted":true}')
    assert cli("services", "remove", "trader").code == 2
    assert fake.calls == []
    assert cli("services", "remove", "trader", "--yes").code == 0


def test_token_pair_stands_alone_on_stdout(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is the first line, its refresh token the second."""
    fake = _fake(monkeypatch, POST__tokens_generate=ISSUED)
    code, out, err = cli("tokens", "issue", "trader", "-p", "read", "--ttl", "15m", "--refresh")
    assert (code, out) == (0, "T.O.K\ntwr_r\n")
    assert "T.O.K" not in err
    asked = {"service_name": "trader", "permissions": ["read"], "ttl_seconds": 900, "refresh": True}
    assert fake.calls == [("POST /tokens/generate", asked)]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43200), ("7d", 604800)])
def test_duration(text: str, seconds: int) -> None:
    """A lifetime is a number with its unit."""
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "0m", "-1h", "1w", "1.5h", "m", "\u0661h"])
def test_duration_refuses(text: str) -> None:
    """Anything else is refused rather than guessed."""
    with pytest.raises(InvalidInputError):
        duration(text)


def test_revoke_reads_the_token_from_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token to revoke comes from stdin; an id or a service from options; never two of them."""
    fake = _fake(monkeypatch, POST__tokens_revoke=b'{"revoked":true,"service_name":"t","jti":"j"}')
    assert cli("tokens", "revoke", stdin="T.O.K\n").out == "revoked\n"
    assert cli("tokens", "revoke", "--jti", "j").code == 0
    assert [body for _, body in fake.calls] == [{"token": "T.O.K"}, {"jti": "j", "service_name": None}]
    assert cli("tokens", "revoke", "--jti", "j", "--service", "t").code == 2
    assert cli("tokens", "revoke", stdin="").code == 2


def test_certificate_goes_to_new_files(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The key is written with mode 0600 and not shown; files that exist stop the issue before it begins."""
    fake = _fake(monkeypatch, POST__credentials_issue=msgspec.json.encode(CERTIFICATE))
    code, out, err = cli("ca", "issue", "trader", "--dns", "a.local", "--ip", "10.0.0.1", "--ttl-hours", "2")
    assert code == 0
    assert "KEY" not in out + err
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "trader.pem": "CHAIN",
        "trader.key": "KEY",
        "trader-ca.pem": "ROOT",
    }
    assert stat.S_IMODE((tmp_path / "trader.key").stat().st_mode) == 0o600
    fake.calls.clear()
    assert cli("ca", "issue", "trader").code == 5
    assert fake.calls == []


def test_certificate_for_a_csr_has_no_key_file(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a CSR there is no key to write."""
    answer = {name: value for name, value in CERTIFICATE.items() if name != "private_key"}
    fake = _fake(monkeypatch, POST__credentials_issue=msgspec.json.encode(answer))
    assert cli("ca", "issue", "trader", "--csr", "-", stdin="CSR").code == 0
    assert fake.calls[0][1]["csr"] == "CSR"
    assert not (tmp_path / "trader.key").exists()


def test_crl_is_pem(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The list is printed as PEM with lines of 64; DER goes to a file only."""
    _fake(monkeypatch, GET__ca_crl=b"\x30" * 100)
    lines = cli("ca", "crl").out.splitlines()
    assert lines[0] == "-----BEGIN X509 CRL-----"
    assert lines[-1] == "-----END X509 CRL-----"
    assert {len(line) for line in lines[1:-2]} == {64}
    assert cli("ca", "crl", "--der").code == 2
    assert cli("ca", "crl", "--der", "--out", "ca.crl").code == 0
    assert (tmp_path / "ca.crl").read_bytes() == b"\x30" * 100


def test_revoking_a_certificate_names_the_reason(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is one of RFC 5280's; another is a usage mistake."""
    shown = {"serial_number": "0a", "service_name": "trader", "state": "revoked", "expires_at": MOMENT}
    fake = _fake(monkeypatch, POST__credentials_revoke=msgspec.json.encode(shown))
    assert cli("ca", "revoke", "0a", "--reason", "keyCompromise", "--yes").out == "0a of trader: revoked\n"
    assert fake.calls[0][1] == {"serial_number": "0a", "reason": "keyCompromise"}
    assert cli("ca", "revoke", "0a", "--reason", "mood", "--yes").code == 2


class _Batches(FakeService):
    """Answers rewrap calls one after the other; None is Ctrl-C."""

    def __init__(self, *batches: dict[str, object] | None) -> None:
        super().__init__({})
        self._batches = list(batches)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> bytes:
        self.calls.append((path, dict(body or {})))
        batch = self._batches.pop(0)
        if batch is None:
            raise KeyboardInterrupt
        return msgspec.json.encode(batch)


def test_rewrap_goes_on_to_the_end(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches follow each other until there is none; what does not verify is named and ends with 7."""
    fake = _Batches(
        {"moved": 500, "refused": [], "after": ["m", 2]}, {"moved": 3, "refused": ["bad"], "after": None}
    ).stand_in(monkeypatch)
    code, out, _ = cli("keys", "rewrap")
    assert code == 7
    assert "503 moved, 1 refused" in out
    assert "bad" in out
    assert [body["after"] for _, body in fake.calls] == [None, ("m", 2)]


def test_rewrap_resumes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted run prints where it was; --after goes on from there."""
    _Batches({"moved": 500, "refused": [], "after": ["m", 2]}, None).stand_in(monkeypatch)
    code, _, err = cli("keys", "rewrap")
    assert code == 130
    assert "--after 'm' 2" in err
    fake = _Batches({"moved": 1, "refused": [], "after": None}).stand_in(monkeypatch)
    assert json.loads(cli("keys", "rewrap", "--after", "m", "2", "--json").out)["finished"] is True
    assert fake.calls[0][1]["after"] == ("m", 2)


def test_rewrap_that_stands_still_ends(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that answers the same place again and again does not keep the command forever."""
    _Batches(*[{"moved": 0, "refused": [], "after": ["m", 2]}] * 3).stand_in(monkeypatch)
    assert cli("keys", "rewrap").code != 0


def _event(sequence: int, **more: object) -> dict[str, object]:
    fixed = {"timestamp": MOMENT, "event_type": "token", "user": "user:a", "resource": "r", "action": "read"}
    return {"sequence": sequence, **fixed, "result": "success", **more}


def test_search_sends_its_filters(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every filter reaches the service; a forged line in an entry stays one line."""
    answer = {"events": [_event(7, user="a\nuser:admin \x1b[2J", result="denied", reason="no")], "next": None}
    fake = _fake(monkeypatch, GET__audit_events=msgspec.json.encode(answer))
    code, out, _ = cli("audit", "search", "--user", "u", "--event", "token", "--result", "denied", "--oldest-first")
    assert code == 0
    assert len(out.splitlines()) == 2
    assert "\x1b" not in out
    assert "denied: no" in out
    asked = fake.calls[0][1]
    assert (asked["user"], asked["event_type"], asked["result"], asked["order"]) == ("u", "token", "denied", "oldest")


def test_tail_prints_oldest_first(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest entries come in the order of time; as JSON one object a line."""
    answer = {"events": [_event(3), _event(2)], "next": None}
    _fake(monkeypatch, GET__audit_events=msgspec.json.encode(answer))
    assert [line.split()[0] for line in cli("audit", "tail").out.splitlines()] == ["2", "3"]
    lines = cli("audit", "tail", "--json").out.splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [2, 3]


def test_tail_follows_without_its_own_looks(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """New entries appear once each; the entries of the command's own looks do not."""
    pages = [[_event(1)], [_event(2, request_id="own"), _event(3)], [], [_event(4)]]

    class Following(FakeService):
        def get(self, path: str, query: Mapping[str, str | int] | None = None) -> bytes:
            self.request_ids.add("own")
            if not pages:
                raise KeyboardInterrupt
            return msgspec.json.encode({"events": pages.pop(0), "next": None})

    Following({}).stand_in(monkeypatch)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    code, out, _ = cli("audit", "tail", "-f")
    assert code == 130
    assert [line.split()[0] for line in out.splitlines()] == ["1", "3", "4"]


def test_a_join_token_stands_alone_on_stdout(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is for goes to stderr; names and term are passed on; --json gives the whole answer."""
    made = b'{"join_token":"twj_x.ab","service_name":"trader","expires_at":"2026-01-15T10:30:00.000000Z"}'
    fake = FakeService({"POST /credentials/join-tokens": made}).stand_in(monkeypatch)
    arguments = ("ca", "join-token", "trader", "--ttl-minutes", "5", "--dns", "a.internal", "--ip", "10.0.0.1")
    code, out, err = cli(*arguments)
    assert (code, out) == (0, "twj_x.ab\n")
    assert "trader" in err
    assert "twj_x" not in err
    asked = {"service_name": "trader", "ttl_minutes": 5, "dns_names": ["a.internal"], "ip_addresses": ["10.0.0.1"]}
    assert fake.calls[0] == ("POST /credentials/join-tokens", asked)
    assert json.loads(cli(*arguments, "--json").out)["join_token"] == "twj_x.ab"


def test_a_service_is_registered_with_its_names(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """`services add` and `services names` pass on what certificates may bear."""
    listed = (
        b'{"service_name":"trader","permissions":[],"created_at":"2026-01-15T10:30:00.000000Z","created_by":"user:admin",'
        b'"secret_rotated_at":"2026-01-15T10:30:00.000000Z","dns_names":[".trading.internal"],"ip_addresses":[]}'
    )
    fake = FakeService({"POST /services": REGISTERED, "POST /services/names": listed}).stand_in(monkeypatch)
    assert cli("services", "add", "trader", "--dns", "a.internal", "--ip", "10.0.0.1").code == 0
    code, out, _ = cli("services", "names", "trader", "--dns", ".trading.internal")
    assert (code, ".trading.internal" in out) == (0, True)
    assert fake.calls[0][1]["dns_names"] == ["a.internal"]
    assert fake.calls[0][1]["ip_addresses"] == ["10.0.0.1"]
    assert fake.calls[1][1] == {"service_name": "trader", "dns_names": [".trading.internal"], "ip_addresses": []}

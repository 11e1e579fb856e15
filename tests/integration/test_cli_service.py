"""The command line against the real service, each command a process of its own."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.support.cli import Outcome
from tests.support.service import PROGRAM, Service, bare_environment, free_port, service, start, stop, wait_until

__all__ = ["service"]  # the fixture


def run(service: Service, *arguments: str, stdin: str = "", **environment: str) -> Outcome:
    """Run one command beside a service."""
    done = subprocess.run(
        [PROGRAM, *arguments],
        input=stdin,
        text=True,
        capture_output=True,
        cwd=service.data_dir.parent,
        env={**service.environment, **environment},
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_secrets_from_first_to_last_version(service: Service) -> None:
    """Write, read, list, roll back, delete, bring back."""
    path = "cli/exchange/binance"
    assert run(service, "secrets", "put", path, "--cas", "0", stdin='{"api_key":"one"}').code == 0
    assert run(service, "secrets", "put", path, "--cas", "0", stdin='{"api_key":"x"}').code == 5
    assert run(service, "secrets", "put", path, "--field", "api_key", stdin="two\n").code == 0
    assert run(service, "secrets", "get", path, "--field", "api_key") == (0, "two\n", "")
    assert run(service, "secrets", "get", path, "--field", "api_key", "--version", "1").out == "one\n"
    assert "two" not in run(service, "secrets", "get", path).out
    assert run(service, "secrets", "list", "cli/exchange").out == f"{path}\n"
    assert json.loads(run(service, "secrets", "rollback", path, "--version", "1", "--json").out)["version"] == 3
    assert run(service, "secrets", "delete", path).code == 0
    assert run(service, "secrets", "get", path).code == 3
    assert run(service, "secrets", "undelete", path, "--version", "3").code == 0
    assert len(json.loads(run(service, "secrets", "history", path, "--json").out)["versions"]) == 3


def test_a_destroyed_version_is_gone(service: Service) -> None:
    """Destroying erases one version's value and says so in the history."""
    for value in ("one", "two"):
        run(service, "secrets", "put", "cli/destroyed", "--field", "a", stdin=f"{value}\n")
    assert run(service, "secrets", "destroy", "cli/destroyed", "--version", "1", "--yes").code == 0
    history = json.loads(run(service, "secrets", "history", "cli/destroyed", "--json").out)
    assert [(each["version"], each["destroyed"]) for each in history["versions"]] == [(1, True), (2, False)]
    assert run(service, "secrets", "get", "cli/destroyed", "--version", "1").code == 3


def test_import_twice_changes_once(service: Service, tmp_path: Path) -> None:
    """The second import of a file finds everything as it is."""
    file = tmp_path / "in.json"
    file.write_text(json.dumps({f"imported/{number}": {"n": number} for number in range(20)}))
    first = json.loads(run(service, "secrets", "import", str(file), "--json").out)
    second = json.loads(run(service, "secrets", "import", str(file), "--json").out)
    assert len(first["created"]) == len(second["unchanged"]) == 20
    names = json.loads(run(service, "secrets", "list", "imported/", "--limit", "7", "--json").out)
    assert len(names["keys"]) == 7
    assert names["next"]


def test_services_and_tokens(service: Service, tmp_path: Path) -> None:
    """Register, issue, validate, refresh, list, revoke; tokens pass through files and pipes only."""
    secret = tmp_path / "client_secret"
    added = run(service, "services", "add", "clitrader", "-p", "secrets:read:cli/*", "--out", str(secret))
    assert added.code == 0
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert run(service, "services", "add", "clitrader").code == 5
    assert "clitrader" in run(service, "services", "list").out
    token, refresh = run(service, "tokens", "issue", "clitrader", "--ttl", "5m", "--refresh").out.split()
    assert run(service, "tokens", "validate", stdin=token).code == 0
    assert json.loads(run(service, "tokens", "refresh", "--json", stdin=refresh).out)["refresh_token"] != refresh
    assert run(service, "services", "list", TRADEWARDEN_TOKEN=token).code == 4
    found = json.loads(run(service, "tokens", "list", "--service", "clitrader", "--json").out)["tokens"]
    assert len(found) >= 2
    assert run(service, "tokens", "revoke", stdin=token).code == 0
    assert run(service, "tokens", "validate", stdin=token).code == 4
    assert run(service, "services", "rotate-secret", "clitrader").out.strip() != secret.read_text().strip()
    assert run(service, "services", "permissions", "clitrader", "-p", "read").code == 0
    assert json.loads(run(service, "services", "show", "clitrader", "--json").out)["permissions"] == ["read"]
    assert run(service, "services", "remove", "clitrader", "--yes").code == 0
    assert run(service, "services", "show", "clitrader").code == 3


def test_certificates(service: Service, tmp_path: Path) -> None:
    """Issue to files, list, revoke; the CRL has one more entry and the files verify."""
    assert run(service, "ca", "issue", "cliweb", "--dns", "web.local", "--out", str(tmp_path)).code == 0
    assert stat.S_IMODE((tmp_path / "cliweb.key").stat().st_mode) == 0o600
    assert run(service, "ca", "cert").out == (tmp_path / "cliweb-ca.pem").read_text()
    listed = json.loads(run(service, "ca", "list", "--service", "cliweb", "--json").out)["certificates"]
    (serial,) = [each["serial_number"] for each in listed]
    assert run(service, "ca", "revoke", serial, "--reason", "superseded", "--yes").code == 0
    assert serial in run(service, "ca", "list", "--state", "revoked").out
    assert run(service, "ca", "revoke", "00" * 20, "--yes").code == 3
    assert run(service, "ca", "crl").out.startswith("-----BEGIN X509 CRL-----")


def test_keys(service: Service) -> None:
    """Rotate, rewrap, and read what older keys wrote."""
    run(service, "secrets", "put", "cli/rewrapped", stdin='{"a":"b"}')
    before = json.loads(run(service, "keys", "list", "--json").out)["keys"]
    assert run(service, "keys", "rotate", "secrets").code == 0
    assert run(service, "keys", "rotate", "nonsense").code == 2
    done = json.loads(run(service, "keys", "rewrap", "--json").out)
    assert done["finished"]
    assert done["moved"] > 0
    assert run(service, "secrets", "get", "cli/rewrapped", "--field", "a").out == "b\n"
    assert len(json.loads(run(service, "keys", "list", "--json").out)["keys"]) > len(before)


def test_audit_search_finds_what_was_done(service: Service) -> None:
    """A write and a denial are in the log, and no value is."""
    run(service, "secrets", "put", "cli/audited", stdin='{"a":"hunter2-audited"}')
    run(service, "services", "list", TRADEWARDEN_TOKEN="not-a-token")

    def found() -> str:
        wrote = run(service, "audit", "search", "--resource", "cli/audited", "--action", "write", "--json").out
        denied = run(service, "audit", "search", "--result", "denied", "--json").out
        return wrote + denied if json.loads(wrote)["events"] and json.loads(denied)["events"] else ""

    end = time.monotonic() + 20
    text = ""
    while not text and time.monotonic() < end:
        text = found()
    assert text
    assert "hunter2" not in text + run(service, "audit", "tail", "-n", "200", "--json").out


def _interruptible() -> None:
    """Take SIGINT as a terminal's program does, even where the tests run in the background and it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_tail_follows(service: Service) -> None:
    """`audit tail -f` shows what happens after it started, until it is interrupted."""
    process = subprocess.Popen(
        [PROGRAM, "audit", "tail", "-f", "--interval", "0.2", "--json", "--resource", "cli/followed"],
        env=service.environment,
        cwd=service.data_dir.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_interruptible,  # noqa: PLW1509  (one call between fork and exec)
    )
    watchdog = threading.Timer(40, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        for version in (1, 2):
            run(service, "secrets", "put", "cli/followed", stdin=json.dumps({"a": version}))
            assert json.loads(process.stdout.readline())["resource"] == "cli/followed"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def test_audit_verify_on_the_live_log_and_on_an_export(service: Service, tmp_path: Path) -> None:
    """Both hold while the service runs; an edited entry is named, and a cut-off end against a kept checkpoint."""
    _until_verified(service)
    export, keep = tmp_path / "export", tmp_path / "keep"
    code, out, _ = run(service, "audit", "export", str(export), "--json")
    assert code == 0
    entries = json.loads(out)["entries"]
    assert entries > 0
    assert run(service, "audit", "export", str(export)).code == 2
    keep.mkdir()
    for name in ("checkpoint", "public_key.pem"):
        (keep / name).write_bytes((export / name).read_bytes())
    kept = ("--public-key", str(keep / "public_key.pem"), "--checkpoint", str(keep / "checkpoint"))
    assert run(service, "audit", "verify", "--export", str(export), *kept).code == 0
    assert run(service, "audit", "verify", *kept).code == 0
    lines = (export / "entries.jsonl").read_bytes().splitlines(keepends=True)
    edited = [*lines[:3], lines[3].replace(b"success", b"failure").replace(b"denied", b"success"), *lines[4:]]
    (export / "entries.jsonl").write_bytes(b"".join(edited))
    code, out, _ = run(service, "audit", "verify", "--export", str(export), *kept)
    assert code == 7
    assert "the first entry that is not is 3 (changed)" in out
    (export / "entries.jsonl").write_bytes(b"".join(lines[:-2]))
    code, out, _ = run(service, "audit", "verify", "--export", str(export), *kept, "--json")
    assert code == 7
    problems = json.loads(out)["problems"]
    assert [(each["kind"], each["first"]) for each in problems] == [("cut_off", entries - 2)]


def _until_verified(service: Service) -> None:
    wait_until(lambda: run(service, "audit", "verify").code == 0, "no checkpoint was signed")


def test_audit_verify_says_what_is_missing(tmp_path: Path) -> None:
    """A directory without an installation, or without an export, is named; nothing is made there."""
    environment = {**bare_environment(), "TRADEWARDEN_DATA_DIR": str(tmp_path / "none")}

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    for arguments in (("audit", "verify"), ("audit", "verify", "--export", str(tmp_path))):
        refused = command(*arguments)
        assert refused.returncode == 2
        assert str(tmp_path) in refused.stderr
    assert command("audit", "export", "out").returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_status_is_one_screen(service: Service) -> None:
    """Health, readiness, data, admin token and audit lag, as text and as JSON."""
    code, out, _ = run(service, "status")
    assert code == 0
    assert str(service.data_dir) in out
    found = json.loads(run(service, "status", "--json").out)
    assert (found["reachable"], found["ready"], found["status"]) == (True, True, "healthy")
    assert found["admin_token_file"] == str(service.data_dir / "admin.token")
    assert found["audit_lag_seconds"] is not None


def test_status_without_a_service(tmp_path: Path) -> None:
    """Nobody there: said on the screen, exit code 6."""
    environment = {**bare_environment(), "SERVICE_PORT": str(free_port())}
    done = subprocess.run(
        [PROGRAM, "status", "--json"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 6
    assert json.loads(done.stdout)["reachable"] is False
    assert "no service answers" in json.loads(done.stdout)["problem"]


def test_admin_token_replaces_itself(tmp_path: Path) -> None:
    """A new admin token ends the old one while the service runs; only its path is printed."""
    own = start(tmp_path)
    try:
        before = own.admin_token
        code, out, err = run(own, "admin", "token")
        assert (code, out.strip()) == (0, str(own.data_dir / "admin.token"))
        assert own.admin_token != before
        assert own.admin_token not in out + err
        assert run(own, "services", "list").code == 0
        assert run(own, "services", "list", TRADEWARDEN_TOKEN=before).code == 4
    finally:
        assert stop(own) == 0


def test_init_is_explicit_outside_development(tmp_path: Path) -> None:
    """`serve` refuses a fresh directory in production; `init` makes it, once."""
    environment = {
        **bare_environment(),
        "ALPHAPULSE_ENV": "production",
        "TRADEWARDEN_DATA_DIR": str(tmp_path / "security"),
        "SERVICE_PORT": str(free_port()),
        "TRADEWARDEN_ROOT_KEY": "env:CLI_TEST_ROOT",
        "CLI_TEST_ROOT": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    }

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    refused = command("serve")
    assert refused.returncode == 2
    assert "tradewarden init" in refused.stderr
    made = command("init", "--json")
    assert made.returncode == 0, made.stderr
    token = Path(json.loads(made.stdout)["admin_token_file"])
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert token.read_text().strip() not in made.stdout + made.stderr
    assert command("init").returncode == 2


def test_production_is_spoken_to_over_tls(tmp_path: Path) -> None:
    """Outside development the client uses https and trusts the CA of the data directory, and no other."""
    settings = {
        "ALPHAPULSE_ENV": "production",
        "TRADEWARDEN_ROOT_KEY": "env:CLI_TEST_ROOT",
        "CLI_TEST_ROOT": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    }
    data = {"TRADEWARDEN_DATA_DIR": str(tmp_path / "security")}
    environment = {**bare_environment(), **settings, **data}
    subprocess.run([PROGRAM, "init"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    own = start(tmp_path, **settings)
    try:
        found = json.loads(run(own, "status", "--json").out)
        assert found["url"].startswith("https://127.0.0.1:")
        assert found["ready"]
        assert run(own, "services", "list").code == 0
        foreign = tmp_path / "foreign.pem"
        foreign.write_text(run(own, "ca", "cert").out.replace("\n", "\n", 1))
        code, _, err = run(own, "services", "list", SSL_CERT_FILE="/nonexistent", CA_CERT_PATH="")
        assert code == 0, err
    finally:
        assert stop(own) == 0


def test_no_secret_is_ever_an_argument(service: Service, tmp_path: Path) -> None:
    """While a command works, its arguments as other users see them hold no value."""
    seen: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    seen.add((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
                except OSError:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for number in range(3):
            run(service, "secrets", "put", f"cli/argv/{number}", stdin='{"a":"hunter2-argv"}')
            run(service, "secrets", "put", f"cli/argv/{number}", "--field", "a", stdin="hunter2-argv\n")
    finally:
        done.set()
        watcher.join()
    assert any("cli/argv/" in each for each in seen)
    assert not any("hunter2-argv" in each for each in seen)


@pytest.mark.parametrize("arguments", [["secrets", "list"], ["audit", "search"], ["tokens", "list"], ["ca", "list"]])
def test_json_is_all_there_is_on_stdout(service: Service, arguments: list[str]) -> None:
    """A program can read stdout as one JSON document."""
    code, out, _ = run(service, *arguments, "--json")
    assert code == 0
    assert isinstance(json.loads(out), dict)

"""What is recorded of accesses to secrets: log, counters, the audit file, an installation's audit log."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.chain import Bench, HandClock, Notes, ToldProvider, refused, unreachable
from tests.support.keys import Unrecorded
from tradewarden.audit.entry import Auditor, Entry, EventType, Origin
from tradewarden.clock import SystemClock
from tradewarden.errors import AuditUnavailableError, ProviderRefusedError, SecretNotFoundError
from tradewarden.secrets.chain import audit_room
from tradewarden.secrets.chain.access import Access, Outcome
from tradewarden.secrets.chain.access_log import AccessLog
from tradewarden.secrets.chain.audit_file import AuditFile
from tradewarden.secrets.chain.audit_room import AuditRoom
from tradewarden.secrets.chain.chain import Chain
from tradewarden.secrets.chain.recorders import Recorders
from tradewarden.secrets.chain.tally import Tally
from tradewarden.secrets.naming import Kind

if TYPE_CHECKING:
    from pathlib import Path

NAME, VALUE = "kraken_credentials", "the-value-itself"
UNCLOSED = """
import sys
from tradewarden.secrets.chain.audit_file import AuditFile
from tradewarden.secrets.chain.chain import Chain
from tradewarden.secrets.providers.environment import EnvironmentProvider

chain = Chain([EnvironmentProvider({"ALPHAPULSE_SLACK_WEBHOOK": "x"})], record=AuditFile(sys.argv[1]))
for _ in range(3):
    chain.get("slack_webhook")
chain.subscribe("slack_webhook", print)
"""
USER = f"local:{os.getuid()}"


def access(outcome: Outcome = Outcome.FOUND, **more: object) -> Access:
    """Return an access."""
    return Access(name=NAME, provider="vault", outcome=outcome, kind=Kind.CREDENTIAL, at=1_768_473_000.0, **more)  # type: ignore[arg-type]


def lines(path: Path) -> list[dict[str, object]]:
    """Return the entries of an audit file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_the_log_has_the_outcome_and_never_the_value(caplog: pytest.LogCaptureFixture) -> None:
    """Reads are for debugging; what is stale, denied or stood in for is a warning; a change is information."""
    first, second = ToldProvider("vault"), ToldProvider("environment", {NAME: VALUE})
    log = AccessLog()
    bench = Bench(first, second, record=log)
    with caplog.at_level(logging.DEBUG, "tradewarden.secrets"):
        bench.chain.get(NAME)
        second.held[NAME] = f"new {VALUE}"
        bench.later(300)
        bench.chain.get(NAME)
        second.failing = unreachable
        bench.later(300)
        bench.chain.get(NAME)
        first.failing = refused
        with pytest.raises(ProviderRefusedError):
            bench.chain.get("other")
    levels = {(record.levelname, record.getMessage().split(": ")[1].split(" ")[0]) for record in caplog.records}
    assert levels == {
        ("DEBUG", "not_found"),
        ("DEBUG", "found"),
        ("INFO", "changed"),
        ("INFO", "unreachable"),
        ("WARNING", "stale"),
        ("WARNING", "refused"),
    }
    assert VALUE not in caplog.text
    assert VALUE not in repr(log.last())


def test_counters_are_readable_and_speak_prometheus() -> None:
    """By provider and outcome; a window of cached reads counts as many."""
    first, second = ToldProvider("vault"), ToldProvider("environment", {NAME: VALUE})
    log = AccessLog()
    bench = Bench(first, second, record=log)
    for _ in range(10):
        bench.chain.get(NAME)
    bench.chain.flush()
    assert log.counts == {
        ("vault", Outcome.NOT_FOUND): 1,
        ("environment", Outcome.FOUND): 1,
        ("environment", Outcome.CACHED): 9,
    }
    assert list(log.prometheus()) == [
        "# HELP tradewarden_provider_access_total Accesses to secrets by provider and outcome",
        "# TYPE tradewarden_provider_access_total counter",
        'tradewarden_provider_access_total{provider="environment",outcome="cached"} 9',
        'tradewarden_provider_access_total{provider="environment",outcome="found"} 1',
        'tradewarden_provider_access_total{provider="vault",outcome="not_found"} 1',
    ]


def test_prometheus_reads_what_is_written() -> None:
    """The client library's own parser agrees, whatever a provider is called."""
    from prometheus_client.parser import text_string_to_metric_families

    log = AccessLog()
    log.record(Access(name="a", provider='od"d\\\n', outcome=Outcome.FOUND, kind=Kind.KEY, at=0.0, count=3))
    [family] = text_string_to_metric_families("\n".join(log.prometheus()) + "\n")
    assert [(s.labels["provider"], s.value) for s in family.samples] == [('od"d\\\n', 3.0)]


def test_a_reader_in_the_middle_of_a_read_is_still_counted() -> None:
    """A counter that was retired is looked at for a window's time: who held it may have ticked it since."""
    clock = HandClock()
    tally = Tally(clock, 60)
    counter = tally.counter(NAME, Kind.CREDENTIAL, "vault", Outcome.CACHED)
    counter.tick()
    tally.retire(counter)
    assert [each.count for each in tally.close_window()] == [1]
    counter.tick()
    assert [each.count for each in tally.close_window()] == [1]
    counter.tick()
    clock.seconds += 60
    assert [each.count for each in tally.close_window()] == [1]
    assert not tally._retired


def test_the_last_accesses_are_kept_bounded_and_have_the_audit_entrys_form() -> None:
    """Oldest first, of one name or of all; only what ended a call."""
    log = AccessLog(kept=3)
    for count in range(1, 6):
        log.record(access(count=count))
    log.record(access(Outcome.UNREACHABLE, final=False))
    assert [each.count for each in log.last()] == [3, 4, 5]
    assert log.last("other") == []
    assert list(log.entries()[0])[:8] == [
        *("timestamp", "event_type", "user", "resource"),
        *("action", "result", "ip_address", "user_agent"),
    ]
    assert log.entries()[0]["user"] == USER


def test_the_audit_file_has_one_entry_a_line(tmp_path: Path) -> None:
    """The contract's fields, private file, results of their own for missing and refused; no value."""
    path = tmp_path / "audit.jsonl"
    first = ToldProvider("vault", {NAME: VALUE})
    bench = Bench(first, record=AuditFile(path, sync=True))
    bench.chain.get(NAME)
    bench.chain.get(NAME)
    with pytest.raises(SecretNotFoundError):
        bench.chain.get("missing")
    first.failing = refused
    with pytest.raises(ProviderRefusedError):
        bench.chain.get("other")
    first.failing = None
    bench.chain.put(NAME, VALUE)
    bench.chain.close()
    found = lines(path)
    assert [(e["resource"], e["action"], e["result"], e.get("count", 1)) for e in found] == [
        (NAME, "read", "success", 1),
        ("missing", "read", "failure", 1),
        ("other", "read", "denied", 1),
        (NAME, "write", "success", 1),
        (NAME, "read", "success", 1),
    ]
    assert {(e["event_type"], e["user"]) for e in found} == {("secret_access", USER)}
    assert [e["reason"] for e in found][2:] == ["vault: refused; 403", "vault: done", "vault: cached"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert VALUE not in path.read_text()


def test_a_program_that_ends_without_closing_records_its_last_window(tmp_path: Path) -> None:
    """What was counted is in the file when the interpreter has ended; no thread keeps it from ending."""
    path = tmp_path / "audit.jsonl"
    subprocess.run([sys.executable, "-c", UNCLOSED, str(path)], check=True, timeout=30)
    assert [(e["resource"], e["reason"], e.get("count", 1)) for e in lines(path)] == [
        ("slack_webhook", "environment: found", 1),
        ("slack_webhook", "environment: cached", 2),
    ]


def test_an_audit_file_that_others_may_read_becomes_private(tmp_path: Path) -> None:
    """Its lines stay; its mode is mended."""
    path = tmp_path / "audit.jsonl"
    path.write_text("{}\n")
    path.chmod(0o644)
    AuditFile(path).record(access())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(lines(path)) == 2


def test_an_audit_file_may_be_moved_away(tmp_path: Path) -> None:
    """A rotated log goes on in a new file."""
    path = tmp_path / "audit.jsonl"
    record = AuditFile(path)
    record.record(access())
    path.rename(tmp_path / "audit.jsonl.1")
    record.record(access())
    assert len(lines(path)) == 1


@pytest.mark.parametrize("kind", ["missing directory", "directory", "symlink", "fifo"])
def test_no_audit_file_no_answer(tmp_path: Path, kind: str) -> None:
    """What cannot be written, or is no file of its own, stops the answer and names itself."""
    path = tmp_path / "audit.jsonl"
    if kind == "missing directory":
        path = tmp_path / "none" / "audit.jsonl"
    elif kind == "directory":
        path.mkdir()
    elif kind == "symlink":
        (tmp_path / "other").touch()
        path.symlink_to(tmp_path / "other")
    else:
        os.mkfifo(path)
    provider = ToldProvider("vault", {NAME: VALUE})
    bench = Bench(provider, record=AuditFile(path))
    with pytest.raises(AuditUnavailableError, match=r"audit\.jsonl"):
        bench.chain.get(NAME)
    with pytest.raises(AuditUnavailableError):
        bench.chain.put(NAME, "new")
    assert provider.held[NAME] == VALUE


def test_a_full_disk_stops_the_answer_and_spoils_no_other_line(tmp_path: Path) -> None:
    """Half a line is left by itself; when there is room again the next entry stands whole."""
    path = tmp_path / "audit.jsonl"
    record = AuditFile(path)
    record.record(access())
    room = path.stat().st_size + 20
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(AuditUnavailableError):
            record.record(access())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    record.record(access(Outcome.CACHED, count=7))
    first, torn, last = path.read_bytes().splitlines()
    assert json.loads(first)["resource"] == NAME
    assert len(torn) == 20
    assert json.loads(last)["count"] == 7


def test_several_recorders_stop_at_the_first_that_cannot() -> None:
    """What the audit did not take is not counted as given; all are closed."""
    audit, log = Notes(), Notes()
    both = Recorders(audit, log)
    both.record(access())
    audit.full = True
    with pytest.raises(AuditUnavailableError):
        both.record(access())
    with pytest.raises(AuditUnavailableError):
        both.ready()
    both.close()
    assert (len(log.all), audit.closed, log.closed) == (1, 1, 1)


class Installation:
    """Opens entries like a `Warden`."""

    def __init__(self) -> None:
        self.journal = Unrecorded()

    def entry(self, event: EventType, action: str, resource: str = "") -> Entry:
        """Return an entry of this process."""
        entry = Auditor(self.journal, SystemClock()).entry(event, action, Origin())
        entry.user, entry.resource = USER, resource
        return entry


async def test_an_open_installation_takes_the_entries() -> None:
    """From the chain's workers into the installation's own loop, with count, result and reason."""
    installation = Installation()
    record = AuditRoom(installation, asyncio.get_running_loop())
    chain = Chain([ToldProvider("vault", {NAME: VALUE})], record=record)
    for _ in range(3):
        await chain.aio.get(NAME)
    with pytest.raises(SecretNotFoundError):
        await chain.aio.get("missing")
    await chain.aio.close()
    found = [json.loads(event) for event in installation.journal.events]
    assert [(e["resource"], e["result"], e["reason"], e.get("count", 1)) for e in found] == [
        (NAME, "success", "vault: found", 1),
        ("missing", "failure", "vault: not_found", 1),
        (NAME, "success", "vault: cached", 2),
    ]


async def test_the_loop_that_records_is_not_made_to_wait_for_itself() -> None:
    """Closing the chain by its sync face there is refused at once instead of standing still."""
    record = AuditRoom(Installation(), asyncio.get_running_loop())
    with pytest.raises(AuditUnavailableError, match="cannot wait for itself"):
        record.record(access())


async def test_a_sync_read_in_the_installations_own_loop_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds up the loop that has to record: after a while there is an error that says so, and no answer."""
    monkeypatch.setattr(audit_room, "SECONDS", 0.05)
    record = AuditRoom(Installation(), asyncio.get_running_loop())
    async with Chain([ToldProvider("vault", {NAME: VALUE})], record=record).aio as chain:
        with pytest.raises(AuditUnavailableError, match="use the chain's async face"):
            chain._chain.get(NAME)
        assert (await chain.get(NAME)).content == VALUE


async def test_an_installation_that_cannot_record_stops_the_answer() -> None:
    """Its journal has no room: the read fails, with the reason in the log only."""

    class Full(Unrecorded):
        async def record(self, event: bytes) -> None:
            raise AuditUnavailableError("no room", reason="ENOSPC")

    installation = Installation()
    installation.journal = Full()
    record = AuditRoom(installation, asyncio.get_running_loop())
    async with Chain([ToldProvider("vault", {NAME: VALUE})], record=record).aio as chain:
        with pytest.raises(AuditUnavailableError, match="cannot be recorded") as caught:
            await chain.get(NAME)
        assert caught.value.reason == "ENOSPC"


def test_a_closed_installation_stops_the_answer() -> None:
    """Its loop is gone: nothing can be recorded."""
    loop = asyncio.new_event_loop()
    loop.close()
    bench = Bench(ToldProvider("vault", {NAME: VALUE}), record=AuditRoom(Installation(), loop))
    with pytest.raises(AuditUnavailableError, match="closed"):
        bench.chain.get(NAME)

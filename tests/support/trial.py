"""The service on trial: two workers, known keys, no limit on strangers, and a way to look into its audit log."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.http import Answer
from tests.support.service import Service, start, stop, wait_until
from tests.support.wire import Wire
from tradewarden.audit.examine import Report
from tradewarden.audit.verify import verify_log
from tradewarden.crypto.signers import Verifier
from tradewarden.storage.sql_audit import SqlAuditStore
from tradewarden.storage.sqlite import SqliteDatabase

JWT_SECRET = "trial-" + "k" * 48
PROXY = "127.0.0.99"
"""An address that the service on trial takes for a proxy of ours."""
SECURITY_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
}
PAGE = 1000


@pytest.fixture(scope="session")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with two workers for all tests that only talk to it over HTTP."""
    running = start(
        tmp_path_factory.mktemp("trial"),
        TRADEWARDEN_WORKERS="2",
        TRADEWARDEN_RATE_LIMITS="anonymous=1000000/1,open=1000000/1",
        TRADEWARDEN_TRUSTED_PROXIES=PROXY,
        JWT_SECRET_KEY=JWT_SECRET,
    )
    yield running
    assert stop(running) == 0, running.log.read_text()


@pytest.fixture
def admin(trial: Service) -> Iterator[Wire]:
    """A connection to the service on trial, as its admin."""
    with Wire(trial.url, token=trial.admin_token) as wire:
        yield wire


@pytest.fixture
def stranger(trial: Service) -> Iterator[Wire]:
    """A connection without any credential, from an address of its own."""
    with Wire(trial.url, source="127.0.0.2") as wire:
        yield wire


class Ledger:
    """Collects requests whose audit entries must stand in the log; looks for all of them at once, at the end."""

    def __init__(self) -> None:
        self._expected: dict[str, dict[str, str]] = {}

    def expect(self, request_id: str, **fields: str) -> None:
        """Expect an entry of this request with these fields; a `reason` need only begin so.

        Without a `result` given, it is any but success.
        """
        self._expected[request_id] = fields

    def check(self, admin: Wire) -> None:
        """Wait until all stand there, each once, and compare them."""
        wait_until_recorded(admin, self._expected)
        found = [each for each in all_events(admin) if each["request_id"] in self._expected]
        assert len(found) == len(self._expected), "a request has more than one entry"
        for entry in found:
            fields = dict(self._expected[entry["request_id"]])
            reason = fields.pop("reason", "")
            assert str(entry.get("reason", "")).startswith(reason), (reason, entry)
            assert {**entry, **fields} == entry, fields
            assert "result" in fields or entry["result"] != "success", entry


@pytest.fixture(scope="module")
def ledger(trial: Service) -> Iterator[Ledger]:
    """What the tests of a module expect in the audit log; checked after the last of them."""
    ledger = Ledger()
    yield ledger
    with Wire(trial.url, token=trial.admin_token) as admin:
        ledger.check(admin)


def done(answer: Answer, status: int = 200) -> Any:  # noqa: ANN401 - whatever the call answers
    """Return the JSON of an answer that is as wanted."""
    assert answer.status == status, answer.body
    return answer.json() if answer.body else None


def assert_refused(answer: Answer, *statuses: int, body: bool = True) -> str:
    """Check that an answer is a problem (RFC 9457) of one of these statuses, dressed as every answer; give its id.

    Without statuses, any from 400 to 499 will do.
    """
    assert answer.status in (statuses or range(400, 500)), (answer.status, answer.body[:500])
    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert answer.headers["content-type"] == "application/problem+json"
    request_id = answer.headers["x-request-id"]
    if body:
        problem = answer.json()
        assert problem["status"] == answer.status
        assert problem["code"]
        assert problem["title"]
        assert problem["request_id"] == request_id
    return request_id


def events(admin: Wire, **wanted: str | int) -> list[Mapping[str, Any]]:
    """Return the newest entries that fit, at most a thousand."""
    query = urlencode({"limit": PAGE, **wanted})
    return list(done(admin.ask("GET", f"/audit/events?{query}"))["events"])


def entry_of(admin: Wire, request_id: str) -> Mapping[str, Any]:
    """Return the entry of one request, once it is numbered."""
    found: list[Mapping[str, Any]] = []

    def stands() -> bool:
        found[:] = events(admin, request_id=request_id)
        return bool(found)

    wait_until(stands, f"request {request_id} has no audit entry")
    assert len(found) == 1, found
    return found[0]


def all_events(admin: Wire) -> Iterator[Mapping[str, Any]]:
    """Return every entry, oldest first."""
    cursor: str | None = ""
    while cursor is not None:
        page = done(admin.ask("GET", f"/audit/events?order=oldest&limit={PAGE}&cursor={cursor}"))
        yield from page["events"]
        cursor = page["next"]


def wait_until_recorded(admin: Wire, request_ids: Collection[str]) -> None:
    """Return once every one of these requests has its entry in the numbered log."""
    missing = set(request_ids)

    def stand() -> bool:
        missing.difference_update([each["request_id"] for each in all_events(admin)])
        return not missing

    wait_until(stand, f"{len(missing)} requests have no audit entry, such as {sorted(missing)[:3]}")


def live_path(service: Service) -> Path:
    """Return the database of a service."""
    return service.data_dir / "secrets" / "tradewarden.db"


def copy_database(service: Service, path: Path) -> Path:
    """Copy the database of a service that runs, as it is at one instant."""
    with closing(sqlite3.connect(live_path(service))) as live, closing(sqlite3.connect(path)) as copy:
        live.backup(copy)
    return path


def keep_checkpoint(admin: Wire) -> tuple[bytes, bytes]:
    """Return the newest checkpoint and the public key, as somebody outside keeps them."""
    shown = done(admin.ask("GET", "/audit/checkpoint"))
    return shown["checkpoint"].encode(), shown["public_key"].encode()


async def verified(path: Path, public_key: bytes, kept: bytes | None = None) -> Report:
    """Verify the log in a database file, as `tradewarden audit verify` does."""
    database = SqliteDatabase(path)
    try:
        return await verify_log(SqlAuditStore(database), Verifier.from_pem(public_key), kept)
    finally:
        await database.close()

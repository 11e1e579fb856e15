"""A full disk and a read-only one: nothing unrecorded is answered, the service says why, and it recovers by itself."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import httpx
import pytest

from tests.support.disk import SIZE, Disk, disk
from tests.support.http import Answer
from tests.support.service import PROGRAM, Service, bare_environment, free_port, start, stop, wait_until
from tests.support.trial import (
    all_events,
    assert_refused,
    done,
    keep_checkpoint,
    live_path,
    verified,
    wait_until_recorded,
)
from tests.support.wire import Wire
from tradewarden.audit.journal import RESERVE_SHARE

__all__ = ["disk"]
pytestmark = [pytest.mark.crash, pytest.mark.slow]
TRIES = 400
RESERVE = SIZE // RESERVE_SHARE


class Patient:
    """A service on a disk that is about to fail, and what it acknowledged."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.admin = Wire(service.url, token=service.admin_token)
        self.stored: dict[str, int] = {}
        self.answered: list[str] = []
        self._numbers = count()

    def write(self) -> Answer:
        """Write one secret."""
        number = next(self._numbers)
        path = f"disk/{number}"
        answer = self.admin.ask("POST", "/secrets/store", {"path": path, "data": {"n": number, "fill": "x" * 2000}})
        if answer.status == 200:
            self.stored[path] = number
        return self._note(answer)

    def read(self) -> Answer:
        """Read one secret."""
        return self._note(self.admin.ask("GET", "/secrets/disk/0"))

    def _note(self, answer: Answer) -> Answer:
        if answer.status == 200:
            self.answered.append(answer.headers["x-request-id"])
        return answer

    def ready(self) -> Answer:
        """Ask whether it is ready."""
        return self.admin.ask("GET", "/health/ready")

    def assert_ill(self, *words: str) -> None:
        """Check that nothing is answered that is not recorded, and that its health tells why."""
        for call in (self.write, self.read):
            refused = next((each for each in (call() for _ in range(TRIES)) if each.status != 200), None)
            assert refused is not None, "it goes on as if nothing were"
            assert_refused(refused, 503)
            assert refused.headers["retry-after"]
            assert refused.json()["code"] in ("storage_unavailable", "audit_unavailable")
        wait_until(lambda: self.ready().status == 503, "it says that it is ready")
        told = self.ready().json()
        assert told["status"] == "not_ready"
        assert any(word in " ".join(told["reasons"]) for word in words), told
        assert done(self.admin.ask("GET", "/health"))["status"] == "degraded"
        assert self.admin.ask("GET", "/health/live").status == 200

    def assert_well(self) -> None:
        """Check that it recovers by itself, with everything that it ever acknowledged."""
        wait_until(lambda: self.ready().status == 200, f"it does not recover: {self.ready().body!r}")
        done(self.write())
        done(self.read())
        for path, number in self.stored.items():
            assert done(self.admin.ask("GET", f"/secrets/{path}"))["data"]["n"] == number
        wait_until_recorded(self.admin, self.answered)


@pytest.fixture
def patient(disk: Disk, tmp_path: Path) -> Iterator[Patient]:
    """A service with two workers, its data on a small disk."""
    assert disk.path == tmp_path / "security"
    found = Patient(start(tmp_path, TRADEWARDEN_WORKERS="2"))
    for _ in range(20):
        done(found.write())
    yield found
    found.admin.close()
    stop(found.service)


async def test_a_full_disk_stops_answers_and_freeing_it_is_enough(patient: Patient, disk: Disk) -> None:
    """On a full disk writes and reads are 503 and health says why; room again is all it needs, and nothing is lost."""
    disk.fill()
    patient.assert_ill("full", "cannot be written")
    disk.free_up()
    patient.assert_well()
    kept, key = keep_checkpoint(patient.admin)
    assert stop(patient.service) == 0
    report = await verified(live_path(patient.service), key, kept)
    assert report.ok, report.problems


def test_the_last_room_is_kept_for_those_who_are_proven(patient: Patient, disk: Disk) -> None:
    """Before the disk is full, strangers are turned away unrecorded, while proven callers read and write on."""
    with Wire(patient.service.url, source="127.0.0.21") as stranger:
        assert_refused(stranger.ask("GET", "/secrets/x"), 401)
        disk.fill(leave=RESERVE * 3 // 4)
        wait_until(lambda: stranger.ask("GET", "/secrets/x").status == 429, "strangers go on writing into the log")
        refused = {assert_refused(stranger.ask("GET", "/secrets/x"), 429) for _ in range(50)}
        done(patient.write())
        done(patient.read())
        assert patient.ready().status == 200
        disk.free_up()
        wait_until(lambda: stranger.ask("GET", "/secrets/x").status == 401, "strangers stay turned away")
    patient.assert_well()
    assert not refused & {each["request_id"] for each in all_events(patient.admin)}


def test_files_that_cannot_be_written_stop_answers_until_they_can(patient: Patient, disk: Disk) -> None:
    """When every write is refused, open files included, nothing is answered; when they work again, all goes on."""
    disk.freeze()
    try:
        patient.assert_ill("cannot be written", "cannot be used", "readonly", "read-only", "disk")
    finally:
        disk.thaw()
    patient.assert_well()


@pytest.mark.parametrize("place", [0, -1])
def test_a_process_that_dies_on_a_full_disk_has_a_successor_once_there_is_room(
    patient: Patient, disk: Disk, place: int
) -> None:
    """A worker or the clerk that dies meanwhile takes nobody with it; room again is all that its successor needs."""
    before = patient.service.children()
    disk.fill()
    os.kill(before[place], signal.SIGKILL)
    log = patient.service.log
    wait_until(lambda: "cannot start" in log.read_text(errors="replace"), "its successor starts on a full disk")
    time.sleep(3)  # several starts more
    assert patient.service.process.poll() is None
    disk.free_up()
    wait_until(lambda: "could not start has started" in log.read_text(errors="replace"), "it has no successor", 20)
    assert log.read_text(errors="replace").count("it is tried again until it can") == 1
    patient.admin.close()  # it may have been the dead worker's
    patient.admin = Wire(patient.service.url, token=patient.service.admin_token)
    patient.assert_well()


def test_a_disk_that_turned_read_only_is_told_and_a_repair_brings_all_back(
    patient: Patient, disk: Disk, tmp_path: Path
) -> None:
    """When the kernel makes the disk read-only, health says so; mounted again, nothing acknowledged is missing."""
    disk.abort()
    patient.assert_ill("read-only", "cannot be written", "Read-only")
    patient.admin.close()
    patient.service.kill_tree()
    disk.unmount()
    disk.mount()
    patient.service = start(tmp_path, TRADEWARDEN_WORKERS="2")
    patient.admin = Wire(patient.service.url, token=patient.service.admin_token)
    patient.assert_well()


def test_a_lock_of_somebody_else_loses_no_answered_read(tmp_path: Path) -> None:
    """While another program locks the database for longer than we wait, reads are answered, and in the log after."""
    patient = Patient(start(tmp_path, TRADEWARDEN_WORKERS="1"))
    try:
        done(patient.write())
        log = patient.service.log
        with closing(sqlite3.connect(live_path(patient.service), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            wait_until(lambda: done(patient.read()) and "falls behind" in log.read_text(), "nothing waits", 30)
            other.execute("ROLLBACK")
        done(patient.read())
        patient.assert_well()
        assert not [event for event in all_events(patient.admin) if event["action"].startswith("audit.")]
    finally:
        patient.admin.close()
        stop(patient.service)


@pytest.mark.parametrize("streams", ["2> /dev/full", "> /dev/full 2>&1", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_start_needs_no_place_to_write_its_log(tmp_path: Path, streams: str) -> None:
    """With its output full or closed a service starts, answers, and ends in order."""
    port = str(free_port())
    environment = {
        **bare_environment(),
        "TRADEWARDEN_DATA_DIR": str(tmp_path / "security"),
        "SERVICE_PORT": port,
        "TRADEWARDEN_MTLS_PORT": "0",
    }
    started = subprocess.Popen(["sh", "-c", f'exec "{PROGRAM}" serve {streams}'], cwd=tmp_path, env=environment)

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False).is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(lambda: answers() or started.poll() is not None, "it does not come up", 30)
        assert started.poll() is None
    finally:
        started.terminate()
        code = started.wait(30)
    assert code == 0

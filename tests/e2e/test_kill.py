"""SIGKILL at any instant: what was acknowledged stands whole, with its entry; what was answered is in the log."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import PROGRAM, Service, start, stop, wait_until
from tests.support.trial import all_events, done, keep_checkpoint, live_path, verified
from tests.support.wire import Wire

ROUNDS = 30
CLIENTS = 4
PATHS = 4
KEPT = 10
"""Versions that the service keeps of one secret (TRADEWARDEN_MAX_VERSIONS)."""
LOAD_SECONDS = (0.1, 0.5)

pytestmark = [pytest.mark.crash, pytest.mark.slow]


class Client(threading.Thread):
    """Writes and reads its own secrets until its connection breaks, and remembers every answer."""

    def __init__(self, service: Service, number: int, known: dict[str, list[dict[str, Any]]], seed: int) -> None:
        super().__init__(name=f"client-{number}")
        self.answered: list[str] = []
        self.under_way: tuple[str, dict[str, Any]] | None = None
        self.failure: BaseException | None = None
        self.stop = threading.Event()
        self._wire = Wire(service.url, token=service.admin_token)
        self._paths = [f"kill/{number}/{each}" for each in range(PATHS)]
        self._known = known
        self._random = random.Random(seed)

    def run(self) -> None:
        """Go on until the connection is lost; anything but that is a failure."""
        try:
            while not self.stop.is_set():
                self._once(self._random.choice(self._paths))
        except OSError:
            pass
        except BaseException as error:  # noqa: BLE001 - told by the test, which waits for this thread
            self.failure = error
        finally:
            self._wire.close()

    def _once(self, path: str) -> None:
        versions = self._known.setdefault(path, [])
        if versions and self._random.random() < 0.5:
            answer = self._wire.ask("GET", f"/secrets/{path}")
            assert done(answer)["data"] == versions[-1]
        else:
            value = {"n": len(versions) + 1, "fill": self._random.randbytes(self._random.randrange(400)).hex()}
            self.under_way = path, value
            answer = self._wire.ask("POST", "/secrets/store", {"path": path, "data": value, "cas": len(versions)})
            assert done(answer)["version"] == value["n"]
            versions.append(value)
            self.under_way = None
        self.answered.append(answer.headers["x-request-id"])


class Victim:
    """The service, and all that it has acknowledged in any of its lives."""

    def __init__(self, directory: Path) -> None:
        self.service = start(directory, TRADEWARDEN_WORKERS="2")
        self.known: dict[str, list[dict[str, Any]]] = {}
        self.answered: list[str] = []
        self.lost_in_flight = 0

    def load(self, seed: int) -> list[Client]:
        """Put clients to work."""
        clients = [Client(self.service, number, self.known, seed * 100 + number) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        return clients

    def settle(self, clients: list[Client]) -> None:
        """Wait for the clients, and compare what they know with what stands."""
        for client in clients:
            client.stop.set()
            client.join(20)
            assert client.failure is None, client.failure
            self.answered += client.answered
        with Wire(self.service.url, token=self.service.admin_token) as admin:
            for client in clients:
                if client.under_way:
                    self._adopt(admin, *client.under_way)
            for path, versions in self.known.items():
                if versions:
                    self._compare(admin, path, versions)

    def _adopt(self, admin: Wire, path: str, value: dict[str, Any]) -> None:
        """A write that was not acknowledged may stand, whole, or not at all."""
        answer = admin.ask("GET", f"/secrets/{path}?version={value['n']}")
        if answer.status == 200:
            assert answer.json()["data"] == value
            self.known[path].append(value)
        else:
            self.lost_in_flight += 1
            assert answer.status == 404, answer.body

    def _compare(self, admin: Wire, path: str, versions: list[dict[str, Any]]) -> None:
        current = done(admin.ask("GET", f"/secrets/{path}"))
        assert (current["version"], current["data"]) == (len(versions), versions[-1])
        for version in range(max(1, len(versions) - KEPT + 1), len(versions)):
            answer = admin.ask("GET", f"/secrets/{path}?version={version}")
            assert done(answer)["data"] == versions[version - 1]


def kill_child(service: Service, pid: int) -> None:
    """End one child with SIGKILL; the supervisor makes another."""
    before = service.children()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in service.children() and len(service.children()) == len(before), "no successor")


def test_nothing_acknowledged_is_lost_whenever_it_is_killed(tmp_path: Path) -> None:
    """Thirty kills at random instants lose no acknowledged write, no answered read's entry, and break no log."""
    chance = random.Random(20260115)
    victim = Victim(tmp_path)
    kept, key = b"", b""
    for number in range(ROUNDS):
        clients = victim.load(number)
        time.sleep(chance.uniform(*LOAD_SECONDS))  # the instant is random: there is nothing to wait for
        service = victim.service
        if number % 5 == 3:
            kill_child(service, chance.choice(service.children()))
        elif number % 5 == 4:
            service.kill_supervisor()
            victim.service = service.again()
        else:
            service.kill_tree()
            victim.service = service.again()
        victim.settle(clients)
        if number == ROUNDS // 2:
            with Wire(victim.service.url, token=victim.service.admin_token) as admin:
                kept, key = keep_checkpoint(admin)

    service = victim.service
    assert len(victim.answered) > ROUNDS * CLIENTS * 5, "there was no load to speak of"
    with Wire(service.url, token=service.admin_token) as admin:
        missing = set(victim.answered)

        def all_there() -> bool:
            missing.difference_update([each["request_id"] for each in all_events(admin)])
            return not missing

        wait_until(all_there, f"{len(missing)} answered requests are not in the log", 30)
        size = max(each["sequence"] for each in all_events(admin))
        wait_until(lambda: int(keep_checkpoint(admin)[0].split(b"\n")[1]) > size, "the log is not signed")
    assert stop(service) == 0
    report = asyncio.run(verified(live_path(service), key, kept))
    assert report.ok, report.problems
    assert report.size > size
    verify = [str(PROGRAM), "audit", "verify"]
    told = subprocess.run(verify, env=service.environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr

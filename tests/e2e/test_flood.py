"""A flood of strangers: the log neither fills nor blocks, and those who are proven go on as if nothing were."""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import Service, start, stop, wait_until
from tests.support.trial import all_events, assert_refused, done
from tests.support.wire import Wire
from tradewarden.audit.flood import WINDOW_SECONDS
from tradewarden.http.room import MAX_UNFINISHED

FLOODERS = 4
CALLS = 1500
LIMIT = 100
"""Anonymous calls a second that one worker records of one address (TRADEWARDEN_RATE_LIMITS)."""
WORKERS = 2
FLOODED, CROWD, VISITOR, HOLDER = "127.0.0.31", "127.0.0.32", "127.0.0.33", "127.0.0.34"
HEADS = 2400
"""More than both workers have room for (TRADEWARDEN_MAX_CONCURRENCY)."""
UNFIT = (("/tokens/refresh", b'{"other":1}'), ("/credentials/renew", b'{"csr":"x","certificate":"y","proof":"z"}'))

pytestmark = pytest.mark.slow


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with two workers and the limits that it has by itself."""
    running = start(tmp_path, TRADEWARDEN_WORKERS=str(WORKERS))
    yield running
    assert stop(running) == 0


class Flooder(threading.Thread):
    """Sends bad calls, some with a body that is unfit as a proof, as fast as they are answered; counts the answers."""

    def __init__(self, service: Service, number: int) -> None:
        super().__init__()
        self.statuses: Counter[int] = Counter()
        self.failure: BaseException | None = None
        self._url = service.url
        self._token = ("", "no.token.atall", "twa_wrong")[number % 3]

    def run(self) -> None:
        """Send them all."""
        try:
            with Wire(self._url, token=self._token, source=FLOODED) as wire:
                for number in range(CALLS):
                    if self._token or number % 2:
                        answer = wire.ask("GET", ("/secrets/x", "/nowhere", "/tokens")[number % 3])
                    else:
                        answer = wire.ask("POST", *UNFIT[number // 2 % 2])
                    assert_refused(answer, 400, 401, 404, 429)
                    if answer.status == 429:
                        assert int(answer.headers["retry-after"]) >= 1
                    self.statuses[answer.status] += 1
        except BaseException as error:  # noqa: BLE001 - told by the test, which waits for this thread
            self.failure = error


def latencies(wires: list[Wire], flooders: list[Flooder]) -> list[float]:
    """Return how long each call of proven callers took while the flood lasted."""
    taken = []
    while any(each.is_alive() for each in flooders):
        for wire in wires:
            began = time.perf_counter()
            done(wire.ask("GET", "/secrets/calm"))
            taken.append(time.perf_counter() - began)
    return taken


def of(entries: list[Mapping[str, Any]], address: str, action: str) -> list[Mapping[str, Any]]:
    """Return the entries of one address and action."""
    return [each for each in entries if each["ip_address"] == address and each["action"] == action]


def closed(entries: list[Mapping[str, Any]], address: str, action: str) -> int:
    """Return how many calls the entries at the ends of windows count."""
    return sum(each.get("count", 1) for each in of(entries, address, action) if "in this window" in each["reason"])


def test_a_flood_is_counted_and_hurts_nobody_who_is_proven(service: Service) -> None:
    """Thousands of bad calls from one address leave a bounded number of entries; good ones pass, from there too."""
    with (
        Wire(service.url, token=service.admin_token, source=CROWD) as admin,
        Wire(service.url, token=service.admin_token, source=FLOODED) as neighbour,
        Wire(service.url, source=VISITOR) as visitor,
    ):
        done(admin.ask("POST", "/secrets/store", {"path": "calm", "data": {}}))
        flooders = [Flooder(service, number) for number in range(FLOODERS)]
        began = time.monotonic()
        for each in flooders:
            each.start()
        taken = latencies([admin, neighbour], flooders)
        seconds = time.monotonic() - began
        statuses: Counter[int] = Counter()
        for each in flooders:
            each.join()
            assert each.failure is None, each.failure
            statuses += each.statuses
        for _ in range(300):
            assert visitor.ask("GET", "/health/live").status == 200
        found: list[Mapping[str, Any]] = []

        def counted() -> bool:
            found[:] = all_events(admin)
            return closed(found, FLOODED, "throttle") >= statuses[429] and closed(found, VISITOR, "visit") >= 300

        wait_until(counted, "what was throttled is not counted in the log", 2 * WINDOW_SECONDS + 5)

    assert statuses.total() == FLOODERS * CALLS
    assert statuses[429] > statuses.total() / 2, statuses
    bound = WORKERS * LIMIT * (seconds + 2)
    written = [each for each in found if each["ip_address"] == FLOODED and each["user"] == "anonymous:"]
    windows = 2 * WORKERS * (seconds / WINDOW_SECONDS + 2)
    assert len(written) <= bound + windows, (len(written), seconds)
    assert statuses[400] > 0
    assert statuses[400] + statuses[401] + statuses[404] <= bound
    assert closed(found, FLOODED, "throttle") == statuses[429]
    assert closed(found, VISITOR, "visit") == 300
    assert len(of(found, VISITOR, "visit")) <= 2 * WORKERS
    assert len(taken) > 50
    assert statistics.median(taken) < 0.05, "proven callers wait"
    assert statistics.quantiles(taken, n=20)[-1] < 0.25, "some proven callers wait"


def promise(service: Service, path: str) -> socket.socket:
    """Connect and send a head whose body does not come."""
    connection = socket.create_connection(("127.0.0.1", service.port), 10, (HOLDER, 0))
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: 100\r\n\r\n".encode())
    return connection


def answered(held: list[socket.socket]) -> list[socket.socket]:
    """Return the connections that there is something to read on."""
    poll = select.poll()
    for each in held:
        poll.register(each, select.POLLIN)
    ready = {number for number, _ in poll.poll(0)}
    return [each for each in held if each.fileno() in ready]


def test_bodies_that_never_come_take_nobodys_room(service: Service) -> None:
    """With more unfinished calls of strangers than there is room for, those who are proven are answered at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * HEADS)), hard))
    most = WORKERS * MAX_UNFINISHED
    with contextlib.ExitStack() as stack, Wire(service.url, token=service.admin_token, source=CROWD) as admin:
        done(admin.ask("POST", "/secrets/store", {"path": "calm", "data": {}}))
        paths = ("/tokens/refresh", "/credentials/enroll")
        held = [stack.enter_context(promise(service, paths[number % 2])) for number in range(HEADS)]
        began = time.perf_counter()
        for _ in range(20):
            done(admin.ask("GET", "/secrets/calm"))
        assert time.perf_counter() - began < 5, "proven callers wait"
        wait_until(lambda: len(answered(held)) >= HEADS - most, "strangers hold more than they may")
        assert {each.recv(12) for each in answered(held)} == {b"HTTP/1.1 429"}
    with Wire(service.url, token=service.admin_token, source=CROWD) as admin:
        found: list[Mapping[str, Any]] = []

        def told() -> bool:
            found[:] = all_events(admin)
            return len(single(found)) + closed(found, HOLDER, "throttle") >= HEADS

        wait_until(told, "what was refused is not counted in the log", 2 * WINDOW_SECONDS + 5)
    assert len(single(found)) <= most
    assert len(single(found)) + closed(found, HOLDER, "throttle") == HEADS


def single(entries: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the entries of one unfinished call each."""
    return [each for each in entries if each["ip_address"] == HOLDER and each["action"] != "throttle"]

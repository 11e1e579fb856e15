"""A flood of strangers: the log neither fills nor blocks, and those who are proven go on as if nothing were."""

from __future__ import annotations

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

FLOODERS = 4
CALLS = 1500
LIMIT = 100
"""Anonymous calls a second that one worker records of one address (TRADEWARDEN_RATE_LIMITS)."""
WORKERS = 2
FLOODED, CROWD, VISITOR = "127.0.0.31", "127.0.0.32", "127.0.0.33"

pytestmark = pytest.mark.slow


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with two workers and the limits that it has by itself."""
    running = start(tmp_path, TRADEWARDEN_WORKERS=str(WORKERS))
    yield running
    assert stop(running) == 0


class Flooder(threading.Thread):
    """Sends bad calls as fast as they are answered, and counts the answers."""

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
                    answer = wire.ask("GET", ("/secrets/x", "/nowhere", "/tokens")[number % 3])
                    assert_refused(answer, 401, 404, 429)
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
    assert statuses[401] + statuses[404] <= bound
    assert closed(found, FLOODED, "throttle") == statuses[429]
    assert closed(found, VISITOR, "visit") == 300
    assert len(of(found, VISITOR, "visit")) <= 2 * WORKERS
    assert len(taken) > 50
    assert statistics.median(taken) < 0.05, "proven callers wait"
    assert statistics.quantiles(taken, n=20)[-1] < 0.25, "some proven callers wait"

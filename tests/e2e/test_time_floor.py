"""A real service whose machine's clock is set back, and one whose clock ran years ahead."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.moved_time import MovedTime
from tests.support.service import Service, free_port, start, stop, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DAY = 86_400.0
TTL = 30


@pytest.fixture
def clock(tmp_path: Path) -> MovedTime:
    """The clock of the machine that the service runs on."""
    return MovedTime(tmp_path)


@pytest.fixture
def begin(tmp_path: Path, clock: MovedTime) -> Iterator[Callable[[], Service]]:
    """Start the service of this test, and again; nothing of it is left in the end."""
    settings = {**clock.environment, "SERVICE_PORT": str(free_port()), "TRADEWARDEN_WORKERS": "2"}
    started: list[Service] = []

    def begun() -> Service:
        started.append(start(tmp_path, **settings))
        return started[-1]

    yield begun
    for service in started:
        stop(service)


def call(service: Service, method: str, path: str, **arguments: object) -> httpx.Response:
    """Call as the admin."""
    headers = {"authorization": f"Bearer {service.admin_token}"}
    return httpx.request(method, f"{service.url}{path}", headers=headers, trust_env=False, **arguments)  # type: ignore[arg-type]


def good(service: Service, token: str) -> bool:
    """Tell whether a token counts."""
    answer = call(service, "POST", "/oauth2/introspect", data={"token": token})
    return bool(answer.raise_for_status().json()["active"])


def ready(service: Service) -> tuple[int, list[str]]:
    """Return the answer's status and what is said of the clock."""
    answer = httpx.get(f"{service.url}/health/ready", trust_env=False)
    return answer.status_code, [each for each in answer.json().get("warnings", []) if each.startswith("clock:")]


def floor(service: Service) -> float:
    """Return what is stored."""
    with sqlite3.connect(f"file:{service.data_dir}/secrets/tradewarden.db?mode=ro", uri=True) as database:
        return float((database.execute("SELECT seconds FROM time_floor").fetchone() or (0.0,))[0])


@pytest.mark.slow
def test_a_token_that_expired_stays_expired(clock: MovedTime, begin: Callable[[], Service]) -> None:
    """While it runs and after a kill -9 and a restart with the clock a day back; the service says it and goes on."""
    service = begin()
    issued = {"service_name": "bot", "permissions": ["read"], "ttl_seconds": TTL}
    token = call(service, "POST", "/tokens/generate", json=issued).raise_for_status().json()["token"]
    assert good(service, token)
    clock.move(TTL + 15.0)  # a small step on: believed and stored
    assert not good(service, token)
    ended = time.time() + TTL + 1.0
    wait_until(lambda: floor(service) > ended, "the floor is not raised", 20.0)

    clock.move(-DAY)
    assert not good(service, token)
    wait_until(lambda: b"this machine's clock is 1 day" in service.log.read_bytes(), "the log does not say it")
    service.kill_tree()

    service = begin()
    assert not good(service, token)
    status, (told,) = ready(service)
    assert status == 200
    assert "1 day" in told
    assert "tradewarden admin reset-time-floor" in told
    shown = service.run("status")
    assert shown.returncode == 0
    assert "this machine's clock is 1 day" in shown.stdout
    metrics = httpx.get(f"{service.url}/metrics", trust_env=False).text
    behind = next(line for line in metrics.splitlines() if line.startswith("tradewarden_clock_behind_seconds "))
    assert DAY < float(behind.split()[1]) < DAY + 120
    new = call(service, "POST", "/tokens/generate", json=issued).raise_for_status().json()["token"]
    assert good(service, new)
    clock.move(TTL + 15.0)
    wait_until(lambda: ready(service) == (200, []), "a clock that is right again is still complained about")
    assert stop(service) == 0
    said = [line for line in service.log.read_text().splitlines() if "this machine's clock is 1 day" in line]
    assert len(said) == 2  # once a life


def test_a_clock_that_started_years_ahead_leaves_nothing(clock: MovedTime, begin: Callable[[], Service]) -> None:
    """A machine without its battery starts years ahead and is set right: one restart, and all is as before."""
    service = begin()
    wait_until(lambda: floor(service) > 0.0, "the floor is not stored")
    assert stop(service) == 0
    clock.move(400 * DAY)
    service = begin()
    clock.move(0.0)
    wait_until(lambda: "restart the service" in "".join(ready(service)[1]), "readiness does not say it")
    assert stop(service) == 0
    assert floor(service) < time.time() + 60
    service = begin()
    assert ready(service) == (200, [])
    assert stop(service) == 0


def test_the_way_back_on_the_host(clock: MovedTime, begin: Callable[[], Service]) -> None:
    """The reset asks, refuses when nothing is to be reset, and is recorded; the next start goes by the machine."""
    clock.move(400 * DAY)  # at a first start there is nothing to doubt it by
    service = begin()
    assert stop(service) == 0
    assert floor(service) > time.time() + 399 * DAY
    refused = service.run("admin", "reset-time-floor", "--yes")
    assert (refused.returncode, "not ahead" in refused.stderr) == (5, True)
    clock.move(0.0)
    asked = service.run("admin", "reset-time-floor")
    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    assert floor(service) > time.time() + 399 * DAY
    done = service.run("admin", "reset-time-floor", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["now"] < json.loads(done.stdout)["before"]
    assert floor(service) < time.time() + 1
    assert "restart it" in done.stderr
    service = begin()
    assert ready(service) == (200, [])

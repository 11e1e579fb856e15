"""The service with ENABLE_VAULT=true: secrets go to Vault, over HTTP, through its outage and back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.service import PROGRAM, Service, start, stop, wait_until
from tests.support.vault import Place, program, served
from tests.support.vault_standin import standing_in


class Outside(NamedTuple):
    """A Vault beside the service, and how it goes away and comes back."""

    place: Place
    leave: Callable[[], object]
    come_back: Callable[[], object]


@pytest.fixture(params=["standin", "real"])
def outside(request: pytest.FixtureRequest) -> Iterator[Outside]:
    """A stand-in that is sealed, and a real server that is killed and starts again."""
    if request.param == "standin":
        with standing_in() as standin:
            yield Outside(
                standin.place, lambda: setattr(standin, "sealed", True), lambda: setattr(standin, "sealed", False)
            )
        return
    program()
    with served() as server:

        def restart() -> None:
            server.start()
            server.unseal()

        yield Outside(server.place, server.kill, restart)


class Caller:
    """An admin of the service."""

    def __init__(self, service: Service) -> None:
        headers = {"Authorization": f"Bearer {service.admin_token}"}
        self._client = httpx.Client(base_url=service.url, headers=headers, trust_env=False, timeout=20)

    def __call__(self, method: str, path: str, body: object = None, status: int = 200) -> Any:  # noqa: ANN401 - JSON
        """Call it and return the answer."""
        answer = self._client.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def metrics(self) -> str:
        """Return its metrics."""
        return self._client.get("/metrics").text

    def events(self, resource: str) -> list[tuple[str, str, str]]:
        """Return action, result and reason of what happened to a secret, oldest first."""
        found = self("GET", f"/audit/events?resource={resource}&limit=100")["events"]
        return [(each["action"], each["result"], each.get("reason", "")) for each in reversed(found)]


def test_secrets_live_in_vault_through_its_outage(outside: Outside, tmp_path: Path) -> None:
    """Stored, read, listed, rolled back and deleted there; while it is away writes fail and reads are stale, marked."""
    vault = {"VAULT_URL": outside.place.url, "VAULT_TOKEN": outside.place.root}
    service = start(tmp_path, ENABLE_VAULT="true", **vault)
    try:
        with closing(Caller(service)) as call:
            _use(call, outside, service)
    finally:
        stop(service)
    log = service.log.read_text()
    assert outside.place.root not in log
    assert "hunter" not in log


def _use(call: Caller, outside: Outside, service: Service) -> None:
    path = "desk/binance"
    assert call("GET", "/health")["components"]["vault"] is True
    for number in (1, 2):
        stored = call("POST", "/secrets/store", {"path": path, "data": {"password": f"hunter{number}"}})
        assert stored["version"] == number
    kept = outside.place.ask("GET", f"secret/data/alphapulse/{path}")["data"]["data"]
    assert kept == {"password": "hunter2"}  # the operator sees it in Vault, under the documented name
    fresh = call("GET", f"/secrets/{path}")
    assert (fresh["data"], fresh["version"]) == ({"password": "hunter2"}, 2)
    assert "stale" not in fresh
    assert call("POST", "/secrets/rollback", {"path": path, "version": 1})["version"] == 3
    assert call("DELETE", f"/secrets/{path}")["versions"] == [3]
    assert "not found" in call("GET", f"/secrets/{path}", status=404)["detail"]
    call("POST", "/secrets/undelete", {"path": path, "versions": [3]})
    assert call("GET", f"/secrets/{path}")["data"] == {"password": "hunter1"}
    assert call("GET", "/secrets?prefix=desk/")["keys"] == [path]
    assert _typed(service, path) == ("hunter1\n", False)
    conflict = call("POST", "/secrets/store", {"path": path, "data": {}, "cas": 1}, status=409)
    assert conflict["code"] == "conflict"

    outside.leave()
    refused = call("POST", "/secrets/store", {"path": path, "data": {"password": "hunter4"}}, status=503)
    assert refused["code"] == "provider_unavailable"
    stale = call("GET", f"/secrets/{path}")
    assert (stale["data"], stale["stale"], stale["stale_since"][-1]) == ({"password": "hunter1"}, True, "Z")
    assert _typed(service, path) == ("hunter1\n", True)
    call("GET", "/secrets/desk/unknown", status=503)
    call("GET", "/secrets?prefix=desk/", status=503)
    wait_until(lambda: not call("GET", "/health")["components"]["vault"], "health does not see that Vault is away")
    assert any("vault: " in each for each in call("GET", "/health/ready", status=503)["reasons"])

    outside.come_back()
    wait_until(lambda: "stale" not in call("GET", f"/secrets/{path}"), "the service does not find Vault again")
    assert call("POST", "/secrets/store", {"path": path, "data": {"password": "hunter5"}})["version"] == 4
    wait_until(lambda: call("GET", "/health")["components"]["vault"], "health does not see that Vault is back")
    _require_told(call, path)


def _typed(service: Service, path: str) -> tuple[str, bool]:
    """Return what the command line prints of a secret, and whether it says that it is stale."""
    command = [str(PROGRAM), "secrets", "get", path, "--field", "password"]
    done = subprocess.run(command, env=service.environment, capture_output=True, text=True, check=True)
    return done.stdout, "stale: Vault cannot be reached" in done.stderr


def _require_told(call: Caller, path: str) -> None:
    """Check that the log has an intent before each change, the outage and what was stale; and the metrics too."""
    wait_until(lambda: ("write", "success", "version 4 in Vault") in call.events(path), "the entries do not come")
    events = call.events(path)
    changes = [each for each in events if each[0].startswith(("write", "delete"))]
    assert [action for action, _, _ in changes] == [
        *["write.intent", "write"] * 3,  # two stored, one rolled back
        *["delete.intent", "delete"],
        *["write.intent", "write"] * 4,  # undeleted, conflict, unavailable, stored
    ]
    assert [result for action, result, _ in changes if action == "write"] == [
        *["success"] * 4,
        "failure",
        "failure",
        "success",
    ]
    stale = [reason for action, result, reason in events if (action, result) == ("read", "success") and reason]
    assert stale
    assert all(reason.startswith("stale: version 3 as of ") for reason in stale)
    text = call.metrics()
    counted = {
        line.split('"')[1]: float(line.split()[1])
        for line in text.splitlines()
        if line.startswith("tradewarden_vault_uses_total{")
    }
    assert counted["stale"] == len(stale)
    assert counted["conflict"] == 1
    assert counted["unavailable"] >= 3

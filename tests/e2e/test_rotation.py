"""Rotation of secrets in a running service: over HTTP, by itself, and through the death of the service."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support import service as services
from tests.support.service import Service, start, stop, wait_until
from tests.support.stuck_service import program
from tests.support.trial import admin, all_events, assert_refused, done, trial, wait_until_recorded
from tests.support.wire import ClosedError, Wire

__all__ = ["admin", "trial"]


def policy(wire: Wire, path: str, **fields: object) -> Any:  # noqa: ANN401 - whatever the call answers
    """Write a policy for random passwords."""
    body = {"path": path, "kind": "random", "parameters": {"make": "password"}, "automatic": False, **fields}
    return done(wire.ask("POST", "/rotations/policies", body))


def value(wire: Wire, path: str) -> Any:  # noqa: ANN401 - whatever the call answers
    """Read a secret."""
    return done(wire.ask("GET", f"/secrets/{path}"))


def test_a_secret_is_rotated_over_http(admin: Wire) -> None:
    """A policy is written, listed, run and removed; the new version is current and the old one the one before."""
    path = "rotation/http"
    done(admin.ask("POST", "/secrets/store", {"path": path, "data": {"user": "app", "password": "old"}}))
    assert policy(admin, path, every_seconds=3600)["automatic"] is False
    answer = admin.ask("POST", "/rotations/run", {"path": path})
    found = done(answer)
    assert (found["version"], found["previous_version"], found["resumed"]) == (2, 1, False)
    assert value(admin, path)["data"]["user"] == "app"
    assert value(admin, path)["data"]["password"] != "old"
    previous = done(admin.ask("GET", f"/secrets/{path}?stage=previous"))
    assert (previous["version"], previous["data"]["password"]) == (1, "old")
    assert_refused(admin.ask("GET", f"/secrets/{path}?stage=previous&version=1"), 400)
    assert_refused(admin.ask("GET", f"/secrets/{path}?stage=previous&metadata=true"), 400)
    listed = done(admin.ask("GET", "/rotations?prefix=rotation/"))["rotations"]
    assert [(each["path"], each["state"], each["current_version"]) for each in listed] == [(path, "idle", 2)]
    assert done(admin.ask("GET", "/rotations?prefix=rotation/&due=true"))["rotations"] == []
    request_id = answer.headers["x-request-id"]
    wait_until_recorded(admin, [request_id])
    events = [each for each in all_events(admin) if each["request_id"] == request_id]
    assert len(events) == 7
    assert {each["event_type"] for each in events} == {"secret_access"}
    assert done(admin.ask("DELETE", f"/rotations/policies/{path}"))["removed"]
    assert_refused(admin.ask("POST", "/rotations/run", {"path": path}), 404)


def test_the_right_to_rotate_is_scoped_by_path(trial: Service, admin: Wire) -> None:
    """A service that may rotate some paths rotates those, sees those, and no other."""
    for path in ("rotation/mine/a", "rotation/theirs/a"):
        policy(admin, path)
    done(admin.ask("POST", "/services", {"service_name": "rotator", "permissions": ["secrets:rotate:rotation/mine/*"]}))
    token = done(admin.ask("POST", "/tokens/generate", {"service_name": "rotator"}))["token"]
    with Wire(trial.url, token=token) as wire:
        assert done(wire.ask("POST", "/rotations/run", {"path": "rotation/mine/a"}))["version"] == 1
        assert_refused(wire.ask("POST", "/rotations/run", {"path": "rotation/theirs/a"}), 403)
        assert_refused(wire.ask("POST", "/rotations/abandon", {"path": "rotation/theirs/a"}), 403)
        assert_refused(wire.ask("DELETE", "/rotations/policies/rotation/theirs/a"), 403)
        assert_refused(wire.ask("GET", "/secrets/rotation/mine/a"), 403)
        assert_refused(wire.ask("POST", "/rotations/compromised", {"service_name": "rotator"}), 403)
        listed = done(wire.ask("GET", "/rotations"))["rotations"]
    assert [each["path"] for each in listed] == ["rotation/mine/a"]


def test_what_is_due_is_rotated_by_the_service_itself(admin: Wire) -> None:
    """A secret that its policy asks for and that is not there yet is made in the background."""
    path = "rotation/by-itself"
    policy(admin, path, every_seconds=86_400, automatic=True)
    wait_until(lambda: admin.ask("GET", f"/secrets/{path}").status == 200, "nothing was rotated")
    listed = done(admin.ask("GET", f"/rotations?prefix={path}"))["rotations"][0]
    wait_until(
        lambda: done(admin.ask("GET", f"/rotations?prefix={path}"))["rotations"][0]["state"] == "idle",
        "it did not end",
    )
    assert listed["current_version"] == 1
    assert "tradewarden_rotations_overdue" in admin.ask("GET", "/metrics").body.decode()


def test_what_a_service_has_seen_is_found_without_waiting(trial: Service, admin: Wire) -> None:
    """Reads that were answered a moment ago, by any worker, are rotated; the service gets no further."""
    paths = [f"rotation/seen/{number}" for number in range(6)]
    for path in paths:
        policy(admin, path)
        done(admin.ask("POST", "/secrets/store", {"path": path, "data": {"password": "old"}}))
    done(admin.ask("POST", "/services", {"service_name": "seer", "permissions": ["secrets:read:rotation/seen/*"]}))
    token = done(admin.ask("POST", "/tokens/generate", {"service_name": "seer"}))["token"]
    for path in paths[:5]:
        with Wire(trial.url, token=token) as wire:  # a new connection goes to whichever worker is free
            done(wire.ask("GET", f"/secrets/{path}"))
    assert_refused(admin.ask("GET", f"/secrets/{paths[5]}?stage=previous"), 404)
    found = done(admin.ask("POST", "/rotations/compromised", {"service_name": "seer"}))
    assert [each["path"] for each in found["rotated"]] == paths[:5]
    assert (found["seen"], found["by_hand"], found["next"]) == (5, [], None)
    assert found["ended"] == ["its client secret", "all of its tokens"]
    with Wire(trial.url, token=token) as wire:
        assert_refused(wire.ask("GET", f"/secrets/{paths[0]}"), 401)
    assert [value(admin, path)["version"] for path in paths] == [2] * 5 + [1]


@pytest.mark.parametrize(
    "body",
    [
        {"path": "rotation/x", "kind": "nothing"},
        {"path": "rotation/x", "kind": "random", "parameters": {"colour": "blue"}},
        {"path": "rotation/x", "kind": "random", "schedule": "whenever"},
        {"path": "rotation/x", "kind": "random", "every_seconds": 1},
        {"path": "rotation/../x", "kind": "random"},
        {"path": "rotation/x", "kind": "random", "parameters": {"a": 1}},
        {"path": "rotation/x"},
    ],
)
def test_a_policy_that_is_not_understood_is_refused(admin: Wire, body: dict[str, object]) -> None:
    """Mistakes in a policy are a 400 that says what is wrong."""
    assert_refused(admin.ask("POST", "/rotations/policies", body), 400)


@pytest.mark.crash
def test_a_rotation_survives_the_death_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle of a step, the service goes on there by itself after its next start."""
    monkeypatch.setattr(services, "PROGRAM", program(tmp_path))
    service = start(tmp_path)
    (tmp_path / "stuck").touch()
    path = "rotation/killed"
    with Wire(service.url, token=service.admin_token) as wire:
        done(wire.ask("POST", "/secrets/store", {"path": path, "data": {"password": "old"}}))
        policy(wire, path, every_seconds=86_400, automatic=True)
        run = threading.Thread(target=_run_until_killed, args=(service, path))
        run.start()
        wait_until((tmp_path / "entered").exists, "the step did not begin")
        assert value(wire, path)["data"] == {"password": "old"}
    service.kill_tree()
    run.join()
    (tmp_path / "stuck").unlink()
    service = service.again()
    try:
        with Wire(service.url, token=service.admin_token) as wire:
            wait_until(lambda: bool(value(wire, path)["version"] == 2), "the rotation did not go on")
            wait_until(lambda: _listed(wire, path)["state"] == "idle", "it did not end")
            assert value(wire, path)["data"] != {"password": "old"}
            wait_until(lambda: _told(wire, path, "finished") == 1, "its end is not in the log")
            assert _told(wire, path, "create is done") == 1
            assert _told(wire, path, "resumed before set") == 1
    finally:
        stop(service)


def _listed(wire: Wire, path: str) -> Any:  # noqa: ANN401 - whatever the call answers
    return done(wire.ask("GET", f"/rotations?prefix={path}"))["rotations"][0]


def _told(wire: Wire, path: str, words: str) -> int:
    """Return how many entries of a path say this."""
    return sum(words in str(each.get("reason", "")) for each in all_events(wire) if each["resource"] == path)


def _run_until_killed(service: Service, path: str) -> None:
    with Wire(service.url, token=service.admin_token) as wire, pytest.raises((ClosedError, ConnectionError)):
        wire.ask("POST", "/rotations/run", {"path": path})

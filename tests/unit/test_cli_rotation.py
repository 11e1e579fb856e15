"""`tradewarden secrets rotate`, `due` and `policy`: what is asked, what is shown, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import Cli, FakeService
from tradewarden.cli.exit_codes import ServiceProblemError

MOMENT = "2026-01-15T10:30:00.000000Z"
SHOWN = {
    "path": "database/app",
    "kind": "postgres",
    "parameters": {},
    "every_seconds": 7_776_000,
    "schedule": "sun 02:00-04:00",
    "automatic": True,
    "state": "stopped",
    "step": "set",
    "due": True,
    "due_at": MOMENT,
    "next_at": None,
    "last_at": None,
    "current_version": 1,
    "failures": 1,
    "reason": "the database does not answer",
    "waits": "stopped before step 'set'",
}
DONE = {"path": "database/app", "id": "1", "version": 2, "previous_version": 1, "resumed": False}
PART = {
    "service_name": "bot",
    "seen": 3,
    "ended": ["all of its tokens"],
    "rotated": [{"path": "a", "version": 2}],
    "by_hand": [],
    "next": None,
}


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Commands run in this process."""
    monkeypatch.chdir(tmp_path)
    return Cli(monkeypatch, capfd)


def fake(monkeypatch: pytest.MonkeyPatch, **answers: object) -> FakeService:
    """Stand in for the service; `POST_rotations_run` is the call `POST /rotations/run`."""
    calls = {name.replace("_", " /", 1).replace("_", "/"): answer for name, answer in answers.items()}
    return FakeService({call: json.dumps(answer).encode() for call, answer in calls.items()}).stand_in(monkeypatch)


def test_a_rotation_names_both_versions(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says which version is current and which is the one before."""
    service = fake(monkeypatch, POST_rotations_run=DONE)
    code, out, _ = cli("secrets", "rotate", "database/app")
    assert (code, out) == (0, "database/app: version 2 is current, version 1 is the one before\n")
    assert service.calls[0][1] == {"path": "database/app", "supplied": None, "urgent": None, "resume": None}


def test_supplied_values_come_from_a_file_or_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a guided rotation needs is read and sent, and stands nowhere in the output."""
    service = fake(monkeypatch, POST_rotations_run=DONE)
    code, out, err = cli("secrets", "rotate", "database/app", "--supply", "-", stdin='{"api_key": "k3y"}')
    assert code == 0
    assert bytes(service.calls[0][1]["supplied"]) == b'{"api_key":"k3y"}'  # type: ignore[call-overload]
    assert "k3y" not in out + err


def test_a_value_is_no_argument(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value on the command line is refused and not repeated."""
    fake(monkeypatch)
    code, out, err = cli("secrets", "rotate", "api_key=k3y")
    assert code == 2
    assert "k3y" not in out + err


def test_resuming_begins_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --resume a rotation must be under way."""
    service = fake(monkeypatch, GET_rotations={"rotations": [SHOWN], "next": None}, POST_rotations_run=DONE)
    assert cli("secrets", "rotate", "database/app", "--resume").code == 0
    service.answers["GET /rotations"] = json.dumps({"rotations": [{**SHOWN, "state": "idle"}], "next": None}).encode()
    code, _, err = cli("secrets", "rotate", "database/app", "--resume")
    assert code == 3
    assert "leave --resume out" in err


def test_abandoning_says_what_may_be_left(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Giving up shows the step and what to look at."""
    answer = {"path": "database/app", "step": "test", "current_version": 1, "advice": "Look there."}
    fake(monkeypatch, POST_rotations_abandon=answer)
    code, out, _ = cli("secrets", "rotate", "database/app", "--abandon")
    assert (code, out) == (0, "database/app: given up before step 'test'. Look there.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("a", "--seen-by", "bot"),
        ("--seen-by", "bot", "--resume"),
        ("a", "--abandon", "--resume"),
        ("--seen-by", "bot"),
        ("--seen-by", "No Name", "--yes"),
    ],
)
def test_what_does_not_go_together_is_refused(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """Options that contradict each other, and a grave step without --yes, end with 2 and ask for nothing."""
    service = fake(monkeypatch)
    assert cli("secrets", "rotate", *arguments).code == 2
    assert service.calls == []


def test_a_compromised_service_goes_on_until_all_is_done(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are asked for one after the other, and shown together."""
    parts = [{**PART, "next": "a"}, {**PART, "ended": [], "rotated": [{"path": "b", "version": 5}]}]
    service = fake(monkeypatch, POST_rotations_compromised=PART)
    monkeypatch.setattr(service, "post", lambda path, body: _next(service, parts, path, body))
    code, out, _ = cli("secrets", "rotate", "--seen-by", "bot", "--yes")
    assert code == 0
    assert out.splitlines() == [
        "bot: ended all of its tokens",
        "3 secrets seen, 2 rotated",
        "  rotated: a, version 2",
        "  rotated: b, version 5",
    ]
    assert [body["after"] for _, body in service.calls] == ["", "a"]


def _next(service: FakeService, parts: list[dict[str, object]], path: str, body: dict[str, object]) -> bytes:
    service.calls.append((path, body))
    return json.dumps(parts[len(service.calls) - 1]).encode()


def test_what_is_left_by_hand_shows_in_the_exit_code(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a person has something to do the command ends with 7 and names it."""
    left = [{"what": "exchange/binance", "why": "get a new key"}]
    fake(monkeypatch, POST_rotations_compromised={**PART, "by_hand": left})
    code, out, _ = cli("secrets", "rotate", "--seen-by", "bot", "--yes")
    assert code == 7
    assert "  by hand: exchange/binance: get a new key" in out
    code, out, _ = cli("secrets", "rotate", "--seen-by", "bot", "--yes", "--json")
    assert code == 7
    assert json.loads(out)["by_hand"] == left


def test_a_broken_off_day_says_how_to_go_on(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the service fails in between, the command to go on is on stderr."""
    service = fake(monkeypatch)
    first = json.dumps({**PART, "next": "a"}).encode()
    answers: list[bytes | ServiceProblemError] = [first, ServiceProblemError("not now", 503)]

    def post(path: str, body: dict[str, object]) -> bytes:
        del path, body
        answer = answers.pop(0)
        if isinstance(answer, ServiceProblemError):
            raise answer
        return answer

    monkeypatch.setattr(service, "post", post)
    code, _, err = cli("secrets", "rotate", "--seen-by", "bot", "--yes")
    assert code == 6
    assert "--seen-by bot --yes --after 'a'" in err


def test_due_has_an_exit_code_for_ci(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing due ends with 0, something with 7, in JSON too."""
    service = fake(monkeypatch, GET_rotations={"rotations": [], "next": None})
    assert cli("secrets", "due").out == "Nothing is due.\n"
    assert cli("secrets", "due", "--json").code == 0
    service.answers["GET /rotations"] = json.dumps({"rotations": [SHOWN], "next": None}).encode()
    code, out, _ = cli("secrets", "due")
    assert code == 7
    assert "the database does not answer" in out
    code, out, _ = cli("secrets", "due", "--json")
    assert code == 7
    assert json.loads(out)["rotations"][0]["path"] == "database/app"
    assert service.calls[-1][1]["due"] == "true"


def test_a_policy_is_written_from_options(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ages have units, parameters names, and the default for automatic is the rotator's."""
    service = fake(monkeypatch, POST_rotations_policies={"automatic": True})
    code, out, _ = cli(
        *("secrets", "policy", "set", "database/app", "--rotator", "random", "--every", "90d"),
        *("--at", "sun 02:00-04:00", "--with", "make=password", "--with", "fields=a=b"),
    )
    assert (code, out) == (0, "database/app: rotated by 'random', by itself\n")
    assert service.calls[0][1] == {
        "path": "database/app",
        "kind": "random",
        "parameters": {"make": "password", "fields": "a=b"},
        "every_seconds": 90 * 86_400,
        "schedule": "sun 02:00-04:00",
        "automatic": None,
    }


@pytest.mark.parametrize("options", [("--every", "often"), ("--with", "make"), ("--with", "a=1", "--with", "a=2")])
def test_options_of_a_policy_are_checked(cli: Cli, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]) -> None:
    """What is not understood is refused with the option's name."""
    fake(monkeypatch)
    code, _, err = cli("secrets", "policy", "set", "a", "--rotator", "random", *options)
    assert code == 2
    assert options[0] in err


def test_policies_are_listed_and_removed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listing shows age, hours and what is waited for."""
    service = fake(monkeypatch, GET_rotations={"rotations": [SHOWN], "next": None})
    out = cli("secrets", "policy", "list").out
    assert "every 90d, sun 02:00-04:00" in out
    assert "stopped before step 'set'" in out
    service.answers["DELETE /rotations/policies/database/app"] = b'{"path":"database/app","removed":true}'
    assert cli("secrets", "policy", "remove", "database/app").out == "database/app: not rotated any more\n"


def test_after_goes_with_seen_by_alone(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path to go on behind is refused where there is nothing that goes on."""
    fake(monkeypatch)
    code, _, err = cli("secrets", "rotate", "database/app", "--after", "a")
    assert (code, "--seen-by" in err) == (2, True)


def test_resume_begins_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service is told to go on only, so that it puts no new rotation in the place of one that waits."""
    service = fake(monkeypatch, GET_rotations={"rotations": [SHOWN], "next": None}, POST_rotations_run=DONE)
    assert cli("secrets", "rotate", "database/app", "--resume")[0] == 0
    assert service.calls[-1][1]["resume"] is True


def test_an_urgent_rotation_names_what_it_left(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields that the policy does not replace are named where the old values may be in wrong hands."""
    fake(monkeypatch, POST_rotations_run={**DONE, "untouched": ["api_secret"]})
    assert "not replaced: api_secret" in cli("secrets", "rotate", "database/app", "--urgent")[1]


def test_every_rotator_is_named_in_the_help(cli: Cli) -> None:
    """The help of a policy names each rotator that there is."""
    assert "client_secret" in cli("secrets", "policy", "set", "--help")[1]

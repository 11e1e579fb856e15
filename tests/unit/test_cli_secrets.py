"""`tradewarden secrets`: values are masked, never arguments, and exact where programs read them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from tests.support.cli import Cli, FakeService, Outcome
from tradewarden.cli.exit_codes import ServiceProblemError
from tradewarden.cli.secrets import MASK

SECRET = (
    b'{"path":"api_keys/binance","data":{"api_key":"K-123","n":1.10,"big":123456789012345678901234567890,'
    b'"note":"a\\u001b[31mb","deep":{"x":["y"]}},"version":2,"created_at":"2026-01-15T10:30:00.000000Z"}'
)
STORED = b'{"path":"api_keys/binance","version":3,"created_at":"2026-01-15T10:30:00.000000Z"}'


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Commands run in this process."""
    return Cli(monkeypatch, capfd)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeService:
    """A service with one secret."""
    answers = {"GET /secrets/api_keys/binance": SECRET, "POST /secrets/store": STORED}
    return FakeService(answers).stand_in(monkeypatch)


@pytest.mark.parametrize("terminal", [True, False])
def test_get_masks_values(cli: Cli, fake: FakeService, *, terminal: bool) -> None:
    """The table shows names of fields and no value, on a terminal and off it."""
    code, out, _ = cli("secrets", "get", "api_keys/binance", terminal=terminal)
    assert code == 0
    assert "api_key" in out
    assert out.count(MASK) == 5
    assert "K-123" not in out


def test_get_reveals_when_asked(cli: Cli, fake: FakeService) -> None:
    """`--reveal` shows the values, without what steers a terminal."""
    out = cli("secrets", "get", "api_keys/binance", "--reveal", terminal=True).out
    assert "K-123" in out
    assert MASK not in out
    assert "\x1b[31m" not in out


def test_get_field_prints_the_bare_value(cli: Cli, fake: FakeService) -> None:
    """`--field` prints one value and nothing else, for scripts."""
    assert cli("secrets", "get", "api_keys/binance", "--field", "api_key") == (0, "K-123\n", "")
    assert cli("secrets", "get", "api_keys/binance", "--field", "deep").out == '{"x":["y"]}\n'


def test_get_field_is_exact_in_a_pipe_and_clean_on_a_terminal(cli: Cli, fake: FakeService) -> None:
    """A pipe gets the value byte by byte; a terminal is not steered by it."""
    assert cli("secrets", "get", "api_keys/binance", "--field", "note").out == "a\x1b[31mb\n"
    assert "\x1b" not in cli("secrets", "get", "api_keys/binance", "--field", "note", terminal=True).out


def test_get_names_a_missing_field(cli: Cli, fake: FakeService) -> None:
    """A field that is not there is not found, and those that are there are named."""
    code, out, err = cli("secrets", "get", "api_keys/binance", "--field", "nope")
    assert (code, out) == (3, "")
    assert "api_key" in err
    assert "K-123" not in err


def test_get_json_is_the_answer(cli: Cli, fake: FakeService) -> None:
    """`--json` prints the service's answer with its numbers as they are."""
    code, out, err = cli("secrets", "get", "api_keys/binance", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(SECRET)
    assert "1.10" in out
    assert "123456789012345678901234567890" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("path", ["a/../b", "/a", "a//b", "a\\b", "ä", ""])
def test_a_path_is_checked_before_anything_is_sent(cli: Cli, fake: FakeService, path: str) -> None:
    """What is no secret path is refused here and reaches no URL."""
    assert cli("secrets", "get", path).code == 2
    assert cli("secrets", "put", path, stdin='{"a":"b"}').code == 2
    assert fake.calls == []


def test_put_reads_an_object_from_stdin(cli: Cli, fake: FakeService) -> None:
    """The value comes from stdin and is sent as it is."""
    code, out, _ = cli("secrets", "put", "api_keys/binance", "--cas", "2", stdin='{"n": 1.10, "s": "v"}')
    assert (code, out) == (0, "api_keys/binance: version 3\n")
    ((_, body),) = fake.calls
    assert body == {"path": "api_keys/binance", "data": msgspec.Raw(b'{"n":1.1,"s":"v"}'), "cas": 2}


def test_put_reads_a_file(cli: Cli, fake: FakeService, tmp_path: Path) -> None:
    """`--file` names a file with the JSON object."""
    file = tmp_path / "data.json"
    file.write_text('{"s":"v"}')
    assert cli("secrets", "put", "api_keys/binance", "--file", str(file)).code == 0
    assert fake.calls[0][1]["data"] == msgspec.Raw(b'{"s":"v"}')


def test_put_takes_one_line_for_each_field(cli: Cli, fake: FakeService) -> None:
    """Without a terminal each field takes a line of stdin, in order."""
    arguments = ("secrets", "put", "api_keys/binance", "--field", "api_key", "--field", "api_secret")
    assert cli(*arguments, stdin="k\ns=1\n").code == 0
    assert fake.calls[0][1]["data"] == msgspec.Raw(b'{"api_key":"k","api_secret":"s=1"}')
    assert cli(*arguments, stdin="k\n").code == 2


def test_put_prompts_without_echo(cli: Cli, fake: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal each field is asked for, and what is typed is not shown."""
    asked: list[tuple[str, bool]] = []

    def prompt(text: str, *, hide_input: bool, err: bool) -> str:
        asked.append((text, hide_input))
        return f"value of {text}"

    monkeypatch.setattr("typer.prompt", prompt)
    _, out, err = cli("secrets", "put", "api_keys/binance", "--field", "a", "--field", "b", terminal=True)
    assert asked == [("a", True), ("b", True)]
    assert "value of" not in out + err
    assert fake.calls[0][1]["data"] == msgspec.Raw(b'{"a":"value of a","b":"value of b"}')


@pytest.mark.parametrize(
    "arguments",
    [
        ["api_keys/binance", "api_key=hunter2"],
        ["api_keys/binance", "--field", "api_key=hunter2"],
        ["api_key=hunter2"],
        ["api_keys/binance", "a", "b=hunter2"],
    ],
)
def test_a_value_is_never_an_argument(cli: Cli, fake: FakeService, arguments: list[str]) -> None:
    """key=value is refused with the reason, is not repeated, and nothing is sent."""
    code, out, err = cli("secrets", "put", *arguments, stdin='{"a":"b"}')
    assert (code, out) == (2, "")
    assert "arguments of a process" in err
    assert "hunter2" not in err
    assert fake.calls == []


@pytest.mark.parametrize("text", ["", "[]", '"x"', '{"a":1,"a":2}', "{", '{"a": NaN}'])
def test_put_refuses_what_is_no_object(cli: Cli, fake: FakeService, text: str) -> None:
    """Anything but one unambiguous JSON object is refused before it is sent."""
    assert cli("secrets", "put", "api_keys/binance", stdin=text).code == 2
    assert fake.calls == []


def test_list_follows_pages(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing goes on over pages until the limit, and says where to go on."""
    fake = _Pages({"": (["a", "b"], "b"), "b": (["c"], None)}).stand_in(monkeypatch)
    assert cli("secrets", "list").out == "a\nb\nc\n"
    _, out, err = cli("secrets", "list", "--limit", "2")
    assert out == "a\nb\n"
    assert "--after 'b'" in err
    assert json.loads(cli("secrets", "list", "--json").out) == {"keys": ["a", "b", "c"], "next": None}
    assert json.loads(cli("secrets", "list", "--json", "--limit", "2").out)["next"] == "b"
    assert fake.calls[0][1]["limit"] == 200


class _Pages(FakeService):
    def __init__(self, pages: dict[str, tuple[list[str], str | None]]) -> None:
        super().__init__({})
        self._pages = pages

    def get(self, path: str, query: Mapping[str, str | int] | None = None) -> bytes:
        asked = dict(query or {})
        self.calls.append((path, asked))
        keys, following = self._pages[str(asked["after"])]
        return msgspec.json.encode({"keys": keys, "next": following})


def test_history_says_what_became_of_versions(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each version has its time, its author and its state."""
    moment = "2026-01-15T10:30:00.000000Z"

    def version(number: int, deleted: str | None = None, *, destroyed: bool = False) -> dict[str, object]:
        common = {"created_at": moment, "created_by": "user:admin"}
        return {"version": number, "deleted_at": deleted, "destroyed": destroyed, **common}

    versions = [version(1, destroyed=True), version(2, moment), version(3)]
    answer = msgspec.json.encode({"current_version": 3, "versions": versions})
    fake = FakeService({"GET /secrets/a": answer}).stand_in(monkeypatch)
    lines = cli("secrets", "history", "a").out.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["destroyed", "10:30:00Z", "current"]
    assert fake.calls[0][1] == {"metadata": "true"}


def test_destroy_asks_first(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be undone needs a yes; where nobody can be asked it needs --yes."""
    fake = FakeService({"POST /secrets/destroy": b'{"path":"a","versions":[1]}'}).stand_in(monkeypatch)
    code, _, err = cli("secrets", "destroy", "a", "--version", "1")
    assert code == 2
    assert "--yes" in err
    assert cli("secrets", "destroy", "a", "--version", "1", stdin="n\n", terminal=True).code == 1
    assert fake.calls == []
    assert cli("secrets", "destroy", "a", "--version", "1", "--yes").out == "a: destroyed version 1\n"


NOT_FOUND = ServiceProblemError("Secret not found", 404)


def _import(cli: Cli, tmp_path: Path, name: str, text: str, *options: str) -> Outcome:
    file = tmp_path / name
    file.write_text(text)
    return cli("secrets", "import", str(file), *options)


def test_import_creates_updates_and_leaves_alone(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each secret is created, updated against what was read, or left as it is; no value is shown."""
    answers: dict[str, bytes | ServiceProblemError] = {
        "GET /secrets/new": NOT_FOUND,
        "GET /secrets/old": b'{"data":{"p":"before"},"version":4}',
        "GET /secrets/same": b'{"data":{"b": 1, "a":"x"},"version":9}',
        "POST /secrets/store": STORED,
    }
    fake = FakeService(answers).stand_in(monkeypatch)
    given = '{"new":{"p":"hunter2"},"old":{"p":"after2"},"same":{"a":"x","b":1}}'
    code, out, err = _import(cli, tmp_path, "in.json", given)
    assert code == 0
    assert "1 created, 1 updated, 1 unchanged" in out
    assert "hunter2" not in out + err
    stored = [body for call, body in fake.calls if call.startswith("POST")]
    assert stored == [
        {"path": "new", "data": msgspec.Raw(b'{"p":"hunter2"}')},
        {"path": "old", "data": msgspec.Raw(b'{"p":"after2"}'), "cas": 4},
    ]


def test_import_dry_run_writes_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`--dry-run` says what would change and sends no write."""
    fake = FakeService({"GET /secrets/new": NOT_FOUND}).stand_in(monkeypatch)
    _, out, _ = _import(cli, tmp_path, "in.json", '{"new":{"p":"x"}}', "--dry-run", "--json")
    expected = {"dry_run": True, "created": ["new"], "updated": [], "unchanged": [], "skipped": [], "empty": []}
    assert json.loads(out) == expected
    assert all(call.startswith("GET") for call, _ in fake.calls)


def test_import_reads_dotenv(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Variables that belong together become one secret, settings of the service stay out."""
    names = ("team/database_credentials", "team/binance_credentials", "team/polygon_api_key", "team/other")
    fake = FakeService({"POST /secrets/store": STORED, **{f"GET /secrets/{name}": NOT_FOUND for name in names}})
    fake.stand_in(monkeypatch)
    text = (
        "# comment\nexport ALPHAPULSE_DB_HOST=h\nALPHAPULSE_DB_PASSWORD='p w'\nALPHAPULSE_BINANCE_API_KEY=k\n"
        'ALPHAPULSE_POLYGON_API_KEY=pk\nJWT_SECRET_KEY=no\nEMPTY=\nOTHER={"a":1}\n'
    )
    code, out, _ = _import(cli, tmp_path, ".env", text, "--under", "team", "--json")
    assert code == 0
    assert json.loads(out)["skipped"] == ["JWT_SECRET_KEY"]
    assert json.loads(out)["empty"] == ["EMPTY"]
    stored = {
        body["path"]: json.loads(msgspec.json.encode(body["data"])) for call, body in fake.calls if "store" in call
    }
    assert stored == {
        "team/database_credentials": {"host": "h", "password": "p w"},
        "team/binance_credentials": {"api_key": "k"},
        "team/polygon_api_key": {"value": "pk"},
        "team/other": {"a": 1},
    }


def test_import_names_what_has_no_value(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A NAME without a value overwrites nothing and is said by name, in words and in JSON; so is it alone in a file."""
    answers: dict[str, bytes | ServiceProblemError] = {
        "POST /secrets/store": STORED,
        "GET /secrets/a_b": NOT_FOUND,
        "GET /secrets/bad-name": NOT_FOUND,
    }
    fake = FakeService(answers).stand_in(monkeypatch)
    text = "A_B=1\nD=\nE=''\nexport F\nALPHAPULSE_DB_PASSWORD=\nbad-name=1\n"
    code, out, err = _import(cli, tmp_path, ".env", text)
    assert code == 0
    assert "2 created, 0 updated, 0 unchanged" in out
    assert "Left out, because they have no value: D, E, F, ALPHAPULSE_DB_PASSWORD" in err
    assert len(fake.calls) == 4
    assert json.loads(_import(cli, tmp_path, ".env", "D=\n", "--json").out)["empty"] == ["D"]
    assert "no value: D" in _import(cli, tmp_path, ".env", "D=\n").err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("in.json", '{"ok":{"a":1},"../bad":{"a":1}}'),
        ("in.json", '{"ok":{"a":1},"bad":"text"}'),
        ("in.json", '{"ok":{"a":1},"ok":{"a":2}}'),
        ("in.json", "[]"),
        (".env", "OK=1\nthis is not it\n"),
    ],
)
def test_import_checks_all_before_it_writes(
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    text: str,
) -> None:
    """One mistake in the file, and nothing of it is sent."""
    fake = FakeService({}).stand_in(monkeypatch)
    assert _import(cli, tmp_path, name, text).code == 2
    assert fake.calls == []


def test_import_says_how_to_go_on(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A failure in the middle says where, and that a second run goes on."""
    answers: dict[str, bytes | ServiceProblemError] = {
        "GET /secrets/a": NOT_FOUND,
        "GET /secrets/b": ServiceProblemError("disk full", 503),
        "POST /secrets/store": STORED,
    }
    FakeService(answers).stand_in(monkeypatch)
    code, _, err = _import(cli, tmp_path, "in.json", '{"a":{"x":1},"b":{"x":1}}')
    assert code == 6
    assert "b: disk full. 1 of 2 are done" in err


FOREIGN = '{"path":"api_keys/binance","data":{"desk":"Zürich 東京"},"version":1,"created_at":"2026-01-15T10:30:00Z"}'


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_another_encoding_stops_nothing(
    cli: Cli, fake: FakeService, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """JSON stays the same value, text shows escapes, and a bare value is whole or refused."""
    fake.answers["GET /secrets/api_keys/binance"] = FOREIGN.encode()
    shown = {}
    for how in ("--json", "--reveal", "--field=desk"):
        raw = io.BytesIO()
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding=encoding))
        shown[how] = cli("secrets", "get", "api_keys/binance", how).code, raw.getvalue().decode(encoding)
    assert json.loads(shown["--json"][1])["data"] == {"desk": "Zürich 東京"}
    assert "\\u6771" in shown["--reveal"][1]
    assert [code for code, _ in shown.values()] == [0, 0, 2]
    assert shown["--field=desk"][1] == ""


@pytest.mark.parametrize("command", ["get", "rollback"])
def test_a_version_that_is_not_found_is_not_taken_for_the_secret(cli: Cli, fake: FakeService, command: str) -> None:
    """The version that was asked for is named, and the command that shows which there are."""
    missing = ServiceProblemError("Secret 'api_keys/binance' not found (secret_not_found)", 404)
    fake.answers |= {"GET /secrets/api_keys/binance": missing, "POST /secrets/rollback": missing}
    ended = cli("secrets", command, "api_keys/binance", "--version", "99")
    assert ended.code == 3
    assert "version 99 was asked for; 'tradewarden secrets history api_keys/binance'" in ended.err
    assert "version" not in cli("secrets", "get", "api_keys/binance").err

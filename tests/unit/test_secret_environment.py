"""Secrets in variables and in `.env`: which variable holds what, what wins, and how a file is rewritten."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from dotenv import dotenv_values

from tradewarden.errors import (
    ConfigurationError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    ProviderUnavailableError,
    SecretNotFoundError,
)
from tradewarden.secrets.providers import dotenv_file
from tradewarden.secrets.providers.environment import EnvironmentProvider
from tradewarden.secrets.providers.lock import locked

TEXTS = (
    "plain-Text_1.2/3:4@5",
    "two words",
    "two\nlines\n",
    "it's",
    'a "quoted" one',
    "both ' and \"",
    "$HOME",
    "${HOME}",
    "`id` $(id)",
    "back\\slash",
    "two\\\\slashes",
    "ends in \\",
    "\\'",
    "#hash",
    "a #hash",
    " space around ",
    "bang!",
    "it's 5$",
    "tab\there",
    "ünïcödé 🔑",
    "a=b",
    "{braces}",
    "carriage\rreturn",
    "-----BEGIN KEY-----\nMIIB\n-----END KEY-----",
)


def provider(**variables: str) -> EnvironmentProvider:
    """Return a provider over `ALPHAPULSE_` variables."""
    return EnvironmentProvider({f"ALPHAPULSE_{name}": text for name, text in variables.items()})


def test_fields_stand_in_variables_of_their_own() -> None:
    """A database's and an exchange's fields are gathered; those that are not set are left out."""
    made = provider(
        DB_HOST="db", DB_PORT="5432", DB_USER="u", DB_PASSWORD="p", DB_NAME="n",
        BINANCE_API_KEY="k", BINANCE_API_SECRET="s",
        COINBASE_API_KEY="k", COINBASE_API_SECRET="s", COINBASE_PASSPHRASE="pp",
        OKX_API_KEY="k", OKX_API_SECRET="s",
        KRAKEN_API_KEY="only the key",
    )  # fmt: skip
    database = {"host": "db", "port": "5432", "user": "u", "password": "p", "database": "n"}
    assert made.get("database_credentials").content == database
    assert made.get("binance_credentials").content == {"api_key": "k", "api_secret": "s"}
    assert made.get("coinbase_credentials").content == {"api_key": "k", "api_secret": "s", "passphrase": "pp"}
    assert made.get("okx_credentials").content == {"api_key": "k", "api_secret": "s"}
    assert made.get("kraken_credentials").content == {"api_key": "only the key"}
    assert made.get("db_host").content == "db"
    assert made.names() == [f"{each}_credentials" for each in ("binance", "coinbase", "database", "kraken", "okx")]


def test_a_field_is_a_text_whatever_it_looks_like(tmp_path: Path) -> None:
    """A password may look like JSON, and in a file it may have to be written as JSON."""
    made = provider(DB_PASSWORD='{"a": 1, "a": 2}', DB_USER='{"a": 1}', DB_HOST="{}")
    fields = {"host": "{}", "user": '{"a": 1}', "password": '{"a": 1, "a": 2}'}
    assert made.get("database_credentials").content == fields
    held: dict[str, object] = {"user": "u", "password": "both ' and \" and ${X}"}
    EnvironmentProvider({}, dotenv=tmp_path / ".env").put("database_credentials", held)
    assert (tmp_path / ".env").read_text().count("ALPHAPULSE_DB_") == 2
    assert EnvironmentProvider({}, dotenv=tmp_path / ".env").get("database_credentials").content == held


def test_any_other_secret_stands_in_one_variable() -> None:
    """Text or a JSON object, by the name in capitals."""
    made = provider(POLYGON_API_KEY="k", SLACK_WEBHOOK="https://x", SMTP='{"user": "u"}', JWT_SECRET="j" * 40)
    assert made.get("polygon_api_key").content == "k"
    assert made.get("slack_webhook").content == "https://x"
    assert made.get("smtp").content == {"user": "u"}
    assert made.names() == ["jwt_secret", "polygon_api_key", "slack_webhook", "smtp"]
    assert made.names("s") == ["slack_webhook", "smtp"]


@pytest.mark.parametrize("name", ["ann-lee_api_token", "ann.lee_api_token", "Ann_Lee_api_token", "ann lee_api_token"])
def test_a_variable_is_given_under_one_name_only(name: str) -> None:
    """Names that differ are different secrets: whoever may ask for one must not get the other's."""
    made = provider(ANN_LEE_API_TOKEN="t")
    assert made.get("ann_lee_api_token").content == "t"
    assert made.get_many([name]) == {}
    with pytest.raises(SecretNotFoundError) as error:
        made.get(name)
    assert "no variable is its own" in error.value.reason


def test_a_whole_secret_in_one_variable_is_read_when_its_fields_are_not_set() -> None:
    """`ALPHAPULSE_BINANCE_CREDENTIALS` may hold the JSON of it."""
    made = provider(BINANCE_CREDENTIALS='{"api_key": "k", "testnet": true}')
    assert made.get("binance_credentials").content == {"api_key": "k", "testnet": True}
    assert made.names() == ["binance_credentials"]


def test_what_is_no_secret_is_not_given_out() -> None:
    """The environment's own name, empty variables, and variables that no name stands for."""
    made = EnvironmentProvider(
        {"ALPHAPULSE_ENV": "production", "ALPHAPULSE_EMPTY": "", "ALPHAPULSE_lower": "x", "PATH": "/"}
    )
    assert made.names() == []
    for name in ("env", "empty", "lower"):
        with pytest.raises(SecretNotFoundError) as raised:
            made.get(name)
        assert f"ALPHAPULSE_{name.upper()}" in raised.value.reason
    with pytest.raises(InvalidInputError):
        made.put("env", "x")


def test_the_prefix_can_be_another() -> None:
    """Another platform's variables."""
    made = EnvironmentProvider({"BOT_DB_HOST": "h", "BOT_KEY": "k", "ALPHAPULSE_KEY": "no"}, prefix="BOT_")
    assert made.names() == ["database_credentials", "key"]
    assert made.get("key").content == "k"


def test_a_mounted_secret_is_read(tmp_path: Path) -> None:
    """`NAME_FILE` names a file that holds the value, for whole secrets and for fields."""
    mounted = tmp_path / "mounted"
    mounted.write_text("from a file\n")
    made = provider(SLACK_WEBHOOK_FILE=str(mounted), DB_HOST="db", DB_PASSWORD_FILE=str(mounted))
    assert made.get("slack_webhook").content == "from a file"
    assert made.get("database_credentials").content == {"host": "db", "password": "from a file"}
    assert made.names() == ["database_credentials", "slack_webhook"]
    for change in (lambda: made.put("slack_webhook", "x"), lambda: made.delete("slack_webhook")):
        with pytest.raises(ConflictError, match="ALPHAPULSE_SLACK_WEBHOOK_FILE"):
            change()


def test_a_mounted_secret_that_cannot_be_read_is_no_missing_one(tmp_path: Path) -> None:
    """The variable and the file are named; another provider is not asked in its place."""
    made = provider(SLACK_WEBHOOK_FILE=str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="ALPHAPULSE_SLACK_WEBHOOK_FILE"):
        made.get("slack_webhook")
    both = provider(KEY="x", KEY_FILE=str(tmp_path))
    with pytest.raises(ConfigurationError, match="keep one of the two"):
        both.get("key")


def test_an_object_that_two_readers_read_differently_is_refused() -> None:
    """A field that is named twice is not guessed."""
    with pytest.raises(IntegrityError, match="ALPHAPULSE_SMTP names a field twice"):
        provider(SMTP='{"a": 1, "a": 2}').get("smtp")


def test_a_put_sets_the_documented_variables() -> None:
    """Fields go to their own variables when they are texts that fit, else the whole goes into one."""
    variables: dict[str, str] = {}
    made = EnvironmentProvider(variables)
    made.put("database_credentials", {"host": "h", "port": 5432})
    assert variables == {"ALPHAPULSE_DATABASE_CREDENTIALS": '{"host":"h","port":5432}'}
    made.put("database_credentials", {"host": "h", "port": "5432"})
    assert variables == {"ALPHAPULSE_DB_HOST": "h", "ALPHAPULSE_DB_PORT": "5432"}
    made.put("database_credentials", {"host": "h", "sslmode": "require"})
    assert variables == {"ALPHAPULSE_DATABASE_CREDENTIALS": '{"host":"h","sslmode":"require"}'}
    made.delete("database_credentials")
    assert variables == {}
    made.put("binance_credentials", {"api_key": "k"})
    assert variables == {"ALPHAPULSE_BINANCE_API_KEY": "k"}


@pytest.mark.parametrize("name", ["a/b", "a-b", "A", "a.b", "x_file"])
def test_a_name_that_shares_its_variable_is_not_put(name: str) -> None:
    """Two secrets would overwrite each other."""
    with pytest.raises(InvalidInputError, match="share its variable"):
        provider().put(name, "x")


def test_a_content_with_a_zero_byte_is_kept() -> None:
    """No variable can hold one, so it goes in as JSON."""
    variables: dict[str, str] = {}
    EnvironmentProvider(variables).put("key", "a\0b")
    assert "\0" not in variables["ALPHAPULSE_KEY"]
    assert EnvironmentProvider(variables).get("key").content == "a\0b"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """Variable by variable; and what would be hidden behind it is not written."""
    path = tmp_path / ".env"
    path.write_text("ALPHAPULSE_KEY=file\nALPHAPULSE_DB_HOST=file\nALPHAPULSE_DB_USER=file\n")
    made = EnvironmentProvider({"ALPHAPULSE_KEY": "process", "ALPHAPULSE_DB_HOST": "process"}, dotenv=path)
    assert made.get("key").content == "process"
    assert made.get("database_credentials").content == {"host": "process", "user": "file"}
    before = path.read_text()
    for change in (lambda: made.put("key", "new"), lambda: made.delete("key")):
        with pytest.raises(ConflictError, match="ALPHAPULSE_KEY is set in the process's environment, which wins"):
            change()
    assert path.read_text() == before


def test_the_process_is_left_alone_when_there_is_a_file(tmp_path: Path) -> None:
    """A put goes to the file, private to us."""
    variables: dict[str, str] = {}
    path = tmp_path / ".env"
    EnvironmentProvider(variables, dotenv=path).put("key", "x")
    assert variables == {}
    assert path.read_text() == "ALPHAPULSE_KEY=x\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_other_lines_and_comments_are_kept(tmp_path: Path) -> None:
    """Only the secret's own line changes, where it stands; a new one goes to the end."""
    path = tmp_path / ".env"
    path.write_text(
        "# settings\r\nOTHER='two\nlines' # why\n\n\nexport ALPHAPULSE_KEY=old # rotated in May\n"
        "BROKEN_BUT_FINE\n  INDENTED = x\nALPHAPULSE_KEY=twice\n# the end"
    )
    made = EnvironmentProvider({}, dotenv=path)
    assert made.get("key").content == "twice"
    made.put("key", "new value")
    made.put("other", "added")
    assert path.read_bytes().decode() == (
        "# settings\r\nOTHER='two\nlines' # why\n\n\nexport ALPHAPULSE_KEY='new value'\n"
        "BROKEN_BUT_FINE\n  INDENTED = x\n# the end\nALPHAPULSE_OTHER=added\n"
    )
    made.delete("key")
    assert path.read_bytes().decode() == (
        "# settings\r\nOTHER='two\nlines' # why\n\n\n"
        "BROKEN_BUT_FINE\n  INDENTED = x\n# the end\nALPHAPULSE_OTHER=added\n"
    )


def test_a_damaged_file_is_said_and_not_written_over(tmp_path: Path) -> None:
    """The line is named, its content is not shown."""
    path = tmp_path / ".env"
    damaged = "A=1\nALPHAPULSE_KEY='hunter2\n"
    path.write_text(damaged)
    made = EnvironmentProvider({}, dotenv=path)
    for ask in (lambda: made.get("key"), lambda: made.put("key", "x"), made.names, lambda: made.delete("key")):
        with pytest.raises(ConfigurationError, match="line 2") as raised:
            ask()
        assert "hunter2" not in str(raised.value)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        made.get("key")
    assert path.read_bytes() == b"\xff\xfe"


def test_a_change_of_the_file_is_seen(tmp_path: Path) -> None:
    """Another process's put, or an editor, is seen by the next call; and so is the file's end."""
    path = tmp_path / ".env"
    made = EnvironmentProvider({}, dotenv=path)
    with pytest.raises(SecretNotFoundError):
        made.get("key")
    path.write_text("ALPHAPULSE_KEY=one\n")
    assert made.get("key").content == "one"
    EnvironmentProvider({}, dotenv=path).put("key", "two")
    assert made.get("key").content == "two"
    path.unlink()
    with pytest.raises(SecretNotFoundError):
        made.get("key")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What it points to is written."""
    target, link = tmp_path / "real.env", tmp_path / ".env"
    target.write_text("")
    link.symlink_to(target)
    EnvironmentProvider({}, dotenv=link).put("key", "x")
    assert link.is_symlink()
    assert target.read_text() == "ALPHAPULSE_KEY=x\n"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file stays."""
    path = tmp_path / ".env"
    path.write_text("ALPHAPULSE_KEY=old\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProviderUnavailableError, match="No space left"):
        EnvironmentProvider({}, dotenv=path).put("key", "new")
    assert path.read_text() == "ALPHAPULSE_KEY=old\n"
    assert [each.name for each in tmp_path.iterdir()] == [".env"]


def test_writers_of_one_file_take_turns(tmp_path: Path) -> None:
    """A writer waits for the lock, and no other's variable is lost."""
    path = tmp_path / ".env"
    program = (
        "import sys, pathlib\n"
        "from tradewarden.secrets.providers.environment import EnvironmentProvider\n"
        "made = EnvironmentProvider({}, dotenv=pathlib.Path(sys.argv[1]))\n"
        "for number in range(20): made.put(f'{sys.argv[2]}_{number}', 'x')\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path), name]) for name in ("left", "right")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert len(EnvironmentProvider({}, dotenv=path).names()) == 40
    with locked(tmp_path), pytest.raises(ProviderUnavailableError), locked(tmp_path, 0.02):
        pass


def written(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Write every text into a `.env` file; return it, and each variable's text."""
    path = tmp_path / ".env"
    texts = {f"ALPHAPULSE_T{number}": text for number, text in enumerate(TEXTS)}
    dotenv_file.DotenvFile(path).change(texts)
    return path, texts


def plain(held: str | None) -> str | None:
    """Return what a variable's text means: itself, or the text that it holds as JSON."""
    return json.loads(held)["value"] if held is not None and held.startswith('{"value":') else held


@pytest.mark.parametrize("interpolate", [True, False])
def test_python_dotenv_reads_what_was_written(tmp_path: Path, *, interpolate: bool) -> None:
    """With and without interpolation; as JSON stands only what other readers would read differently."""
    path, texts = written(tmp_path)
    found = dotenv_values(path, interpolate=interpolate)
    assert {name: plain(held) for name, held in found.items()} == texts
    assert [text for name, text in texts.items() if found[name] != text] == [
        "both ' and \"", "${HOME}", "two\\\\slashes", "ends in \\", "\\'", "it's 5$", "carriage\rreturn",
    ]  # fmt: skip


def test_a_shell_reads_what_was_written(tmp_path: Path) -> None:
    """`set -a; . ./.env` gives a program the same variables."""
    path, texts = written(tmp_path)
    shell = shutil.which("sh")
    assert shell
    show = "import os, json; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('ALPHAPULSE_T')}))"
    command = f'set -a; . "{path}"; exec "{sys.executable}" -c "{show}"'
    said = subprocess.run([shell, "-c", command], env={"PATH": "/"}, capture_output=True, text=True, check=True)
    assert {name: plain(held) for name, held in json.loads(said.stdout).items()} == texts
    assert said.stderr == ""


def test_node_reads_what_was_written(tmp_path: Path) -> None:
    """`node --env-file=.env` gives a program the same variables."""
    path, texts = written(tmp_path)
    node = shutil.which("node")
    command = [node or "node", f"--env-file={path}", "-e", "console.log(JSON.stringify(process.env))"]
    said = node and subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    if not said or said.returncode:
        pytest.skip("needs a node of version 20.6 or newer on PATH")
    found = json.loads(said.stdout)
    assert {name: plain(found[name]) for name in texts} == texts

"""The first start: what is wrong is said before anything is made, and what was begun is finished by the next one."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.integration.test_app import KEY, OTHER_KEY, settings_of
from tradewarden import Warden
from tradewarden.app import initialise
from tradewarden.cli.exit_codes import ExitCode, exit_code
from tradewarden.datadir import stage
from tradewarden.errors import ConfigurationError, IntegrityError, TradewardenError
from tradewarden.records import open_for_reading
from tradewarden.storage.beginning import Stage, reached
from tradewarden.storage.migration import migrate_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tradewarden.settings import Settings

PASSPHRASE = "a much longer passphrase"


class Mistake(NamedTuple):
    """Settings with a mistake, their correction, and what the message says."""

    wrong: dict[str, str]
    right: dict[str, str]
    told: str


@pytest.mark.parametrize("writable", [True, False])
async def test_a_data_directory_that_cannot_be_used_is_named_with_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, writable: bool
) -> None:
    """In a checkout of somebody else, or a read-only one, the way out is another directory."""
    data = tmp_path / "data"
    if writable:
        data.touch()  # no directory
    monkeypatch.setenv("TEST_ROOT_KEY", KEY)
    monkeypatch.setattr("tradewarden.ground.os.access", lambda *_: writable)
    with pytest.raises(ConfigurationError, match=f"{data} .*name another directory as TRADEWARDEN_DATA_DIR"):
        await initialise(settings_of(tmp_path, **PLAIN))


PLAIN = {"TRADEWARDEN_ROOT_KEY": "env:TEST_ROOT_KEY"}
MISTAKES = {
    "variable unset": Mistake({"TRADEWARDEN_ROOT_KEY": "env:NOPE"}, PLAIN, "NOPE is not set"),
    "no key": Mistake({"TRADEWARDEN_ROOT_KEY": "env:NOT_BASE64"}, PLAIN, "NOT_BASE64"),
    "short passphrase": Mistake(
        {"TRADEWARDEN_ROOT_KEY": "passphrase:", "TRADEWARDEN_PASSPHRASE": "hunter2"},
        {"TRADEWARDEN_ROOT_KEY": "passphrase:", "TRADEWARDEN_PASSPHRASE": PASSPHRASE},
        "TRADEWARDEN_PASSPHRASE must hold a passphrase of at least 16",
    ),
    "passphrase file missing": Mistake({"TRADEWARDEN_ROOT_KEY": "passphrase:file:/nonex/a"}, PLAIN, "/nonex/a is miss"),
    "CA missing": Mistake(
        {**PLAIN, "CA_CERT_PATH": "/nonex/a", "CA_KEY_PATH": "/nonex/b"}, PLAIN, r"CA_CERT_PATH \(/nonex/a\) cannot be"
    ),
    "CA is none": Mistake(
        {**PLAIN, "CA_CERT_PATH": "/etc/passwd", "CA_KEY_PATH": "/etc/passwd"}, PLAIN, r"CA_CERT_PATH \(/etc/passwd\)"
    ),
    "CA's key missing": Mistake(
        {**PLAIN, "CA_CERT_PATH": "{ca}", "CA_KEY_PATH": "/nonex/b"}, PLAIN, r"CA_KEY_PATH \(/nonex/b\) cannot be"
    ),
    "CA's key not named": Mistake({**PLAIN, "CA_CERT_PATH": "{ca}"}, PLAIN, "CA_KEY_PATH .* cannot be read"),
}
DEVELOPMENT_MISTAKES = {
    "file of another kind": Mistake({"TRADEWARDEN_ROOT_KEY": "file:/etc/passwd"}, {}, "/etc/passwd"),
    "file in a directory of everybody": Mistake({"TRADEWARDEN_ROOT_KEY": "file:{open}/k"}, {}, "open to other users"),
    "file of another database": Mistake({"TRADEWARDEN_ROOT_KEY": "file:{key}"}, {}, "holds a root key, but not of"),
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that root keys are read from here."""
    monkeypatch.setenv("TEST_ROOT_KEY", KEY)
    monkeypatch.setenv("NOT_BASE64", "notbase64")
    monkeypatch.delenv("NOPE", raising=False)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of another installation, in development."""
    directory = tmp_path_factory.mktemp("elsewhere")

    async def made() -> Path:
        settings = settings_of(directory)
        await (await Warden.start(settings)).close()
        return settings.data_dir

    return asyncio.run(made())


def filled(settings: dict[str, str], elsewhere: Path) -> dict[str, str]:
    """Return the settings with the places of files in them."""
    shared = elsewhere.parent / "shared"
    shared.mkdir(exist_ok=True)
    shared.chmod(0o755)
    places = {"open": str(shared), "ca": str(elsewhere / "ca" / "ca_cert.pem"), "key": str(elsewhere / "root.key")}
    return {name: value.format(**places) for name, value in settings.items()}


def production(directory: Path, **more: str) -> Settings:
    """Return settings that production accepts, with a root key of the environment unless told otherwise."""
    return settings_of(directory, **{"ALPHAPULSE_ENV": "production", **PLAIN, **more})


async def refused(start: Callable[[], object], told: str) -> None:
    """Check that a start names a mistake, as one of the configuration."""
    with pytest.raises(ConfigurationError, match=told) as raised:
        await start()  # type: ignore[misc]
    assert exit_code(raised.value) is ExitCode.USAGE


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
async def test_init_leaves_nothing_behind_a_mistake(tmp_path: Path, elsewhere: Path, mistake: Mistake) -> None:
    """The mistake is named, nothing is made, and the corrected `init` works, and so does what follows it."""
    wrong = production(tmp_path, **filled(mistake.wrong, elsewhere))
    await refused(lambda: initialise(wrong), mistake.told)
    assert not wrong.data_dir.exists()
    right = production(tmp_path, **mistake.right)
    assert (await initialise(right)).read_text().startswith("twa_")
    await (await Warden.start(right)).close()


@pytest.mark.parametrize(
    "mistake", [*MISTAKES.values(), *DEVELOPMENT_MISTAKES.values()], ids=[*MISTAKES, *DEVELOPMENT_MISTAKES]
)
async def test_a_first_start_in_development_leaves_nothing_behind(
    tmp_path: Path, elsewhere: Path, mistake: Mistake
) -> None:
    """The same for a start without `init`: the next one needs no empty directory, only the correction."""
    wrong = settings_of(tmp_path, **filled(mistake.wrong, elsewhere))
    await refused(lambda: Warden.start(wrong), mistake.told)
    assert not wrong.data_dir.exists()
    async with Warden.open(settings_of(tmp_path, **mistake.right)) as warden:
        await warden.local.secrets.put("a", {})


# -- cut off -------------------------------------------------------------------------------------


class Instants:
    """Copies of a data directory as a process that was killed would leave it: one before each change of its files."""

    def __init__(self, directory: Path, into: Path) -> None:
        self.copies: list[Path] = []
        self._directory = directory
        self._into = into
        self._seen: set[tuple[tuple[str, int], ...]] = set()
        self._at_work = False

    def take(self, *_: object) -> None:
        """Copy what stands now, unless it looks as it did before."""
        if self._at_work or not self._directory.exists():
            return
        self._at_work = True
        try:
            files = sorted(path for path in self._directory.rglob("*") if path.suffix not in {".tmp", ".db-shm"})
            look = tuple((path.name, path.stat().st_size) for path in files if path.exists())
            if look not in self._seen:
                self._seen.add(look)
                self.copies.append(self._into / f"{len(self.copies):03d}")
                shutil.copytree(self._directory, self.copies[-1], ignore=shutil.ignore_patterns("*.tmp", "*.db-shm"))
        finally:
            self._at_work = False


_watching: list[Instants] = []


@pytest.fixture(scope="module")
def hook() -> None:
    """Have the interpreter tell of file operations; such a hook cannot be taken out again, only be silent."""

    def tell(event: str, _arguments: tuple[object, ...]) -> None:
        if _watching and event in {"open", "os.rename", "os.link", "os.mkdir", "os.remove", "sqlite3.connect"}:
            _watching[0].take()

    sys.addaudithook(tell)


@pytest.fixture
def instants(tmp_path: Path, hook: None) -> Iterator[Instants]:
    """Watches `data` in the test's directory."""
    copies = tmp_path / "copies"
    copies.mkdir()
    _watching.append(Instants(tmp_path / "data", copies))
    yield _watching[0]
    _watching.clear()


@pytest.mark.parametrize("development", [False, True])
async def test_a_first_start_is_finished_wherever_it_was_killed(
    tmp_path: Path, instants: Instants, monkeypatch: pytest.MonkeyPatch, development: bool
) -> None:
    """Every state it passes is fresh, cut off or complete; the next first start makes it whole, with the same keys."""
    of = settings_of if development else production
    sync = os.fdatasync

    def synced(descriptor: int) -> None:
        sync(descriptor)
        instants.take()

    monkeypatch.setattr(os, "fdatasync", synced)
    settings = of(tmp_path)
    await (await Warden.start(settings, create=True)).close()
    _watching.clear()
    stages = set()
    for copy in instants.copies:
        (copy.parent / f"{copy.name}-home").mkdir()
        settings = of(copy.rename(copy.parent / f"{copy.name}-home" / "data").parent)
        found, keys = stage(settings.data_dir, settings.database_path), check_value(settings)
        stages.add(found)
        await finished(settings, found, development=development)
        assert keys in (None, check_value(settings))
    assert stages == {*Stage}
    assert len(instants.copies) > 20


def check_value(settings: Settings) -> bytes | None:
    """Return what the root key in use is recognised by; None before there is one."""
    if reached(settings.database_path) is Stage.FRESH:
        return None
    with closing(sqlite3.connect(settings.database_path)) as connection:
        return bytes(connection.execute("SELECT check_value FROM root_keys").fetchone()[0])


async def finished(settings: Settings, found: Stage, *, development: bool) -> None:
    """Go on from where a first start was killed, as an operator would."""
    if found is not Stage.INITIALISED and not development:
        with pytest.raises(ConfigurationError, match="run 'tradewarden init'"):
            await Warden.start(settings)
        await initialise(settings)
    warden = await Warden.start(settings)
    assert warden.admin_token.path.read_text().startswith("twa_")
    assert not (await warden.readiness()).reasons
    progress = await warden.clerk.run_once(last=True)
    assert not progress.faults
    await warden.close()
    assert stage(settings.data_dir, settings.database_path) is Stage.INITIALISED


async def test_an_error_in_the_middle_counts_as_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but a first start may touch what was begun; another root key is named, and what to do about it."""
    settings = production(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("tradewarden.app.Authority.open", _no_room)
        with pytest.raises(OSError, match="no room"):
            await initialise(settings)
    assert stage(settings.data_dir, settings.database_path) is Stage.KEYED
    with pytest.raises(ConfigurationError, match="was cut off; run 'tradewarden init' again"):
        await Warden.start(settings)
    with pytest.raises(ConfigurationError, match="holds no Tradewarden data"):
        async with open_for_reading(settings):
            pass
    monkeypatch.setenv("TEST_ROOT_KEY", OTHER_KEY)
    with pytest.raises(ConfigurationError, match=r"is not the root key .* was cut off, so nothing is kept there yet"):
        await initialise(settings)
    monkeypatch.setenv("TEST_ROOT_KEY", KEY)
    await initialise(settings)


async def _no_room(*_: object, **__: object) -> None:
    raise OSError(28, "no room")


# -- never taken for fresh -----------------------------------------------------------------------

KEY_TABLES = ("root_keys", "purpose_keys", "key_budgets")
REST = ("signing_keys", "audit_inbox", "authorities", "crls", "admin_token", "audit_journals")


@pytest.mark.parametrize(
    "tables",
    [("authorities",), ("authorities", "crls", "admin_token"), KEY_TABLES, (*KEY_TABLES, *REST)],
    ids=["CAs", "all that follows the keys", "keys", "everything"],
)
async def test_rows_that_went_away_are_never_made_anew(tmp_path: Path, tables: tuple[str, ...]) -> None:
    """However much is deleted from an installation's database, neither keys nor CAs are made over what is left."""
    settings = production(tmp_path)
    await initialise(settings)
    with closing(sqlite3.connect(settings.database_path, isolation_level=None)) as connection:
        for table in tables:
            connection.execute(f"DELETE FROM {table}")  # noqa: S608
    for path in (*settings.data_dir.glob("ca/*.pem"), settings.data_dir / "admin.token"):
        path.unlink()
    for start in (lambda: Warden.start(settings), lambda: initialise(settings)):
        with pytest.raises(TradewardenError) as raised:
            await start()
        assert exit_code(raised.value) in (ExitCode.USAGE, ExitCode.FOUND_SOMETHING)
    with closing(sqlite3.connect(settings.database_path)) as connection:
        left = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]  # noqa: S608
    assert left == [0] * len(tables)


@pytest.mark.parametrize(
    ("gone", "least"), [((), Stage.KEYED), (KEY_TABLES, Stage.FRESH)], ids=["keys left", "no keys"]
)
async def test_what_moved_outlives_its_rows(tmp_path: Path, gone: tuple[str, ...], least: Stage) -> None:
    """Counters and the log's size tell of a completed start by themselves, without any row that it wrote."""
    settings = production(tmp_path)
    await initialise(settings)
    path = settings.database_path
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for table in (*REST, *gone):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608
        assert reached(path) is Stage.INITIALISED
        connection.execute("UPDATE revisions SET value = 1 WHERE kind = 'services'")
        assert reached(path) is Stage.INITIALISED
        connection.execute("UPDATE revisions SET value = 1 WHERE kind = 'authorities'")
        assert reached(path) is least
        connection.execute("UPDATE audit_tree SET size = 1")
        assert reached(path) is Stage.INITIALISED


@pytest.mark.parametrize("emptied", ["file", "rows"])
async def test_an_emptied_database_beside_its_files_is_refused(tmp_path: Path, emptied: str) -> None:
    """A file of no bytes, or one as migrations make it, is fresh; what lies beside it says that it was not."""
    settings = production(tmp_path)
    await initialise(settings)
    for path in settings.database_path.parent.iterdir():
        path.unlink()
    settings.database_path.touch(mode=0o600)
    if emptied == "rows":
        migrate_sqlite(settings.database_path)
    assert reached(settings.database_path) is Stage.FRESH
    with pytest.raises(ConfigurationError, match=r"lacks what belongs to them, but .*admin\.token"):
        await initialise(settings)
    assert reached(settings.database_path) is Stage.FRESH


@pytest.mark.parametrize("column", ["role", "state"])
async def test_a_ca_with_an_unknown_role_or_state_is_refused_as_changed(tmp_path: Path, column: str) -> None:
    """It is the same sentence as for every other column, and the same exit code."""
    settings = production(tmp_path)
    await initialise(settings)
    with closing(sqlite3.connect(settings.database_path, isolation_level=None)) as connection:
        connection.execute(f"UPDATE authorities SET {column} = 'abc' WHERE role = 'root'")  # noqa: S608
    with pytest.raises(IntegrityError, match="A row of table authorities was changed outside Tradewarden") as raised:
        await Warden.start(settings)
    assert exit_code(raised.value) is ExitCode.FOUND_SOMETHING
    assert "abc" not in raised.value.reason


async def test_first_starts_at_once_agree(tmp_path: Path) -> None:
    """Of several processes that start together on nothing one makes each thing, and the others find it."""
    settings = settings_of(tmp_path, TRADEWARDEN_ROOT_KEY="env:TEST_ROOT_KEY")
    wardens = await asyncio.gather(*[Warden.start(settings) for _ in range(3)])
    assert len({warden.authority.ca_certificate() for warden in wardens}) == 1
    assert len({warden.keyring.lineage for warden in wardens}) == 1
    for warden in wardens:
        await warden.close()

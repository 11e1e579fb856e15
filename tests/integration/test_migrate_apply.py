"""Applying a migration on a bad day: every file is whole, nothing is lost, and the same run again goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.disk import Disk, disk  # noqa: F401 - a fixture
from tests.support.moves import VALUE
from tests.support.pages import ROOT
from tests.support.trading_repository import git, values
from tradewarden.errors import (
    ConfigurationError,
    ConflictError,
    ProviderUnavailableError,
    StorageUnavailableError,
    UnavailableError,
)
from tradewarden.migrate.migration import Migration, open_migration
from tradewarden.migrate.replacing import Replacement, replace_all
from tradewarden.migrate.report import undone_lines
from tradewarden.migrate.targets import Method
from tradewarden.migrate.undo import Undo
from tradewarden.secrets.providers.files.files import EncryptedFilesProvider
from tradewarden.secrets.providers.files.key import FilesKey

_KEY = f"{VALUE}{VALUE}{VALUE}{VALUE}{VALUE}abcd"
_SECRET = _KEY[::-1]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two files with an account, outside of git."""
    return _made(tmp_path / "tree")


def _made(root: Path) -> Path:
    root.mkdir()
    (root / "bot.py").write_text(f'BINANCE_API_KEY = "{_KEY}"\n')
    (root / "other.py").write_text(f'BINANCE_API_KEY = "{_KEY}"\nBINANCE_API_SECRET = "{_SECRET}"\n')
    return root


def _texts(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(root.glob("*.py"))}


def _migration(root: Path, folder: Path) -> Migration:
    return open_migration(root, Method.ENCRYPTED, {}, secrets_dir=folder / "safe")


def _undo(folder: Path) -> Undo:
    return Undo(folder / "undo", folder / "keys")


def _held(folder: Path) -> object:
    safe = folder / "safe"
    return EncryptedFilesProvider(safe, FilesKey.in_directory(safe)).get("binance_credentials").content


def _finish(root: Path, folder: Path) -> None:
    """Run again; everything is moved, and nothing twice."""
    again = _migration(root, folder)
    again.apply(again.plan(), _undo(folder))
    assert _held(folder) == {"api_key": _KEY, "api_secret": _SECRET}
    assert not any(value in text for value in (_KEY, _SECRET) for text in _texts(root).values())
    assert not list(root.glob("**/.tradewarden-new"))
    done = _texts(root)
    last = _migration(root, folder).plan()
    assert (last.moves, last.changes) == ((), ())
    assert _texts(root) == done


@pytest.mark.crash
@pytest.mark.parametrize("renames", [0, 1])
def test_killed_between_writing_and_rewriting(tree: Path, tmp_path: Path, renames: int) -> None:
    """After the values are written, or with one file of two replaced: run again, and it is whole."""
    program = f"""
        import os, signal, sys
        from pathlib import Path
        from tradewarden.migrate.migration import open_migration
        from tradewarden.migrate.targets import Method
        from tradewarden.migrate.undo import Undo
        root, folder, left = Path(sys.argv[1]), Path(sys.argv[2]), [{renames}]
        rename = Path.replace
        def replace(self, target):
            if str(target).endswith(".py"):
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
            return rename(self, target)
        Path.replace = replace
        migration = open_migration(root, Method.ENCRYPTED, {{}}, secrets_dir=folder / "safe")
        migration.apply(migration.plan(), Undo(folder / "undo", folder / "keys"))
    """
    before = _texts(tree)
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program), tree, tmp_path], check=False, cwd=ROOT)
    assert run.returncode == -signal.SIGKILL
    assert _held(tmp_path) == {"api_key": _KEY, "api_secret": _SECRET}
    whole = [
        text == before[name] or ("platform_secret" in text and _KEY not in text) for name, text in _texts(tree).items()
    ]
    assert all(whole)
    assert sum(text != before[name] for name, text in _texts(tree).items()) == renames
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    assert set(git(tree, "ls-files").split()) == set(before)
    _finish(tree, tmp_path)
    # The run that was cut off and the one that went on are one migration, and one undo takes it back.
    undone = _undo(tmp_path).restore(tree)
    assert (set(undone.restored), undone.earlier) == (set(before), ())
    assert _texts(tree) == before


def test_a_run_that_was_cut_off_still_knows_the_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy is known by the value that was found; so the file where it was found is the last to change."""
    root, value = tmp_path / "tree", values()["polygon"]
    root.mkdir()
    (root / "a.py").write_text(f'POLYGON_API_KEY = "{value}"\n')
    for name in ("b.py", "c.py"):
        (root / name).write_text(f'q = "{value}"\n')
    rename, left = Path.replace, [1]

    def replace(self: Path, target: Path) -> Path:
        if str(target).endswith(".py"):
            if not left[0]:
                raise OSError(5, "cut off")
            left[0] -= 1
        return rename(self, target)

    with monkeypatch.context() as cut:
        cut.setattr(Path, "replace", replace)
        migration = _migration(root, tmp_path)
        with pytest.raises(StorageUnavailableError):
            migration.apply(migration.plan(), _undo(tmp_path))
    assert any(value in text for text in _texts(root).values())
    again = _migration(root, tmp_path)
    again.apply(again.plan(), _undo(tmp_path))
    assert not any(value in text for text in _texts(root).values())
    assert set(_undo(tmp_path).restore(root).restored) == {"a.py", "b.py", "c.py"}
    assert all(value in text for text in _texts(root).values())


@pytest.mark.crash
def test_killed_and_undone(tree: Path, tmp_path: Path) -> None:
    """Nothing of the killed run is left in the tree."""
    before = _texts(tree)
    program = """
        import os, signal, sys
        from pathlib import Path
        from tradewarden.migrate.migration import open_migration
        from tradewarden.migrate.targets import Method
        from tradewarden.migrate.undo import Undo
        root, folder = Path(sys.argv[1]), Path(sys.argv[2])
        rename = Path.replace
        def replace(self, target):
            return os.kill(os.getpid(), signal.SIGKILL) if str(target).endswith(".py") else rename(self, target)
        Path.replace = replace
        migration = open_migration(root, Method.ENV, {}, output=folder / "env")
        migration.apply(migration.plan(), Undo(folder / "undo", folder / "keys"))
    """
    (tree / "unrelated").mkdir()
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program), tree, tmp_path], check=False, cwd=ROOT)
    assert run.returncode == -signal.SIGKILL
    assert (tree / ".tradewarden-new" / "bot.py").exists()
    assert _undo(tmp_path).restore(tree).unchanged == ("bot.py", "other.py")
    assert sorted(path.name for path in tree.iterdir()) == ["bot.py", "other.py", "unrelated"]
    assert _texts(tree) == before


def test_an_earlier_apply_that_came_to_its_end_is_named(tree: Path, tmp_path: Path) -> None:
    """It is another migration: taken back by another undo, of which the first one speaks."""
    first = _migration(tree, tmp_path)
    done = first.apply(first.plan(), _undo(tmp_path))
    (tree / "new.py").write_text(f'BINANCE_API_KEY = "{_KEY}"\n')
    second = _migration(tree, tmp_path)
    second.apply(second.plan(), _undo(tmp_path))
    undone = _undo(tmp_path).restore(tree)
    assert (undone.restored, undone.earlier) == (("new.py",), (done.undo,))
    assert done.undo in "\n".join(undone_lines(undone))


def test_what_is_in_the_way_of_new_files_is_not_written_through(tree: Path, tmp_path: Path) -> None:
    """A link of the name of our directory leads elsewhere, and nothing is written or deleted there."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "bot.py").write_text("mine\n")
    (tree / ".tradewarden-new").symlink_to(tmp_path / "elsewhere")
    migration = _migration(tree, tmp_path)
    with pytest.raises(ConflictError, match="in the way"):
        migration.apply(migration.plan(), _undo(tmp_path))
    assert [path.read_text() for path in (tmp_path / "elsewhere").iterdir()] == ["mine\n"]


def test_programs_that_start_elsewhere_are_told_where_the_files_are(tree: Path, tmp_path: Path) -> None:
    """The directory is looked for where a program is started; the plan names the variable and the absolute place."""
    plan = _migration(tree, tmp_path).plan()
    assert any(f"TRADEWARDEN_SECRETS_DIR={tmp_path / 'safe'}" in duty for duty in plan.duties)
    plan = open_migration(tree, Method.ENV, {}, output=tmp_path / "env").plan()
    assert not any("TRADEWARDEN_SECRETS_DIR" in duty for duty in plan.duties)


@pytest.mark.crash
def test_a_full_disk_changes_no_file(tmp_path: Path, disk: Disk) -> None:  # noqa: F811 - the fixture
    """All new files are written before the first takes its place; with room again, the same run goes on."""
    root = _made(disk.path / "tree")
    before = _texts(root)
    migration = _migration(root, tmp_path)
    plan = migration.plan()
    disk.fill()
    with pytest.raises(StorageUnavailableError, match="No space left"):
        migration.apply(plan, _undo(tmp_path))
    assert _texts(root) == before
    assert not list(root.glob("**/.tradewarden-new"))
    assert _held(tmp_path) == {"api_key": _KEY, "api_secret": _SECRET}
    disk.free_up()
    _finish(root, tmp_path)


def test_a_disk_that_is_full_at_the_provider_changes_nothing(tmp_path: Path, disk: Disk) -> None:  # noqa: F811
    """The values come first: when they cannot be written, files stay as they are."""
    root = _made(tmp_path / "tree")
    before = _texts(root)
    migration = open_migration(root, Method.ENV, {}, output=disk.path / "env.secure")
    plan = migration.plan()
    disk.fill()
    with pytest.raises(UnavailableError):
        migration.apply(plan, _undo(tmp_path))
    assert _texts(root) == before


def test_a_file_that_changed_since_the_plan_stops_everything(tree: Path, tmp_path: Path) -> None:
    """Before anything is written, at the provider or here."""
    migration = _migration(tree, tmp_path)
    plan = migration.plan()
    (tree / "other.py").write_text("# new work\n")
    before = _texts(tree)
    with pytest.raises(ConflictError, match=r"other\.py was changed since the plan"):
        migration.apply(plan, _undo(tmp_path))
    assert _texts(tree) == before
    assert not (tmp_path / "safe").exists()
    assert _undo(tmp_path).names(tree) == []


def test_a_file_that_changes_in_the_last_moment_is_left(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's editor saved while this ran: that file keeps what was saved."""
    path = tree / "bot.py"
    before = path.read_bytes()
    path.write_bytes(b"saved\n")
    with pytest.raises(ConflictError, match="while this ran"):
        replace_all([Replacement(path, before, b"x")])
    assert path.read_bytes() == b"saved\n"
    assert sorted(each.name for each in tree.iterdir()) == ["bot.py", "other.py"]


def test_a_second_run_at_the_same_time_is_refused(tree: Path, tmp_path: Path) -> None:
    """It would take the first one's new files away."""
    migration = _migration(tree, tmp_path)
    plan = migration.plan()
    with _undo(tmp_path).alone(), pytest.raises(ConflictError, match="Another migration"):
        migration.apply(plan, _undo(tmp_path))
    migration.apply(plan, _undo(tmp_path))


def test_another_plan_than_the_expected_is_not_done(tree: Path, tmp_path: Path) -> None:
    """Who reviewed one plan does not get another."""
    migration = _migration(tree, tmp_path)
    with pytest.raises(ConflictError, match="Look again"):
        migration.apply(migration.plan(), _undo(tmp_path), expected="0123456789abcdef")
    assert not (tmp_path / "safe").exists()


def test_a_read_only_file_is_not_written_over(tree: Path, tmp_path: Path) -> None:
    """Who took the right to write meant it; the message says how to leave it out."""
    (tree / "bot.py").chmod(0o444)
    migration = _migration(tree, tmp_path)
    with pytest.raises(ConflictError, match="--exclude"):
        migration.apply(migration.plan(), _undo(tmp_path))
    assert not (tmp_path / "safe").exists()


def test_a_provider_that_does_not_answer_is_seen_before_anything(tree: Path, tmp_path: Path) -> None:
    """Already the plan asks what is there."""
    environ = {"TRADEWARDEN_URL": "http://127.0.0.1:9", "TRADEWARDEN_TOKEN": "x" * 40}
    before = _texts(tree)
    with pytest.raises(ProviderUnavailableError):
        open_migration(tree, Method.TRADEWARDEN, environ).plan()
    assert _texts(tree) == before


def test_a_method_without_its_settings_says_what_is_missing(tree: Path) -> None:
    """By the names of the variables."""
    with pytest.raises(ConfigurationError, match="VAULT_URL"):
        open_migration(tree, Method.VAULT, {})


class TestGit:
    """A place that a commit would take along is refused."""

    @pytest.fixture
    def repository(self, tree: Path) -> Path:
        """The tree as a repository that ignores nothing."""
        git(tree, "init", "-q")
        return tree

    @pytest.mark.parametrize(
        ("method", "line"),
        [(Method.ENV, "/.env.secure"), (Method.ENCRYPTED, "/.secrets/"), (Method.BOTH, "/.env.secure")],
    )
    def test_what_is_not_ignored(self, repository: Path, method: Method, line: str) -> None:
        """The error gives the line for .gitignore; with it, the same call works."""
        with pytest.raises(ConfigurationError) as raised:
            open_migration(repository, method, {})
        assert f"Add the line {line} to" in str(raised.value)
        assert {path.name for path in repository.iterdir()} == {".git", "bot.py", "other.py"}
        (repository / ".gitignore").write_text("/.env.secure\n/.secrets/\n")
        open_migration(repository, method, {})

    def test_what_is_tracked_although_it_is_ignored(self, repository: Path) -> None:
        """A file that git knows is committed, whatever .gitignore says."""
        (repository / ".gitignore").write_text(".env.secure\n")
        (repository / ".env.secure").write_text("A=1\n")
        git(repository, "add", "-f", ".env.secure")
        with pytest.raises(ConfigurationError, match="git would pick it up"):
            open_migration(repository, Method.ENV, {})

    def test_a_link_to_what_is_tracked(self, repository: Path) -> None:
        """The file behind an ignored link is the one that is written."""
        (repository / ".gitignore").write_text(".env.secure\n")
        (repository / ".env.secure").symlink_to("keys.txt")
        with pytest.raises(ConfigurationError, match=r"Add the line /keys\.txt"):
            open_migration(repository, Method.ENV, {})

    def test_outside_of_the_work_tree(self, repository: Path, tmp_path: Path) -> None:
        """Git sees nothing there."""
        open_migration(repository, Method.ENV, {}, output=tmp_path / "env.secure")

    def test_hooks_and_monitors_of_the_repository_are_not_run(self, repository: Path, tmp_path: Path) -> None:
        """Looking at somebody's repository runs nothing of it."""
        trap = tmp_path / "trap.sh"
        trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
        trap.chmod(0o755)
        git(repository, "config", "core.fsmonitor", str(trap))
        git(repository, "config", "core.pager", str(trap))
        (repository / ".gitignore").write_text("/.env.secure\n")
        open_migration(repository, Method.ENV, {}).plan()
        assert not (tmp_path / "sprung").exists()


def test_the_outputs_are_not_found_again(tree: Path, tmp_path: Path) -> None:
    """An env file in the tree is where values belong now; no plan takes them out of it."""
    migration = open_migration(tree, Method.ENV, {})
    migration.apply(migration.plan(), _undo(tmp_path))
    again = open_migration(tree, Method.ENV, {}).plan()
    assert (again.moves, again.changes) == ((), ())
    assert (tree / ".env.secure").stat().st_mode & 0o777 == 0o600


def test_the_key_of_the_files_is_not_put_among_them(tree: Path, tmp_path: Path) -> None:
    """`ALPHAPULSE_ENCRYPTION_KEY` opens the encrypted files; in them it would lock itself in."""
    key = values()["fernet"]
    (tree / "key.py").write_text(f'ENCRYPTION_KEY = "{key}"\n')
    plan = open_migration(
        tree, Method.ENCRYPTED, {"ALPHAPULSE_ENCRYPTION_KEY": key}, secrets_dir=tmp_path / "safe"
    ).plan()
    assert ["key of the encrypted files" in each.why for each in plan.by_hand] == [True]


def test_what_opens_a_provider_stays_in_dotenv(tree: Path, tmp_path: Path) -> None:
    """A token or key that providers are opened by would be locked in by moving it there; the rest of .env moves."""
    made = values()
    lines = [f"ALPHAPULSE_ENCRYPTION_KEY={made['fernet']}", f"AWS_SECRET_ACCESS_KEY={made['aws_secret']}"]
    moved = [f"BYBIT_API_SECRET={made['bybit_secret']}", f"ALPHAPULSE_JWT_SECRET={made['jwt']}"]
    (tree / ".env").write_text("\n".join([*lines, *moved, ""]))
    migration = open_migration(tree, Method.ENCRYPTED, {}, secrets_dir=tmp_path / "safe")
    plan = migration.plan()
    assert not plan.by_hand
    assert [note.split()[0] for note in plan.notes] == ["ALPHAPULSE_ENCRYPTION_KEY", "AWS_SECRET_ACCESS_KEY"]
    migration.apply(plan, _undo(tmp_path))
    after = (tree / ".env").read_text().splitlines()
    assert after[:2] == lines
    assert not any(value in line for value in (made["bybit_secret"], made["jwt"]) for line in after[2:])


def test_both_places_hold_the_same(tree: Path, tmp_path: Path) -> None:
    """The method `both` writes an env file and encrypted files, and code asks the providers."""
    migration = open_migration(tree, Method.BOTH, {}, output=tmp_path / "env", secrets_dir=tmp_path / "safe")
    applied = migration.apply(migration.plan(), _undo(tmp_path))
    assert [written.name for written in applied.written] == ["binance_credentials"] * 2
    assert _held(tmp_path) == {"api_key": _KEY, "api_secret": _SECRET}
    assert f"ALPHAPULSE_BINANCE_API_SECRET={_SECRET}" in (tmp_path / "env").read_text()
    assert "platform_secret" in (tree / "bot.py").read_text()


def test_nothing_is_shown_of_a_value_when_something_fails(tree: Path, tmp_path: Path) -> None:
    """The command line's errors and outputs, for people and for programs."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for arguments in (["plan"], ["plan", "--json"], ["apply", "--expect", "0" * 16], ["apply", "--json"], ["undo"]):
        command = [str(Path(sys.executable).parent / "tradewarden"), "migrate", *arguments]
        ran = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        assert not any(value in ran.stdout + ran.stderr for value in (_KEY, _SECRET))
        if "--json" in arguments:
            assert json.loads(ran.stdout)
        assert ran.returncode == (5 if "--expect" in arguments else 0), ran.stderr

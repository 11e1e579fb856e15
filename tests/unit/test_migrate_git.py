"""Reading a repository never runs anything that the repository says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.labelled import made
from tests.support.repositories import Repository, make_malicious
from tradewarden.errors import ConfigurationError, UnavailableError
from tradewarden.migrate.git import repository
from tradewarden.migrate.history import history
from tradewarden.migrate.scan import find
from tradewarden.migrate.staged import find_staged

LINE = f'POLYGON_API_KEY = "{made("mixed32", "git")}"\n'


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """An empty repository."""
    return Repository(tmp_path / "repo")


def test_a_malicious_repository_runs_nothing(repo: Repository, tmp_path: Path) -> None:
    """Hooks, monitors, filters, converters, pagers, aliases, helpers and transports of a repository stay unused."""
    marker = tmp_path / "marker"
    repo.commit({"a.py": LINE})
    repo.write({"b.py": LINE})
    repo.git("add", "b.py")
    make_malicious(repo, marker)
    assert len(find(repo.root)) == 2
    assert len(find_staged(repo.root)) == 1
    assert len(history(repo.root).kept) == 1
    assert not marker.exists()


def test_the_malicious_repository_is_one(repo: Repository, tmp_path: Path) -> None:
    """Plain git does run what the test above sees not run."""
    marker = tmp_path / "marker"
    repo.commit({"a.py": LINE})
    make_malicious(repo, marker)
    repo.write({"a.py": "x = 1\n"})
    repo.git("status")
    assert marker.exists()


def test_a_missing_object_is_not_fetched(repo: Repository, tmp_path: Path) -> None:
    """A promised object that is not there is left out; nobody is asked for it."""
    marker = tmp_path / "marker"
    repo.commit({"a.py": LINE, "b.py": "x = 1\n"})
    blob = repo.git("rev-parse", "HEAD:a.py")
    make_malicious(repo, marker)
    (repo.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    assert history(repo.root).kept == ()
    assert not marker.exists()


def test_another_owner_is_no_obstacle(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository of another user is read, since nothing of it is run."""
    repo.commit({"a.py": LINE})
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert len(history(repo.root).kept) == 1


def test_the_callers_git_variables_do_not_matter(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIT_DIR and the like point elsewhere, and the repository of the path is read all the same."""
    repo.commit({"a.py": LINE})
    other = Repository(tmp_path / "other")
    other.commit({"c.py": "x = 1\n"})
    marker = tmp_path / "marker"
    for name, value in {
        "GIT_DIR": other.root / ".git",
        "GIT_WORK_TREE": other.root,
        "GIT_INDEX_FILE": other.root / ".git" / "index",
        "GIT_EXTERNAL_DIFF": f"touch {marker}",
        "GIT_PAGER": f"touch {marker}",
        "GIT_SSH_COMMAND": f"touch {marker}",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": f"touch {marker}; false",
    }.items():
        monkeypatch.setenv(name, str(value))
    assert len(find(repo.root)) == 1
    assert len(history(repo.root).kept) == 1
    assert not marker.exists()


def test_a_linked_work_tree_and_a_bare_start_are_read(repo: Repository, tmp_path: Path) -> None:
    """A linked work tree has its files and all of the history."""
    repo.commit({"a.py": LINE})
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"), "-b", "side")
    assert [each.file for each in find(tmp_path / "linked")] == ["a.py"]
    assert len(history(tmp_path / "linked").kept) == 1
    empty = Repository(tmp_path / "empty")
    assert history(empty.root).kept == ()
    empty.write({"a.py": LINE})
    empty.git("add", "-A")
    assert len(find_staged(empty.root)) == 1


def test_sha256_and_split_indexes_are_read(tmp_path: Path) -> None:
    """Repositories with SHA-256 names, and indexes in two files, are read like others."""
    root = tmp_path / "wide"
    root.mkdir()
    repo = Repository(root)
    repo.git("update-index", "--split-index")
    repo.commit({"a.py": LINE})
    assert len(find(root)) == 1
    wide = tmp_path / "sha256"
    wide.mkdir()
    Repository.git(repo, "init", "-q", "--object-format=sha256", str(wide))
    other = Repository(wide)
    other.commit({"a.py": LINE})
    assert len(history(wide).kept) == 1


def test_what_fails_says_so(repo: Repository, tmp_path: Path) -> None:
    """Outside of a repository, and where git takes too long, the error says what happened."""
    repo.commit({"a.py": LINE})
    with pytest.raises(ConfigurationError, match="no git repository"):
        history(tmp_path)
    with pytest.raises(ConfigurationError, match="no git repository"):
        find_staged(tmp_path)
    with repository(repo.root) as git:
        assert git is not None
        with pytest.raises(UnavailableError, match="more than 0 seconds"):
            git.run("log", "--stdin", seconds=0.0001)
        with pytest.raises(UnavailableError, match="git log failed"):
            git.run("log", "no-such-branch", "--")


def test_references_are_read_wherever_they_are(repo: Repository) -> None:
    """Loose, packed and tagged names are found; a name that leaves the directory is not."""
    first = repo.commit({"a.py": LINE})
    repo.git("tag", "old")
    repo.git("pack-refs", "--all")
    second = repo.commit({"a.py": "x = 1\n"}, day=2)
    (repo.root / ".git" / "refs" / "heads" / "evil").write_text("ref: refs/../../../etc/passwd\n")
    with repository(repo.root) as git:
        assert git is not None
        assert git.references["refs/tags/old"] == first
        assert git.references["refs/heads/main"] == second == git.head
        assert "refs/heads/evil" not in git.references

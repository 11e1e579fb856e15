"""Which files are looked at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.labelled import made
from tests.support.repositories import Repository
from tradewarden.errors import ConfigurationError
from tradewarden.migrate.scan import find
from tradewarden.migrate.walk import MAX_BYTES, Unread, walk, worth_reading

LINE = f'POLYGON_API_KEY = "{made("mixed32", "walk")}"\n'


def _files(root: Path, *, ignored: bool = False) -> list[str]:
    return [file for file, _ in walk(root, ignored=ignored)]


def test_what_git_ignores_is_left_out(tmp_path: Path) -> None:
    """Tracked and new files are read; ignored ones only on request; tracked ones even when a pattern ignores them."""
    repo = Repository(tmp_path)
    repo.write({"forced.py": LINE})
    repo.git("add", "-f", "forced.py")
    repo.write(
        {
            ".gitignore": "*.env\n.env\nforced.py\n",
            "a.py": LINE,
            ".env": LINE,
            "sub/.gitignore": "b.py\n",
            "sub/b.py": LINE,
        }
    )
    assert _files(tmp_path) == [".gitignore", "a.py", "forced.py", "sub/.gitignore"]
    assert {".env", "sub/b.py"} <= set(_files(tmp_path, ignored=True))


def test_a_part_of_a_repository_is_named_from_there(tmp_path: Path) -> None:
    """Below a repository's top the paths start at the directory that was asked for."""
    repo = Repository(tmp_path)
    repo.commit({"sub/deep/a.py": LINE, "b.py": LINE})
    assert _files(tmp_path / "sub") == ["deep/a.py"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Files and directories that links lead to are not read, in a repository or out of one."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text(LINE)
    for root in (tmp_path / "plain", tmp_path / "repo"):
        root.mkdir()
        (root / "a.py").symlink_to(outside / "secret.py")
        (root / "dir").symlink_to(outside)
        (root / "loop").symlink_to(root)
    repo = Repository(tmp_path / "repo")
    repo.git("add", "-A")
    assert _files(tmp_path / "plain") == []
    assert _files(tmp_path / "repo") == []


def test_a_directory_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    """Git's index names dir/a.py; the directory is a link now: nothing beyond it is opened."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.py").write_text(LINE)
    repo = Repository(tmp_path / "repo")
    repo.commit({"dir/a.py": "x = 1\n"})
    (tmp_path / "repo" / "dir" / "a.py").unlink()
    (tmp_path / "repo" / "dir").rmdir()
    (tmp_path / "repo" / "dir").symlink_to(outside)
    assert find(tmp_path / "repo") == []


def test_other_things_than_text_are_left_out(tmp_path: Path) -> None:
    """Binary files, pipes and caches are passed over; text that cannot be read is reported with its reason."""
    (tmp_path / "a.bin").write_bytes(b"\0\1\2" + LINE.encode())
    (tmp_path / "wide.txt").write_bytes(LINE.encode("utf-16"))
    (tmp_path / "latin.txt").write_bytes("passwört = 1".encode("latin-1"))
    (tmp_path / "big.json").write_text(" " * (MAX_BYTES + 1))
    os.mkfifo(tmp_path / "pipe.py")
    for directory in ("node_modules", ".venv/lib", "__pycache__", ".git/objects"):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "a.py").write_text(LINE)
    unread: list[Unread] = []
    assert list(walk(tmp_path, unread=unread)) == []
    assert {each.file: each.why for each in unread} == {
        "wide.txt": "it is not UTF-8 text",
        "latin.txt": "it is not UTF-8 text",
        "big.json": "it is larger than 2 MiB",
    }


def test_line_ends_and_marks_are_kept(tmp_path: Path) -> None:
    """The text is the file's own, so that places fit it."""
    (tmp_path / "a.py").write_bytes(b"\xef\xbb\xbfx = 1\r\n" + LINE.encode())
    ((_, text),) = walk(tmp_path)
    assert text == "\ufeffx = 1\r\n" + LINE
    (one,) = find(tmp_path)
    assert text[one.start : one.end] == one.value.reveal()
    assert one.line == 2


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("tests", ["a.py", "b/c.py"]),
        ("*.py", []),
        ("b/*", ["a.py", "tests/t.py"]),
        ("./b/", ["a.py", "tests/t.py"]),
        ("c.py", ["a.py", "tests/t.py"]),
    ],
)
def test_patterns_leave_out(tmp_path: Path, pattern: str, left: list[str]) -> None:
    """A pattern names files, or directories with everything in them."""
    for name in ("a.py", "b/c.py", "tests/t.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(LINE)
    assert [each.file for each in find(tmp_path, exclude=[pattern])] == left


def test_lock_files_are_no_code() -> None:
    """Lock files, bundles and data are not read: they hold digests."""
    for name in ("uv.lock", "package-lock.json", "a/b.min.js", "data.csv", "model.pkl", ".tradewarden/accepted/a.json"):
        assert not worth_reading(name)
    assert worth_reading("a/config.json")


def test_a_missing_directory_says_so(tmp_path: Path) -> None:
    """What is no directory is an error and no empty answer."""
    with pytest.raises(ConfigurationError, match="is not a directory"):
        find(tmp_path / "nowhere")

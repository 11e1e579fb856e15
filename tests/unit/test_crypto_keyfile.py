"""Private files: who may read them, and what a crash leaves."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tradewarden.crypto.keyfile import create_private, move_private, private_directory, read_private, write_private
from tradewarden.errors import ConfigurationError, StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def mode(path: Path) -> int:
    """Return the permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0, 0o277])
@pytest.mark.parametrize("write", [write_private, create_private])
def test_written_for_this_user_alone(tmp_path: Path, write: Callable[[Path, bytes], None], umask: int) -> None:
    """A new file has mode 0600 whatever the umask, holds all of the data, and leaves nothing else behind."""
    before = os.umask(umask)
    try:
        write(tmp_path / "key", b"x" * 100_000)
    finally:
        os.umask(before)
    assert mode(tmp_path / "key") == 0o600
    assert read_private(tmp_path / "key", 100_000) == b"x" * 100_000
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_write_replaces_and_create_refuses(tmp_path: Path) -> None:
    """`write_private` replaces a file; `create_private` refuses one, and a link that leads nowhere too."""
    write_private(tmp_path / "key", b"old")
    write_private(tmp_path / "key", b"new")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("key", "link"):
        with pytest.raises(ConfigurationError, match="exists already"):
            create_private(tmp_path / name, b"other")
    assert read_private(tmp_path / "key", 10) == b"new"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["key", "link"]


def test_write_replaces_a_link_and_not_its_target(tmp_path: Path) -> None:
    """Writing over a symbolic link never writes through it."""
    (tmp_path / "target").write_bytes(b"theirs")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_private(tmp_path / "link", b"ours")
    assert (tmp_path / "target").read_bytes() == b"theirs"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o610])
def test_a_file_open_to_others_is_refused(tmp_path: Path, bits: int) -> None:
    """A key file that group or others can use is refused with the command that closes it."""
    (tmp_path / "key").write_bytes(b"key")
    (tmp_path / "key").chmod(bits)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {tmp_path}/key"):
        read_private(tmp_path / "key", 10)


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key file of another user is refused, one of root is not."""
    write_private(tmp_path / "key", b"key")
    owner = (tmp_path / "key").stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:
        assert read_private(tmp_path / "key", 10) == b"key"
        os.chown(tmp_path / "key", 4242, -1)
    with pytest.raises(ConfigurationError, match="belongs to user"):
        read_private(tmp_path / "key", 10)


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    """A missing file, a symbolic link, a pipe, a directory and a file too large are each refused by name."""
    write_private(tmp_path / "key", b"0123456789")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, text in (
        ("missing", "is missing"),
        ("link", "symbolic link"),
        ("pipe", "not a regular file"),
        (".", "not a regular file"),
        ("key/under", "cannot be read"),
    ):
        with pytest.raises(ConfigurationError, match=text):
            read_private(tmp_path / name, 100)
    with pytest.raises(ConfigurationError, match="larger than the 9 bytes"):
        read_private(tmp_path / "key", 9)


def test_private_directory(tmp_path: Path) -> None:
    """A directory is made 0700; one that others can enter, a link and a file are refused."""
    assert mode(private_directory(tmp_path / "a" / "b")) == 0o700
    assert private_directory(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "a").chmod(0o750)
    (tmp_path / "everybody's").mkdir()
    (tmp_path / "everybody's").chmod(0o1777)
    refused = (("a", "chmod 700"), ("everybody's", "mkdir -m 700"), ("link", "link"), ("file", "directory"))
    for name, text in refused:
        with pytest.raises(ConfigurationError, match=text):
            private_directory(tmp_path / name)


@pytest.mark.parametrize("write", [write_private, create_private])
@pytest.mark.parametrize("broken", ["open", "write", "fsync"])
def test_a_failed_write_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, bytes], None], broken: str
) -> None:
    """When the disk is full the old file stands, nothing half-written stays, and the error names the file."""
    if write is write_private:
        write_private(tmp_path / "key", b"old")

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, broken, fail)
        with pytest.raises(StorageUnavailableError, match=r"key cannot be written \(No space"):
            write(tmp_path / "key", b"new")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == (
        [("key", b"old")] if write is write_private else []
    )


def test_move(tmp_path: Path) -> None:
    """A private file is renamed over another; a missing one is named."""
    write_private(tmp_path / "a", b"a")
    write_private(tmp_path / "b", b"b")
    move_private(tmp_path / "a", tmp_path / "b")
    assert read_private(tmp_path / "b", 10) == b"a"
    with pytest.raises(ConfigurationError, match="a is missing"):
        move_private(tmp_path / "a", tmp_path / "b")
    write_private(tmp_path / "a", b"a")
    (tmp_path / "directory").mkdir()
    with pytest.raises(StorageUnavailableError):
        move_private(tmp_path / "a", tmp_path / "directory")

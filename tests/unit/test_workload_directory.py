"""The files of an identity: replaced as a whole, private, and whole after a kill at any instant."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.service import wait_until
from tests.support.workload import Issuer
from tradewarden.errors import ConfigurationError, IntegrityError, TradewardenError
from tradewarden.workload.directory import IdentityDirectory

ISSUER = Issuer()


@pytest.fixture
def directory(tmp_path: Path) -> IdentityDirectory:
    """An empty one."""
    made = IdentityDirectory(tmp_path / "identity")
    made.prepare()
    return made


def test_holds_nothing_at_first(directory: IdentityDirectory) -> None:
    """There is no pair, no version, and nothing announced."""
    assert directory.read() is None
    assert (directory.version(), directory.announced(), directory.joined(), directory.crls()) == ("", "", "", b"")


def test_reads_what_was_put(directory: IdentityDirectory) -> None:
    """A pair comes back under its version, from files that only this user can read."""
    put = directory.put(ISSUER.pair())
    assert directory.read() == put
    assert put.version == directory.version() == "000001"
    files = [each for each in directory.path.rglob("*") if each.is_file()]
    assert {stat.S_IMODE(each.lstat().st_mode) for each in files} == {0o600}
    assert str((directory.path / "current").readlink()) == "versions/000001"


def test_keeps_the_version_before_and_tidies_older_ones(directory: IdentityDirectory) -> None:
    """Of many versions two stay: the current one, and the one that somebody may just be reading."""
    for _ in range(4):
        directory.put(ISSUER.pair())
    assert sorted(each.name for each in (directory.path / "versions").iterdir()) == ["000003", "000004"]


def test_only_one_process_changes_it(directory: IdentityDirectory) -> None:
    """The second one is told that it is busy, and not made to wait."""
    with directory.lock() as first, directory.lock() as second:
        assert (first, second) == (True, False)
    with directory.lock() as again:
        assert again


def test_refuses_what_others_can_read(directory: IdentityDirectory) -> None:
    """A key file that was opened to others is named with what to do about it."""
    put = directory.put(ISSUER.pair())
    (directory.folder(put.version) / "key.pem").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        directory.read()


@pytest.mark.parametrize("name", ["key.pem", "cert.pem", "ca.pem"])
def test_names_a_damaged_file(directory: IdentityDirectory, name: str) -> None:
    """What cannot be read, or does not match, is refused with the directory's name and what to do."""
    put = directory.put(ISSUER.pair())
    (directory.folder(put.version) / name).write_bytes(b"-----BEGIN NONSENSE-----\n")
    with pytest.raises(IntegrityError, match="enrol again"):
        directory.read()


def test_refuses_a_key_of_another_certificate(directory: IdentityDirectory) -> None:
    """A mixed pair is never handed out."""
    put = directory.put(ISSUER.pair())
    (directory.folder(put.version) / "key.pem").write_bytes(ISSUER.pair().key_pem)
    with pytest.raises(IntegrityError, match="not for this private key"):
        directory.read()


STEPS = ("mkdir", "open", "write", "fsync", "link", "symlink", "replace", "rename", "unlink")


@pytest.mark.parametrize("fail_at", range(40))
def test_whole_after_a_fault_at_each_step(
    directory: IdentityDirectory, monkeypatch: pytest.MonkeyPatch, fail_at: int
) -> None:
    """Whichever call to the system fails, the old pair holds or the new one does, and the next try succeeds."""
    old, new = directory.put(ISSUER.pair()), ISSUER.pair()
    calls = 0

    def failing(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == fail_at + 1:
                raise OSError(28, "No space left on device")
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    for step in STEPS:
        failing(step)
    try:
        directory.put(new)
        done = True
    except (TradewardenError, OSError):
        done = False
    monkeypatch.undo()
    held = directory.read()
    assert held is not None
    assert held.key_pem in (old.key_pem, new.key_pem)
    assert not done or held.key_pem == new.key_pem
    last = directory.put(ISSUER.pair())
    assert directory.read() == last
    assert len(list((directory.path / "versions").iterdir())) <= 2


WRITER = """
import sys
from pathlib import Path
from tests.support.workload import Issuer
from tradewarden.workload.directory import IdentityDirectory
directory = IdentityDirectory(Path(sys.argv[1]))
directory.prepare()
pairs = [Issuer().pair() for _ in range(4)]
while True:
    for pair in pairs:
        with directory.lock():
            directory.put(pair)
"""


@pytest.mark.crash
def test_whole_after_kill_at_any_instant(tmp_path: Path) -> None:
    """A writer that is killed again and again while it replaces the pair leaves one that belongs together."""
    directory = IdentityDirectory(tmp_path / "identity")
    seen: set[str] = set()
    for _ in range(8):
        before = directory.version()
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(directory.path)])
        try:
            wait_until(lambda before=before: directory.version() != before, "nothing was written")  # type: ignore[misc]
            time.sleep(random.uniform(0, 0.02))  # the instant of the kill is what is tried
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        held = directory.read()
        assert held is not None
        assert held.anchored
        seen.add(held.version)
    assert len(seen) == 8
    directory.put(ISSUER.pair())
    assert len(list((directory.path / "versions").iterdir())) == 2

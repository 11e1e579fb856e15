"""Encrypted files: what somebody with the directory cannot do, what a crash or another writer cannot break."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, InvalidToken

from tests.support.disk import Disk, disk
from tests.support.providers import FERNET_KEY
from tradewarden.crypto.aead import AeadKey
from tradewarden.crypto.place import place
from tradewarden.errors import (
    ConfigurationError,
    DecryptionError,
    IntegrityError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
    UnavailableError,
)
from tradewarden.keys.encoding import key_from_base64
from tradewarden.secrets.providers.files import alphapulse
from tradewarden.secrets.providers.files import files as files_module
from tradewarden.secrets.providers.files.files import KEPT_VERSIONS, EncryptedFilesProvider
from tradewarden.secrets.providers.files.key import VARIABLE, FilesKey
from tradewarden.secrets.providers.files.sealed import Kept, Record, seal
from tradewarden.secrets.providers.lock import locked

__all__ = ["disk"]
KEY = FilesKey.from_fernet(FERNET_KEY)
OTHER = FilesKey.from_fernet(Fernet.generate_key().decode(), "OTHER_KEY")
WRITES = 40


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the files are."""
    return tmp_path / ".secrets"


@pytest.fixture
def provider(directory: Path) -> EncryptedFilesProvider:
    """A provider with one secret, `first`, in two versions."""
    made = EncryptedFilesProvider(directory, KEY)
    made.put("first", "old content")
    made.put("first", "content")
    return made


def file_of(directory: Path, name: str) -> Path:
    """Return a secret's file."""
    return directory / f"{KEY.file_name(name)}.secret"


def snapshot(directory: Path) -> dict[str, bytes]:
    """Return every file."""
    return {each.name: each.read_bytes() for each in directory.iterdir()}


def test_the_directory_tells_neither_names_nor_contents(provider: EncryptedFilesProvider, directory: Path) -> None:
    """File names are hashes under a key, and nothing readable stands in the files; only we may look."""
    provider.put("exchange/binance_credentials", {"api_secret": "hunter2hunter2"})
    everything = b"".join(name.encode() + content for name, content in snapshot(directory).items())
    for text in (b"binance", b"exchange", b"first", b"hunter2", b"api_secret", b"content"):
        assert text not in everything
    assert EncryptedFilesProvider(directory, KEY)._path("first") != EncryptedFilesProvider(directory, OTHER)._path(
        "first"
    )
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in directory.iterdir()} == {0o600}


def test_a_file_that_was_moved_to_another_name_is_refused(provider: EncryptedFilesProvider, directory: Path) -> None:
    """Neither a swap of two secrets nor an old file under another name is believed."""
    provider.put("second", "other")
    first, second = file_of(directory, "first"), file_of(directory, "second")
    shutil.copy(first, second)
    with pytest.raises(IntegrityError, match=str(second)):
        provider.get("second")
    shutil.move(first, file_of(directory, "third"))
    with pytest.raises(IntegrityError, match="moved there"):
        provider.get("third")
    with pytest.raises(IntegrityError):
        provider.names()
    assert provider.get_many(["first"]) == {}


def test_a_file_put_together_from_two_is_refused(provider: EncryptedFilesProvider, directory: Path) -> None:
    """The name of one secret does not open the content of another."""
    provider.put("sixth", "other")
    first, other = file_of(directory, "first"), file_of(directory, "sixth")
    end = 14 + int.from_bytes(first.read_bytes()[12:14], "big")
    other.write_bytes(other.read_bytes()[:end] + first.read_bytes()[end:])
    with pytest.raises(IntegrityError):
        provider.get("sixth")


def test_every_damaged_byte_is_noticed(provider: EncryptedFilesProvider, directory: Path) -> None:
    """Wherever a file was changed or cut off, the error names it and nothing is written over it."""
    path = file_of(directory, "first")
    whole = path.read_bytes()
    damages = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    damages += [whole[:at] for at in range(0, len(whole), 7)] + [whole + b"x", b""]
    for damaged in damages:
        path.write_bytes(damaged)
        for ask in (lambda: provider.get("first"), lambda: provider.put("first", "new")):
            with pytest.raises((IntegrityError, ConfigurationError), match=str(path)):
                ask()
        assert path.read_bytes() == damaged


def test_a_damaged_secret_can_be_deleted_and_put_again(provider: EncryptedFilesProvider, directory: Path) -> None:
    """What the error says to do works."""
    path = file_of(directory, "first")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="delete the secret and put it again"):
        provider.get("first")
    provider.delete("first")
    provider.put("first", "again")
    assert provider.get("first").content == "again"


def test_an_authentic_file_of_a_later_format_is_refused(provider: EncryptedFilesProvider, directory: Path) -> None:
    """What is not understood is not guessed."""
    record = Record("x", (Kept(1, 0.0, b"x"),))
    sealed = seal(KEY, "first", record, os.urandom)
    end = 14 + int.from_bytes(sealed[12:14], "big")
    later = KEY.cipher.encrypt(b"\x01", place("files/versions", KEY.file_name("first"), "first"), os.urandom(12))
    file_of(directory, "first").write_bytes(sealed[:end] + later)
    with pytest.raises(IntegrityError):
        provider.get("first")


@pytest.mark.parametrize(
    "ask",
    [
        lambda wrong: wrong.get("first"),
        lambda wrong: wrong.get("never_there"),
        lambda wrong: wrong.put("first", "x"),
        lambda wrong: wrong.put("new", "x"),
        lambda wrong: wrong.delete("first"),
        lambda wrong: wrong.names(),
        lambda wrong: wrong.get_many(["first"]),
    ],
    ids=["get", "get missing", "put", "put new", "delete", "names", "get_many"],
)
def test_a_wrong_key_is_said_and_changes_nothing(
    provider: EncryptedFilesProvider, directory: Path, ask: Callable[[EncryptedFilesProvider], object]
) -> None:
    """Under another key no secret looks missing, and no second set of files begins."""
    before = snapshot(directory)
    with pytest.raises(ConfigurationError, match="another key than OTHER_KEY"):
        ask(EncryptedFilesProvider(directory, OTHER))
    assert snapshot(directory) == before


def test_the_last_five_versions_are_kept(provider: EncryptedFilesProvider) -> None:
    """Older ones are gone, and a secret that is made again does not take their names."""
    versions = [provider.put("key", f"{number}") for number in range(KEPT_VERSIONS + 2)]
    assert [provider.get("key", each).content for each in versions[2:]] == ["2", "3", "4", "5", "6"]
    for gone in versions[:2]:
        with pytest.raises(SecretNotFoundError):
            provider.get("key", gone)
    provider.delete("key")
    assert provider.put("key", "new") not in versions


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_directory_that_others_may_write_is_refused(
    provider: EncryptedFilesProvider, directory: Path, mode: int
) -> None:
    """The error says which and what to run; afterwards it goes on."""
    directory.chmod(mode)
    for ask in (lambda: provider.get("first"), lambda: provider.put("x", "y"), provider.names):
        with pytest.raises(ConfigurationError, match=f"chmod go-w {directory}"):
            ask()
    directory.chmod(0o700)
    assert provider.get("first").content == "content"


def test_a_directory_that_others_may_read_is_closed_by_the_next_put(
    provider: EncryptedFilesProvider, directory: Path
) -> None:
    """AlphaPulse made its directory with the user's umask."""
    directory.chmod(0o755)
    assert provider.get("first").content == "content"
    provider.put("first", "x")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_file_that_others_may_write_is_refused(provider: EncryptedFilesProvider, directory: Path) -> None:
    """So are links and what is no file."""
    path = file_of(directory, "first")
    path.chmod(0o620)
    with pytest.raises(ConfigurationError, match="chmod go-w"):
        provider.get("first")
    path.chmod(0o600)
    target = path.rename(directory / "moved")
    path.symlink_to(target)
    with pytest.raises(ConfigurationError, match="symbolic link"):
        provider.get("first")
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigurationError, match="not a regular file"):
        provider.get("first")


def test_a_directory_that_is_a_link_is_refused(provider: EncryptedFilesProvider, directory: Path) -> None:
    """The directory is named itself."""
    link = directory.with_name("link")
    link.symlink_to(directory)
    with pytest.raises(ConfigurationError, match="link or not a directory"):
        EncryptedFilesProvider(link, KEY).get("first")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_directory_that_may_not_be_read_is_refused(provider: EncryptedFilesProvider, directory: Path) -> None:
    """Not allowed is not the same as missing."""
    directory.parent.chmod(0o755)
    os.chown(directory, 65534, 65534)
    os.chown(file_of(directory, "first"), 0, 0)
    os.seteuid(65534)
    try:
        with pytest.raises((ProviderRefusedError, ConfigurationError)):
            provider.get("first")
    finally:
        os.seteuid(0)


def test_old_files_of_alphapulse_are_read_and_become_ours(directory: Path) -> None:
    """`<name>.enc`, Fernet, with the mode they have; the next put keeps the old content as a version."""
    directory.mkdir(mode=0o755)
    theirs = Fernet(FERNET_KEY)
    contents = {"database_credentials": {"user": "u", "password": "p"}, "jwt_secret": "a text", "list": "[1, 2]"}
    for name, content in contents.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (directory / f"{name}.enc").write_bytes(theirs.encrypt(text.encode()))
    provider = EncryptedFilesProvider(directory, KEY)
    assert {name: provider.get(name).content for name in contents} == contents
    assert provider.names() == sorted(contents)
    old = provider.get("jwt_secret").version
    provider.put("jwt_secret", "new")
    assert not (directory / "jwt_secret.enc").exists()
    assert (provider.get("jwt_secret").content, provider.get("jwt_secret", old).content) == ("new", "a text")
    assert provider.names() == sorted(contents)
    provider.delete("list")
    with pytest.raises(SecretNotFoundError):
        provider.get("list")


def test_a_reader_misses_nothing_while_a_file_becomes_ours(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its look at ours and its look at theirs a writer may have moved the secret from one to the other."""
    directory.mkdir(mode=0o700)
    (directory / "key.enc").write_bytes(Fernet(FERNET_KEY).encrypt(b"old"))
    reader, writer = EncryptedFilesProvider(directory, KEY), EncryptedFilesProvider(directory, KEY)

    def late(*arguments: object) -> object:
        monkeypatch.undo()
        writer.put("key", "new")
        return alphapulse.read_old(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(files_module, "read_old", late)
    assert reader.get("key").content == "new"


def test_an_old_file_that_does_not_open_is_said_and_kept(directory: Path) -> None:
    """Another key or damage: the file is named, and neither read nor written over."""
    directory.mkdir(mode=0o700)
    path = directory / "jwt_secret.enc"
    path.write_bytes(Fernet(Fernet.generate_key()).encrypt(b"x"))
    before = snapshot(directory)
    provider = EncryptedFilesProvider(directory, KEY)
    for ask in (lambda: provider.get("jwt_secret"), lambda: provider.put("jwt_secret", "new")):
        with pytest.raises(IntegrityError, match=f"{path} does not open"):
            ask()
    assert snapshot(directory) == before


def test_the_encryption_key_encrypts_nothing_itself(provider: EncryptedFilesProvider, directory: Path) -> None:
    """With the key alone, as it is, nothing of ours opens: it is a root, from which one key for each use is derived."""
    raw, root = file_of(directory, "first").read_bytes(), key_from_base64(FERNET_KEY.encode(), "the test")
    with pytest.raises(InvalidToken):
        Fernet(FERNET_KEY).decrypt(raw)
    name, file = raw[14 : 14 + int.from_bytes(raw[12:14], "big")], KEY.file_name("first")
    assert KEY.cipher.decrypt(name, place("files/name", file)) == b"first"
    with pytest.raises(DecryptionError):
        AeadKey(root, KEY.cipher.version).decrypt(name, place("files/name", file))


def test_without_a_key_one_is_made_and_said(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once, 0600, with a warning that names the file and not the key; the next one takes it."""
    with caplog.at_level(logging.WARNING):
        made = FilesKey.chosen({}, directory)
    path = directory / "key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert str(path) in caplog.text
    assert VARIABLE in caplog.text
    assert path.read_text().strip() not in caplog.text
    EncryptedFilesProvider(directory, made).put("first", "content")
    caplog.clear()
    again = FilesKey.chosen({VARIABLE: ""}, directory)
    assert not caplog.records
    assert EncryptedFilesProvider(directory, again).get("first").content == "content"
    assert EncryptedFilesProvider(directory, again).names() == ["first"]


def test_nothing_is_made_for_who_has_no_secrets(directory: Path) -> None:
    """Asking makes neither a directory nor a key; the first put makes both."""
    provider = EncryptedFilesProvider(directory, lambda: FilesKey.chosen({}, directory))
    assert provider.names() == []
    assert provider.get_many(["first"]) == {}
    for ask in (provider.get, provider.delete):
        with pytest.raises(SecretNotFoundError):
            ask("first")
    assert not directory.exists()
    directory.mkdir(mode=0o700)
    assert provider.get_many(["first"]) == {}
    assert not list(directory.iterdir())
    provider.put("first", "content")
    assert {each.name for each in directory.iterdir()} == {"key", f"{provider._key.file_name('first')}.secret"}


@pytest.mark.parametrize("suffix", [".secret", ".enc"])
def test_no_key_is_made_beside_secrets_of_another(
    provider: EncryptedFilesProvider, directory: Path, suffix: str
) -> None:
    """Where the variable was forgotten, secrets that are there do not look missing."""
    if suffix == ".enc":
        provider.delete("first")
        (directory / "first.enc").write_bytes(b"x")
    forgotten = EncryptedFilesProvider(directory, lambda: FilesKey.chosen({}, directory))
    for ask in (lambda: forgotten.get("first"), lambda: forgotten.put("first", "x"), lambda: forgotten.delete("first")):
        with pytest.raises(ConfigurationError, match=f"{directory} holds secrets.*{VARIABLE}"):
            ask()
    assert not (directory / "key").exists()


def test_a_key_that_others_can_read_is_refused(directory: Path) -> None:
    """A key file is this user's alone."""
    FilesKey.in_directory(directory)
    (directory / "key").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        FilesKey.in_directory(directory)


@pytest.mark.parametrize("text", ["too-short", "A" * 43 + "=", "%" * 44])
def test_a_key_that_is_none_is_refused(text: str) -> None:
    """The variable is named, its text is not shown."""
    with pytest.raises(ConfigurationError, match=VARIABLE) as raised:
        FilesKey.from_fernet(text)
    assert text not in str(raised.value)


def test_a_full_disk_leaves_the_old_value(disk: Disk) -> None:
    """The writer is told, the old content stays, no half file is left, and with room it goes on."""
    provider = EncryptedFilesProvider(disk.path, KEY)
    provider.put("first", "x" * 200_000)
    disk.fill()
    with pytest.raises(ProviderUnavailableError, match="is as it was") as raised:
        provider.put("first", "y" * 400_000)
    assert isinstance(raised.value, UnavailableError)
    assert EncryptedFilesProvider(disk.path, KEY).get("first").content == "x" * 200_000
    assert not list(disk.path.glob(".*.tmp"))
    disk.free_up()
    provider.put("first", "y" * 400_000)
    assert provider.get("first").content == "y" * 400_000


def test_a_crash_before_the_rename_leaves_the_old_value(
    provider: EncryptedFilesProvider, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the new file stands whole under its name, the old one does; the next writer takes away what was left."""
    half = directory / f".{KEY.file_name('first')}.secret.0011.tmp"
    half.write_bytes(b"half")
    assert provider.get("first").content == "content"
    assert provider.names() == ["first"]

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        provider.put("first", "new")
    monkeypatch.undo()
    assert provider.get("first").content == "content"
    EncryptedFilesProvider(directory, KEY).put("second", "x")
    assert not half.exists()


def test_two_processes_that_write_lose_nothing(directory: Path) -> None:
    """Every put of both is a version of its own, numbered one after the other, and the rest are there as well."""
    program = (
        "import sys, pathlib\n"
        "from tradewarden.secrets.providers.files.files import EncryptedFilesProvider\n"
        "from tradewarden.secrets.providers.files.key import FilesKey\n"
        "provider = EncryptedFilesProvider(pathlib.Path(sys.argv[1]), FilesKey.from_fernet(sys.argv[2]))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        f"for number in range({WRITES}):\n"
        "    print(provider.put('shared', f'{sys.argv[3]} {number}'))\n"
        "    provider.put(f'{sys.argv[3]}_{number}', 'x')\n"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(directory), FERNET_KEY, name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in ("left", "right")
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    versions = []
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        said, _ = writer.communicate(timeout=60)
        assert writer.returncode == 0
        versions += said.split()
    numbers = sorted(int(version.partition("-")[0]) for version in versions)
    assert numbers == list(range(1, 2 * WRITES + 1))
    assert len({version.partition("-")[2] for version in versions}) == 1
    names = EncryptedFilesProvider(directory, KEY).names()
    assert len(names) == 2 * WRITES + 1


def test_a_writer_that_hangs_does_not_hang_the_others(provider: EncryptedFilesProvider, directory: Path) -> None:
    """Who waits too long for the lock is told; readers do not wait at all."""
    with locked(directory):
        assert provider.get("first").content == "content"
        with pytest.raises(ProviderUnavailableError, match="locked by another writer"), locked(directory, 0.05):
            pass
    provider.put("first", "x")


def test_ten_thousand_secrets_are_listed_in_a_second(directory: Path) -> None:
    """The names are read from the heads of the files alone."""
    directory.mkdir(mode=0o700)
    for number in range(10_000):
        name = f"bot/{number:05}"
        record = Record("x", (Kept(1, 0.0, b"content"),))
        file_of(directory, name).write_bytes(seal(KEY, name, record, os.urandom))
    provider = EncryptedFilesProvider(directory, KEY)
    provider.names("bot/00")
    best = min(_seconds(provider.names) for _ in range(3))
    assert len(provider.names()) == 10_000
    assert best < 1


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@pytest.mark.parametrize("length", [251, 252, 255])
def test_a_name_may_be_as_long_as_names_may_be(provider: EncryptedFilesProvider, length: int) -> None:
    """AlphaPulse could keep no file of such a name, so there is none to look for."""
    name = "x" * length
    with pytest.raises(SecretNotFoundError):
        provider.get(name)
    provider.put(name, "v")
    assert provider.get(name).content == "v"
    provider.delete(name)
    with pytest.raises(SecretNotFoundError):
        provider.delete(name)


def test_the_directory_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that changes its working directory goes on with the same files."""
    monkeypatch.chdir(tmp_path)
    provider = EncryptedFilesProvider(Path(".secrets"), KEY)
    provider.put("key", "v")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert provider.get("key").content == "v"

"""Root rotations in other processes: who follows them, from where, and what nobody believes."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.support.keys import ENVIRONMENT, ROOT_KEY, key_entry, key_grant
from tradewarden.clock import SystemClock, system_randomness
from tradewarden.crypto.keyfile import write_private
from tradewarden.errors import ConfigurationError, IntegrityError, StorageUnavailableError
from tradewarden.keys.changes import RootOrigin, Writer
from tradewarden.keys.keyring import Keyring
from tradewarden.keys.purpose import Purpose
from tradewarden.keys.root import RootKey, Stretching
from tradewarden.keys.root_file import FileRoot
from tradewarden.keys.source import RootSources, root_source
from tradewarden.keys.store import LONGEST_URI, KeyState
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_keys import MemoryKeyStore

if TYPE_CHECKING:
    from pathlib import Path

NEW_KEY = ROOT_KEY[::-1]
PHRASE = "orbit velvet canyon mosaic thimble rust"
BOTH = {**ENVIRONMENT, "NEW": b64encode(NEW_KEY).decode(), "PHRASE": PHRASE}
WRONG_ROOT = "is not the root key this data was written with"


class Store(MemoryKeyStore):
    """A memory store that shows and takes its rows."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase())

    @property
    def state(self) -> KeyState:
        """What stands."""
        return self._state

    @state.setter
    def state(self, state: KeyState) -> None:
        self._state = state


async def opened(
    store: MemoryKeyStore,
    uri: str = "env:TEST_ROOT_KEY",
    environment: dict[str, str] | None = None,
    follow: bytes | None = None,
) -> Keyring:
    """Open a keyring as a process does whose environment has the old root key and the new one."""
    sources = RootSources(uri, BOTH if environment is None else environment)
    return await Keyring.open(store, sources, system_randomness, SystemClock(), follow=follow)


async def rotated(keys: Keyring, uri: str, environment: dict[str, str] | None = None) -> None:
    """Rotate the root."""
    source = root_source(uri, environment or BOTH)
    await keys.rotate_root(key_grant("keys:rotate", "root"), source, key_entry())


async def assert_works_with(one: Keyring, other: Keyring) -> None:
    """Rotate purposes on either side and read what the other one wrote."""
    for mine, theirs in ((one, other), (other, one), (one, other)):
        for _ in range(2):
            await mine.rotate(key_grant("keys:rotate", "secrets"), Purpose.SECRETS, key_entry())
        await theirs.refresh()
        await mine.reserve(Purpose.SECRETS)
        value = mine.cipher(Purpose.SECRETS).encrypt(b"value", b"place")
        assert theirs.cipher(Purpose.SECRETS).decrypt(value, b"place") == b"value"
        assert mine.current(Purpose.SECRETS) == theirs.current(Purpose.SECRETS)


def forged(uri: str, key: bytes, generation: int = 2) -> KeyState:
    """Return a state as somebody makes it who can write to the database and knows `key`, and nothing else."""
    writer = Writer(RootKey(key), generation, system_randomness, 1.0)
    record = writer.record(Purpose, RootOrigin(uri, Stretching()))
    return KeyState(record, tuple(row for purpose in sorted(Purpose) for row in writer.first_keys(purpose)))


def contents(directory: Path) -> dict[Path, bytes]:
    """Return every file of a directory."""
    return {path: path.read_bytes() for path in directory.iterdir()}


def renamed(state: KeyState, uri: str) -> KeyState:
    """Return the state with another URI in its root record."""
    assert state.root
    return replace(state, root=replace(state.root, uri=uri))


@pytest.mark.parametrize("uri", ["env:NEW", "file:{}/new.key", "passphrase:env:PHRASE", "passphrase:file:{}/phrase"])
async def test_every_process_follows_a_root_rotation(tmp_path: Path, uri: str) -> None:
    """A process whose own source gives the old key takes the new one from where the record says, and can do all."""
    write_private(tmp_path / "phrase", PHRASE.encode())
    store = Store()
    mine, theirs = await opened(store), await opened(store)
    lineage = theirs.lineage
    await rotated(mine, uri.format(tmp_path))
    await theirs.refresh()
    assert not theirs.outdated
    assert theirs.lineage == lineage
    await assert_works_with(mine, theirs)
    await rotated(theirs, f"file:{tmp_path}/third.key")
    await mine.refresh()
    await assert_works_with(theirs, mine)


@pytest.mark.parametrize("uri", ["env:NEW", "file:{}/new.key"])
async def test_a_replaced_process_follows_and_a_fresh_start_does_not(tmp_path: Path, uri: str) -> None:
    """With the lineage of the running service the old setting will do after any rotations; without, it is refused."""
    store = Store()
    mine = await opened(store)
    lineage = mine.lineage
    await rotated(mine, f"file:{tmp_path}/second.key")
    await rotated(mine, uri.format(tmp_path))
    for purpose in (*Purpose, *Purpose):
        await mine.rotate(key_grant("keys:rotate", purpose), purpose, key_entry())
    assert mine.lineage == lineage
    again = await opened(store, follow=lineage)
    assert not again.outdated
    await assert_works_with(mine, again)
    with pytest.raises(ConfigurationError, match=WRONG_ROOT):
        await opened(store)
    assert (await opened(store, uri.format(tmp_path))).lineage == lineage


async def test_a_replaced_process_does_not_need_the_old_key(tmp_path: Path) -> None:
    """The old key file may be gone by the time a child is replaced; a fresh start names it."""
    store, old = Store(), tmp_path / "old.key"
    mine = await opened(store, f"file:{old}")
    await rotated(mine, f"file:{tmp_path}/new.key")
    old.unlink()
    assert not (await opened(store, f"file:{old}", follow=mine.lineage)).outdated
    with pytest.raises(ConfigurationError, match=r"old.key is missing"):
        await opened(store, f"file:{old}")
    assert os.listdir(tmp_path) == ["new.key"]  # noqa: PTH208


async def test_a_source_that_is_not_here_is_not_followed() -> None:
    """A process without the variable stays outdated, a replaced one refuses as a fresh start does."""
    store = Store()
    mine, theirs = await opened(store), await opened(store, environment=ENVIRONMENT)
    await rotated(mine, "env:NEW")
    await theirs.refresh()
    assert theirs.outdated
    with pytest.raises(ConfigurationError, match=WRONG_ROOT):
        await opened(store, environment=ENVIRONMENT, follow=mine.lineage)


async def test_the_own_source_is_asked_too(tmp_path: Path) -> None:
    """A process that finds the new key under its own name follows although the record names another."""
    store = Store()
    mine = await opened(store)
    theirs = await opened(store, environment=(environment := dict(ENVIRONMENT)))
    await rotated(mine, f"file:{tmp_path}/new.key")
    environment["TEST_ROOT_KEY"] = (tmp_path / "new.key").read_text()
    (tmp_path / "new.key").unlink()
    await theirs.refresh()
    assert not theirs.outdated


async def test_a_follower_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that still waits under its first name is taken from there, and its name left to a fresh start."""

    def failing(*_: object) -> None:
        raise StorageUnavailableError("no")

    store, path = Store(), tmp_path / "new.key"
    mine, theirs = await opened(store), await opened(store)
    with monkeypatch.context() as patch:
        patch.setattr(FileRoot, "settle", failing)
        await rotated(mine, f"file:{path}")
    before = os.listdir(tmp_path)  # noqa: PTH208
    await theirs.refresh()
    again = await opened(store, follow=mine.lineage)
    assert not theirs.outdated
    assert not again.outdated
    assert os.listdir(tmp_path) == before != ["new.key"]  # noqa: PTH208
    await opened(store, f"file:{path}")
    assert os.listdir(tmp_path) == ["new.key"]  # noqa: PTH208


async def test_a_rename_between_two_looks_is_met(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds the old key at its name and no waiting one looks at the name again."""
    store, path = Store(), tmp_path / "root.key"
    mine, theirs = await opened(store, f"file:{path}"), await opened(store, f"file:{path}")
    old = FileRoot(path)._read(path)
    await rotated(mine, f"file:{path}")
    looks = []
    read = FileRoot._read

    def late(source: FileRoot, at: Path) -> RootKey | None:
        looks.append(at)
        return old if len(looks) == 1 else read(source, at)

    monkeypatch.setattr(FileRoot, "_read", late)
    await theirs.refresh()
    assert not theirs.outdated
    assert len(looks) == 3


async def test_a_rotation_during_a_start_is_met(tmp_path: Path) -> None:
    """A start that loaded the keys just before a rotation, and its source just after, looks again."""
    store = Store()
    mine = await opened(store, f"file:{tmp_path}/root.key")
    before = store.state
    await rotated(mine, f"file:{tmp_path}/root.key")

    class Late(MemoryKeyStore):
        loads = 0

        async def load(self) -> KeyState:
            self.loads += 1
            return before if self.loads == 1 else store.state

    late = Late(MemoryDatabase())
    assert (await opened(late, f"file:{tmp_path}/root.key")).lineage == mine.lineage
    assert late.loads == 2


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "file:",
        "file:/",
        "file:/dev/zero",
        "file:/etc/passwd",
        "file:/nowhere/at/all",
        "file:/" + "x" * 300,
        "file:/\0",
        "file:{}/open",
        "file:{}/link",
        "file:{}/text",
        "file:{}",
        "env:PATH",
        "env:no name",
        "passphrase:",
        "passphrase:env:PATH",
        "passphrase:file:/etc/passwd",
        "pkcs11:x",
        "https://x/",
        "x" * (LONGEST_URI + 1),
    ],
)
async def test_a_forged_uri_leads_nowhere(tmp_path: Path, uri: str) -> None:
    """Whatever URI a writer of the database puts there: who does not know the key stays as it was, others refuse."""
    for name in ("open", "real", "text"):
        write_private(tmp_path / name, b64encode(NEW_KEY) if name != "text" else b"some other file of this user")
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store, environment = Store(), {**ENVIRONMENT, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    mine, theirs = await opened(store), await opened(store, environment=environment)
    await rotated(mine, "env:NEW")
    store.state = renamed(store.state, uri.format(tmp_path))
    files = contents(tmp_path)
    await theirs.refresh()
    assert theirs.outdated
    with pytest.raises(ConfigurationError, match=WRONG_ROOT) as caught:
        await opened(store, environment=environment, follow=mine.lineage)
    assert "some other file" not in str(caught.value)
    with pytest.raises(IntegrityError):
        await mine.refresh()
    assert files == contents(tmp_path)


async def test_a_true_key_under_a_forged_uri_does_not_open_the_record() -> None:
    """The URI is sealed with the record: pointed at the very key, it is refused all the same."""
    store = Store()
    mine, theirs = await opened(store), await opened(store, environment={**BOTH, "ALSO": BOTH["NEW"]})
    await rotated(mine, "env:NEW")
    store.state = renamed(store.state, "env:ALSO")
    with pytest.raises(IntegrityError):
        await theirs.refresh()
    with pytest.raises(IntegrityError):
        await opened(store, environment={**BOTH, "ALSO": BOTH["NEW"]}, follow=mine.lineage)


async def test_keys_of_somebody_elses_are_never_taken(tmp_path: Path) -> None:
    """Rows made anew under a key that their maker knows and this process can open are not this service's keys."""
    known = tmp_path / "known.key"
    write_private(known, b64encode(NEW_KEY))
    for uri in (f"file:{known}", "env:NEW"):
        store = Store()
        keys = await opened(store)
        await keys.reserve(Purpose.SECRETS)
        value = keys.cipher(Purpose.SECRETS).encrypt(b"value", b"place")
        store.state = made = forged(uri, NEW_KEY)
        with pytest.raises(IntegrityError) as caught:
            await keys.refresh()
        assert "other keys" in caught.value.reason
        with pytest.raises(IntegrityError) as caught:
            await opened(store, follow=keys.lineage)
        assert "not those of the running service" in caught.value.reason
        with pytest.raises(ConfigurationError, match=WRONG_ROOT):
            await opened(store)
        with pytest.raises(IntegrityError):
            await keys.refresh()
        assert store.state == made
        assert keys.cipher(Purpose.SECRETS).decrypt(value, b"place") == b"value"


async def test_an_old_root_put_back_is_not_followed(tmp_path: Path) -> None:
    """Rows from before a root rotation do not bring the old root key back into a running process."""
    store = Store()
    keys = await opened(store)
    before = store.state
    await rotated(keys, f"file:{tmp_path}/new.key")
    store.state = before
    await keys.refresh()
    assert keys.outdated
    store.state = forged("env:TEST_ROOT_KEY", ROOT_KEY)
    await keys.refresh()
    assert keys.outdated


def test_a_uri_means_the_same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the record keeps of a source does not depend on where a process stands, and names it again."""
    monkeypatch.chdir(tmp_path)
    for given, kept in (
        ("file:a/root.key", f"file:{tmp_path}/a/root.key"),
        ("passphrase:file:phrase", f"passphrase:file:{tmp_path}/phrase"),
        ("passphrase:", "passphrase:env:TRADEWARDEN_PASSPHRASE"),
        ("passphrase:env:A", "passphrase:env:A"),
        ("env:A", "env:A"),
    ):
        assert root_source(given, {}).uri == kept
        assert root_source(kept, {}).uri == kept


@pytest.mark.parametrize("uri", ["file:/a\nb", "file:/a\0", "file:/\udcff", "passphrase:file:/" + "x/" * 2048])
def test_a_uri_that_cannot_be_kept_is_refused(uri: str) -> None:
    """A path that is too long or not printable is refused before anything is made at it."""
    with pytest.raises(ConfigurationError, match="printable"):
        root_source(uri, {})

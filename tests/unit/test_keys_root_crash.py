"""A root key file through crashes: killed at any step, the next start finds the key the data was written with."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.keys import key_entry, key_grant
from tradewarden.clock import SystemClock, system_randomness
from tradewarden.errors import ConfigurationError, StorageUnavailableError
from tradewarden.keys.keyring import Keyring
from tradewarden.keys.purpose import Purpose
from tradewarden.keys.source import RootSources, root_source
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_keys import MemoryKeyStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tradewarden.keys.store import KeyChange, KeyState

STEPS = ("mkdir", "open", "write", "fchmod", "fsync", "close", "link", "unlink", "replace", "rename")
MANY = 100


class Crash(Exception):  # noqa: N818
    """The process ends here: nothing it would still do happens."""


class Countdown:
    """Crashes at the given step, and at every step after it."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> None:
        """Pass, or crash."""
        self.left -= 1
        if self.left < 0:
            raise Crash

    @property
    def crashed(self) -> bool:
        """Whether the end was reached."""
        return self.left < 0


class CrashingStore(MemoryKeyStore):
    """A store that outlives the process, and is killed before or after its commit."""

    countdown = Countdown(10**9)

    async def change(self, decide: Callable[[KeyState], KeyChange]) -> KeyState:
        """Change, with a step on each side."""
        self.countdown.step()
        state = await super().change(decide)
        self.countdown.step()
        return state


def crashing_at(patch: pytest.MonkeyPatch, store: CrashingStore, steps: int) -> Countdown:
    """Let the process die at the given step, counted over system calls and commits."""
    countdown = store.countdown = Countdown(steps)

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*args: Any, **options: Any) -> Any:  # noqa: ANN401
            countdown.step()
            return call(*args, **options)

        return stepped

    for name in STEPS:
        patch.setattr(os, name, wrap(getattr(os, name)))
    return countdown


async def opened(store: MemoryKeyStore, path: Path) -> Keyring:
    """Start on the file."""
    return await Keyring.open(store, RootSources(f"file:{path}", {}), system_randomness, SystemClock())


async def rotated(keys: Keyring, path: Path) -> None:
    """Give the file a new root key."""
    await keys.rotate_root(key_grant("keys:rotate", "root"), root_source(f"file:{path}", {}), key_entry())


async def test_a_first_start_killed_at_every_step(tmp_path: Path) -> None:
    """Wherever the first start is killed, the next one starts, and finds the same keys if there were any."""
    for steps in range(MANY):
        path, store = tmp_path / str(steps) / "root.key", CrashingStore(MemoryDatabase())
        with pytest.MonkeyPatch.context() as patch:
            countdown = crashing_at(patch, store, steps)
            with suppress(Crash):
                await opened(store, path)
        store.countdown = Countdown(MANY)
        written = (await store.load()).root
        keys = await opened(store, path)
        assert path.exists()
        assert written in (None, (await store.load()).root)
        assert (await opened(store, path)).derive(Purpose.CA, "x") == keys.derive(Purpose.CA, "x")
        if not countdown.crashed:
            break
    assert 10 < steps < MANY - 1


async def test_a_root_rotation_killed_at_every_step(tmp_path: Path) -> None:
    """Wherever a root rotation is killed, the next start opens the data, finishes the rename, and can rotate again."""
    generations = set()
    for steps in range(MANY):
        path, store = tmp_path / str(steps) / "root.key", CrashingStore(MemoryDatabase())
        keys = await opened(store, path)
        await keys.reserve(Purpose.SECRETS)
        value = keys.cipher(Purpose.SECRETS).encrypt(b"value", b"place")
        old = path.read_bytes()
        with pytest.MonkeyPatch.context() as patch:
            countdown = crashing_at(patch, store, steps)
            with suppress(Crash):
                await rotated(keys, path)
        store.countdown = Countdown(MANY)
        again = await opened(store, path)
        root = (await store.load()).root
        assert root is not None
        generations.add(root.generation)
        assert (path.read_bytes() == old) == (root.generation == 1)
        assert again.cipher(Purpose.SECRETS).decrypt(value, b"place") == b"value"
        await rotated(again, path)
        assert (await opened(store, path)).cipher(Purpose.SECRETS).decrypt(value, b"place") == b"value"
        assert all(each.stat().st_mode & 0o777 == 0o600 for each in path.parent.iterdir())
        if not countdown.crashed:
            break
    assert 10 < steps < MANY - 1
    assert generations == {1, 2}


async def test_another_process_on_the_same_file_follows(tmp_path: Path) -> None:
    """A process on the same file has the new root key after its refresh, and can rotate in its turn."""
    path, store = tmp_path / "root.key", MemoryKeyStore(MemoryDatabase())
    mine, theirs = await opened(store, path), await opened(store, path)
    await rotated(mine, path)
    await theirs.refresh()
    assert not theirs.outdated
    await rotated(theirs, path)
    await mine.refresh()
    assert await mine.rotate(key_grant("keys:rotate", "ca"), Purpose.CA, key_entry()) == 2
    assert os.listdir(tmp_path) == ["root.key"]  # noqa: PTH208


async def test_a_rotation_that_failed_leaves_what_was(tmp_path: Path) -> None:
    """When storage says no, the old root key stands, in memory and on disk, and the service goes on."""

    class Failing(MemoryKeyStore):
        broken = False

        async def change(self, decide: Callable[[KeyState], KeyChange]) -> KeyState:
            if self.broken:
                raise StorageUnavailableError("broken")
            return await super().change(decide)

    path, store = tmp_path / "root.key", Failing(MemoryDatabase())
    keys = await opened(store, path)
    old = path.read_bytes()
    store.broken = True
    with pytest.raises(StorageUnavailableError):
        await rotated(keys, path)
    store.broken = False
    assert path.read_bytes() == old
    await rotated(keys, path)
    assert path.read_bytes() != old


async def test_a_root_key_without_its_database_is_refused(tmp_path: Path) -> None:
    """A root key file beside an empty database is never taken for a first start."""
    path = tmp_path / "root.key"
    await opened(MemoryKeyStore(MemoryDatabase()), path)
    old = path.read_bytes()
    empty = MemoryKeyStore(MemoryDatabase())
    with pytest.raises(ConfigurationError, match="restore the database that belongs to it"):
        await opened(empty, path)
    assert path.read_bytes() == old
    assert (await empty.load()).root is None

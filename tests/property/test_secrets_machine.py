"""The secrets room as a state machine, against a model of plain dictionaries."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.support.keys import keyring
from tests.support.secrets import Room, may
from tests.support.storage import inbox, sqlite_database
from tradewarden.errors import ConflictError, SecretNotFoundError
from tradewarden.keys.purpose import Purpose
from tradewarden.secrets.commands import PickVersions, RollbackSecret, SetSecretMetadata
from tradewarden.secrets.rewrap import START
from tradewarden.secrets.secrets import SecretLimits
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_secrets import MemorySecretStore
from tradewarden.storage.sql_secrets import SqlSecretStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

T = TypeVar("T")
KEPT = 4
PATHS = st.sampled_from(["a", "a/b", "a-b", "a/b/c", "b", "B/x y"])
VALUES = st.dictionaries(st.text(max_size=3), st.none() | st.booleans() | st.integers() | st.text(), max_size=3)
VERSIONS = st.integers(1, 9)
PICKED = st.sets(VERSIONS, min_size=1, max_size=3).map(lambda found: tuple(sorted(found)))


class Version:
    """What the model knows of one version."""

    def __init__(self, value: dict[str, object]) -> None:
        self.value: dict[str, object] | None = value
        self.deleted = False


class Known:
    """What the model knows of one path."""

    def __init__(self) -> None:
        self.current = 0
        self.kept = KEPT
        self.custom: dict[str, str] = {}
        self.versions: dict[int, Version] = {}

    def trim(self) -> None:
        """Forget what is not kept."""
        for number in [each for each in self.versions if each <= self.current - self.kept]:
            del self.versions[number]


class SecretsMachine(RuleBasedStateMachine):
    """Does the same to the room and to the model, and compares."""

    sql = False

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.model: dict[str, Known] = {}
        self.changes = 0

    def run(self, work: Coroutine[None, None, T]) -> T:
        """Run something on the machine's own loop."""
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        """Open a room over the store under test."""
        self.run(self._open())

    async def _open(self) -> None:
        self.keys = await keyring()
        limits = SecretLimits(max_versions=KEPT)
        if self.sql:
            directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
            self.database = await self.stack.enter_async_context(sqlite_database(directory))
            self.room = Room(SqlSecretStore(self.database), self.keys, limits)
        else:
            self.memory = MemoryDatabase()
            self.room = Room(MemorySecretStore(self.memory), self.keys, limits)

    def teardown(self) -> None:
        """Close everything."""
        self.run(self._close())
        self.runner.close()

    async def _close(self) -> None:
        await self.keys.close()
        await self.stack.aclose()

    def outcome(self, work: Awaitable[T]) -> T | type[Exception]:
        """Return the answer, or what kind of refusal came instead."""

        async def awaited() -> T:
            return await work

        try:
            answer = self.run(awaited())
        except (ConflictError, SecretNotFoundError) as error:
            return type(error)
        self.changes += 1
        return answer

    @rule(path=PATHS, value=VALUES, cas=st.none() | st.integers(0, 3))
    def put(self, path: str, value: dict[str, object], cas: int | None) -> None:
        """Write a version."""
        known = self.model.get(path, Known())
        outcome = self.outcome(self.room.put(path, value, cas))
        if cas not in (None, known.current):
            assert outcome is ConflictError
            return
        assert not isinstance(outcome, type)
        assert outcome.version == known.current + 1
        self._written(path, value)

    def _written(self, path: str, value: dict[str, object]) -> None:
        known = self.model.setdefault(path, Known())
        known.current += 1
        known.versions[known.current] = Version(value)
        known.trim()

    @rule(path=PATHS, version=VERSIONS, cas=st.none() | st.integers(0, 6))
    def roll_back(self, path: str, version: int, cas: int | None) -> None:
        """Write an old value again."""
        grant, entry = may("secrets:write", path), self.room.entry()
        command = RollbackSecret(path, version, cas)
        outcome = self.outcome(self.room.secrets.rollback(grant, command, entry))
        value = self._readable(path, version)
        if value is None:
            assert outcome is SecretNotFoundError
        elif cas not in (None, self.model[path].current):
            assert outcome is ConflictError
        else:
            assert not isinstance(outcome, type)
            self._written(path, value)

    def _readable(self, path: str, version: int | None) -> dict[str, object] | None:
        known = self.model.get(path, Known())
        found = known.versions.get(known.current if version is None else version)
        return None if found is None or found.deleted else found.value

    @rule(path=PATHS, versions=st.just(()) | PICKED)
    def delete(self, path: str, versions: tuple[int, ...]) -> None:
        """Hide versions."""
        command, grant = PickVersions(path, versions), may("secrets:delete", path)
        outcome = self.outcome(self.room.secrets.delete(grant, command, self.room.entry()))
        known = self.model.get(path, Known())
        found = [known.versions.get(each) for each in versions or (known.current,)]
        if any(each is None or each.value is None for each in found):
            assert outcome is SecretNotFoundError
            return
        assert not isinstance(outcome, type)
        for each in found:
            assert each is not None
            each.deleted = True

    @rule(path=PATHS, versions=PICKED)
    def undelete(self, path: str, versions: tuple[int, ...]) -> None:
        """Show versions again."""
        command, grant = PickVersions(path, versions), may("secrets:write", path)
        outcome = self.outcome(self.room.secrets.undelete(grant, command, self.room.entry()))
        found = [self.model.get(path, Known()).versions.get(each) for each in versions]
        if any(each is None or each.value is None for each in found):
            assert outcome is SecretNotFoundError
            return
        for each in found:
            assert each is not None
            each.deleted = False

    @rule(path=PATHS, versions=PICKED)
    def destroy(self, path: str, versions: tuple[int, ...]) -> None:
        """Erase versions."""
        command, grant = PickVersions(path, versions), may("secrets:write", path)
        outcome = self.outcome(self.room.secrets.destroy(grant, command, self.room.entry()))
        found = [self.model.get(path, Known()).versions.get(each) for each in versions]
        if None in found:
            assert outcome is SecretNotFoundError
            return
        for each in found:
            assert each is not None
            each.value = None

    @rule(
        path=PATHS,
        kept=st.none() | st.integers(1, 5),
        custom=st.none() | st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=2),
    )
    def set_metadata(self, path: str, kept: int | None, custom: dict[str, str] | None) -> None:
        """Change metadata."""
        command, grant = SetSecretMetadata(path, custom, kept), may("secrets:write", path)
        outcome = self.outcome(self.room.secrets.set_metadata(grant, command, self.room.entry()))
        known = self.model.get(path)
        if known is None:
            assert outcome is SecretNotFoundError
            return
        known.kept = known.kept if kept is None else kept
        known.custom = known.custom if custom is None else custom
        known.trim()

    @rule(limit=st.integers(1, 4))
    def rotate_and_rewrap(self, limit: int) -> None:
        """Make a new key version and move everything on to it."""
        self.run(self._rotate_and_rewrap(limit))

    async def _rotate_and_rewrap(self, limit: int) -> None:
        grant = may("keys:rotate", Purpose.SECRETS.value)
        newest = await self.keys.rotate(grant, Purpose.SECRETS, self.room.entry())
        after: tuple[str, int] | None = START
        while after is not None:
            batch = await self.room.rewrap.batch(may("keys:rewrap"), after, limit, self.room.entry())
            assert batch.refused == ()
            self.changes += batch.moved
            after = batch.after
        assert await self.room.store.outdated(newest, START, 1) == []

    @rule(path=PATHS, version=st.none() | VERSIONS)
    def get(self, path: str, version: int | None) -> None:
        """Read a value."""
        try:
            value: dict[str, object] | None = self.run(self.room.value(path, version))
        except SecretNotFoundError:
            value = None
        assert value == self._readable(path, version)

    @rule(path=PATHS)
    def metadata(self, path: str) -> None:
        """Read metadata."""
        grant, known = may("secrets:read", path), self.model.get(path)
        if known is None:
            with pytest.raises(SecretNotFoundError):
                self.run(self.room.secrets.metadata(grant, path))
            return
        found = self.run(self.room.secrets.metadata(grant, path))
        assert (found.current_version, found.max_versions) == (known.current, known.kept)
        assert found.custom == known.custom
        assert {each.version: (each.deleted_at is not None, each.destroyed) for each in found.versions} == {
            n: (each.deleted, each.value is None) for n, each in known.versions.items()
        }

    @rule(prefix=st.sampled_from(["", "a", "a/", "B", "z"]), limit=st.integers(1, 3))
    def list(self, prefix: str, limit: int) -> None:
        """List page by page."""
        keys: list[str] = []
        after: str | None = ""
        while after is not None:
            grant = may("secrets:list")
            page = self.run(self.room.secrets.list(grant, prefix, after, limit))
            assert len(page.keys) <= limit
            keys += page.keys
            after = page.next
        assert keys == sorted(path for path in self.model if path.startswith(prefix))

    @invariant()
    def every_change_has_its_entry(self) -> None:
        """As many entries stand as changes were made."""
        if hasattr(self, "room"):
            entries = self.run(inbox(self.database)) if self.sql else self.memory.inbox
            assert len(entries) == self.changes


class SqlSecretsMachine(SecretsMachine):
    """The same over SQLite."""

    sql = True


@pytest.mark.parametrize("machine", [SecretsMachine, SqlSecretsMachine])
def test_the_room_does_what_the_model_does(machine: type[SecretsMachine]) -> None:
    """Whatever is asked in whatever order, room and model agree."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30 if machine.sql else 100,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

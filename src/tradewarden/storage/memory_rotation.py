"""Rotations of secrets in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tradewarden.secrets.rotation.store import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.secrets.rotation.store import Change, PolicyRow
    from tradewarden.storage.memory import MemoryDatabase

T = TypeVar("T")


class MemoryRotationStore:
    """A `RotationStore` over a dictionary."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._states: dict[str, State] = {}

    async def read(self, path: str) -> State:
        """Return what stands of one path."""
        return self._states.get(path, State())

    async def page(self, prefix: str, after: str, limit: int) -> list[State]:
        """Return up to `limit` policies, and their runs, whose paths start with `prefix` and follow `after`."""
        paths = sorted(path for path in self._states if path > after and path.startswith(prefix))
        return [self._states[path] for path in paths[:limit]]

    async def waiting(self, now: float, limit: int) -> list[str]:
        """Return paths whose time to be looked at has come."""
        return self._earliest(
            [(each.next_at, each.path) for each in self._policies() if 0 < each.next_at <= now], limit
        )

    async def overdue(self, before: float, limit: int) -> list[str]:
        """Return paths of automatic policies that could have run before `before`."""
        automatic = [each for each in self._policies() if each.automatic]
        return self._earliest([(each.due_at, each.path) for each in automatic if 0 < each.due_at < before], limit)

    async def change(self, path: str, decide: Callable[[State], Change[T]]) -> T:
        """Load, decide, write and record; return the answer."""
        change = decide(self._states.get(path, State()))
        if change.after.policy is None:
            self._states.pop(path, None)
        else:
            self._states[path] = change.after
        self._database.record(change.entry)
        return change.answer

    def _policies(self) -> list[PolicyRow]:
        return [state.policy for state in self._states.values() if state.policy is not None]

    @staticmethod
    def _earliest(found: list[tuple[float, str]], limit: int) -> list[str]:
        return [path for _, path in sorted(found)[:limit]]

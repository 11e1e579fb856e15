"""What every `RotationStore` does, in memory and in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.support.storage import ADAPTERS, Kept, Opened, kept_in
from tradewarden.errors import ConflictError
from tradewarden.secrets.rotation.store import Change, PolicyRow, RotationStore, RunRow, State
from tradewarden.storage.memory_rotation import MemoryRotationStore
from tradewarden.storage.sql_rotation import SqlRotationStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(params=ADAPTERS)
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept[RotationStore]]:
    """Give each store in turn."""
    opened: Opened[RotationStore] = kept_in(request.param, tmp_path, MemoryRotationStore, SqlRotationStore)
    async with opened as found:
        yield found


def policy(path: str, **fields: object) -> PolicyRow:
    """Return a policy's row."""
    row = PolicyRow(path, "random", '{"a":"b"}', 3600, "", 1, '["admin"]', 1.5, "user:admin", seal=b"seal")
    return replace(row, **fields)


def run(path: str) -> RunRow:
    """Return a run's row."""
    return RunRow(path, "id", "random", "{}", "set", 1, 0, b"p", b"", 2.5, "user:admin", 1, "holder", 3, 4.5, b"seal")


async def put(kept: Kept[RotationStore], *states: State) -> None:
    """Write states."""
    for state in states:
        assert state.policy is not None
        await kept.store.change(state.policy.path, lambda _, state=state: Change(state, None, b"entry"))  # type: ignore[misc]


async def test_rows_come_back_as_they_were_written(kept: Kept[RotationStore]) -> None:
    """A policy and its run come back with every column and type, and the change is recorded with its entry."""
    state = State(policy("a"), run("a"))
    await put(kept, state)
    assert await kept.store.read("a") == state
    assert await kept.store.read("b") == State()
    assert await kept.entries() == [b"entry"]


async def test_a_decision_sees_what_stands(kept: Kept[RotationStore]) -> None:
    """The function that decides gets the rows of its path, and its answer comes back."""
    state = State(policy("a"))
    await put(kept, state)

    def decide(found: State) -> Change[str]:
        assert found == state
        return Change(State(found.policy, run("a")), "answer", b"second")

    assert await kept.store.change("a", decide) == "answer"
    assert await kept.store.read("a") == State(policy("a"), run("a"))


async def test_what_is_left_out_is_taken_away(kept: Kept[RotationStore]) -> None:
    """A run, or a policy, that is not to stand afterwards is gone."""
    await put(kept, State(policy("a"), run("a")), State(policy("a"), None))
    assert await kept.store.read("a") == State(policy("a"))
    await kept.store.change("a", lambda _: Change(State(), None, b"gone"))
    assert await kept.store.read("a") == State()
    assert (await kept.entries())[-1] == b"gone"


async def test_a_refusal_writes_nothing(kept: Kept[RotationStore]) -> None:
    """What a decision raises comes out, and nothing is written or recorded."""

    def refuse(_: State) -> Change[None]:
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        await kept.store.change("a", refuse)
    assert await kept.store.read("a") == State()
    assert await kept.entries() == []


async def test_pages_are_in_the_order_of_paths(kept: Kept[RotationStore]) -> None:
    """A page has the paths that start with the prefix and follow the last one, with their runs."""
    await put(
        kept, *[State(policy(path)) for path in ("b/2", "a", "b/1", "b/3", "c")], State(policy("b/2"), run("b/2"))
    )
    page = await kept.store.page("b/", "", 2)
    assert [state.policy and state.policy.path for state in page] == ["b/1", "b/2"]
    assert page[1].run == run("b/2")
    assert [state.policy and state.policy.path for state in await kept.store.page("b/", "b/2", 2)] == ["b/3"]
    assert len(await kept.store.page("", "", 10)) == 5


async def test_waiting_are_those_whose_time_has_come(kept: Kept[RotationStore]) -> None:
    """The longest waiting come first; never and later ones do not come."""
    await put(
        kept,
        State(policy("later", next_at=11.0)),
        State(policy("second", next_at=5.0)),
        State(policy("first", next_at=4.0)),
        State(policy("never", next_at=0.0)),
        State(policy("third", next_at=6.0, automatic=0)),
    )
    assert await kept.store.waiting(10.0, 5) == ["first", "second", "third"]
    assert await kept.store.waiting(10.0, 1) == ["first"]


async def test_overdue_are_automatic_ones_that_could_have_run(kept: Kept[RotationStore]) -> None:
    """What has been due since before a moment is told of, whatever its next look; by hand and never are not."""
    await put(
        kept,
        State(policy("late", due_at=4.0, next_at=99.0)),
        State(policy("soon", due_at=11.0)),
        State(policy("never", due_at=0.0)),
        State(policy("by-hand", due_at=1.0, automatic=0)),
    )
    assert await kept.store.overdue(10.0, 5) == ["late"]

"""What every `JoinStore` does, in memory and in SQL."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.support.storage import ADAPTERS, Kept, Opened, kept_in
from tradewarden.errors import AuthenticationError
from tradewarden.identity.joins import JoinChange, JoinRow, JoinStore
from tradewarden.storage.memory_enrolment import MemoryJoinStore
from tradewarden.storage.sql_enrolment import SqlJoinStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(params=ADAPTERS)
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept[JoinStore]]:
    """Give each store in turn."""
    opened: Opened[JoinStore] = kept_in(request.param, tmp_path, MemoryJoinStore, SqlJoinStore)
    async with opened as found:
        yield found


def row(number: int = 1, *, ends: int = 100, used_at: int = 0) -> JoinRow:
    """Return a join token's row."""
    digest = bytes([number]) * 32
    return JoinRow(digest, "bot", "i", '["a.internal"]', '["10.0.0.1"]', 1, "user:admin", ends, used_at, b"seal")


async def put(kept: Kept[JoinStore], *rows: JoinRow) -> None:
    """Write join tokens."""
    for each in rows:
        await kept.store.change(each.digest, partial(written, each))


def written(row: JoinRow, _: JoinRow | None) -> JoinChange[None]:
    """Decide to write a row, whatever stands."""
    return JoinChange(None, b"entry", row)


async def test_nothing_is_where_nothing_was_written(kept: Kept[JoinStore]) -> None:
    """There is no token, and nothing to forget."""
    assert await kept.store.read(b"x" * 32) is None
    assert await kept.store.sweep(1 << 40, 10) == 0


async def test_a_token_is_made_and_used_up(kept: Kept[JoinStore]) -> None:
    """Each change sees the row that stands and is written with its entry; the answer is the decision's."""
    await put(kept, row())
    assert await kept.store.read(row().digest) == row()
    seen: list[JoinRow | None] = []

    def spend(before: JoinRow | None) -> JoinChange[str]:
        seen.append(before)
        return JoinChange("spent", b"used", replace(row(), used_at=7, seal=b"other"))

    assert await kept.store.change(row().digest, spend) == "spent"
    assert seen == [row()]
    assert await kept.store.read(row().digest) == replace(row(), used_at=7, seal=b"other")
    assert await kept.entries() == [b"entry", b"used"]


async def test_a_refused_change_leaves_everything_as_it_was(kept: Kept[JoinStore]) -> None:
    """What the decision raises comes out, and neither row nor entry is written."""
    await put(kept, row())

    def refuse(_: JoinRow | None) -> JoinChange[None]:
        raise AuthenticationError("no")

    with pytest.raises(AuthenticationError):
        await kept.store.change(row().digest, refuse)
    assert await kept.store.read(row().digest) == row()
    assert await kept.entries() == [b"entry"]


async def test_what_ended_long_ago_is_forgotten(kept: Kept[JoinStore]) -> None:
    """Used or not, in portions; what ends later stays."""
    await put(kept, row(1, ends=10), row(2, ends=20, used_at=5), row(3, ends=30))
    assert await kept.store.sweep(30, 1) == 1
    assert await kept.store.sweep(30, 10) == 1
    assert [await kept.store.read(bytes([n]) * 32) is not None for n in (1, 2, 3)] == [False, False, True]


async def test_the_unused_are_listed(kept: Kept[JoinStore]) -> None:
    """First ending first, of one service or of all; used ones and those that ended are left out, a part is enough."""
    other = replace(row(4, ends=15), service_name="other")
    await put(kept, row(1, ends=30), row(2, ends=20), row(3, ends=25, used_at=5), other, row(5, ends=10))
    assert [each.expires_at for each in await kept.store.unused(10, "bot", 9)] == [20, 30]
    assert [each.expires_at for each in await kept.store.unused(10, "", 9)] == [15, 20, 30]
    assert [each.expires_at for each in await kept.store.unused(10, "", 1)] == [15]


async def test_a_token_can_be_ended_early(kept: Kept[JoinStore]) -> None:
    """A change of its end stands, and it is not among the good ones any more."""
    await put(kept, row(ends=30))
    await put(kept, replace(row(ends=20), seal=b"anew"))
    assert await kept.store.read(row().digest) == replace(row(ends=20), seal=b"anew")
    assert await kept.store.unused(20, "bot", 9) == []

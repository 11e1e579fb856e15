"""What every `ServiceStore` does, in memory and in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.storage import ADAPTERS, Kept, Opened, kept_in
from tradewarden.errors import ConflictError
from tradewarden.identity.store import (
    AdminTokenChange,
    AdminTokenRow,
    ServiceChange,
    ServiceRow,
    ServiceStore,
)
from tradewarden.storage.memory_identity import MemoryServiceStore
from tradewarden.storage.sql_identity import SqlServiceStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@pytest.fixture(params=ADAPTERS)
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept[ServiceStore]]:
    """Give each store in turn."""
    opened: Opened[ServiceStore] = kept_in(request.param, tmp_path, MemoryServiceStore, SqlServiceStore)
    async with opened as found:
        yield found


def service(name: str, secret: bytes = b"s") -> ServiceRow:
    """Return a service's row."""
    return ServiceRow(name, "i", '["read"]', secret, 1, "user:admin", 2, seal=b"seal")


async def put(kept: Kept[ServiceStore], row: ServiceRow) -> None:
    """Write one service."""
    change = ServiceChange(None, f"put {row.service_name}".encode(), row)
    await kept.store.change(row.service_name, lambda _: change)


async def test_nothing_is_where_nothing_was_written(kept: Kept[ServiceStore]) -> None:
    """There is no service, no page and no admin token."""
    assert await kept.store.read("bot") is None
    assert await kept.store.page("", 10) == []
    assert await kept.store.read_admin_token() is None


async def test_a_service_is_put_replaced_and_deleted(kept: Kept[ServiceStore]) -> None:
    """Each change is recorded and moves the revisions that caches of services and tokens depend on."""
    revisions = [await kept.revisions()]
    await put(kept, service("bot"))
    assert await kept.store.read("bot") == service("bot")
    revisions.append(await kept.revisions())
    await put(kept, service("bot", b"t"))
    assert await kept.store.read("bot") == service("bot", b"t")
    revisions.append(await kept.revisions())
    seen: list[ServiceRow | None] = []

    def delete(row: ServiceRow | None) -> ServiceChange[str]:
        seen.append(row)
        return ServiceChange("gone", b"delete", None)

    assert await kept.store.change("bot", delete) == "gone"
    revisions.append(await kept.revisions())
    assert seen == [service("bot", b"t")]
    assert await kept.store.read("bot") is None
    assert await kept.entries() == [b"put bot", b"put bot", b"delete"]
    assert len({each.services for each in revisions}) == 4
    assert len({each.tokens for each in revisions}) == 4


async def test_a_refused_change_leaves_everything_as_it_was(kept: Kept[ServiceStore]) -> None:
    """What the decision raises comes out, and nothing is written."""
    before = await kept.revisions()

    def refuse(_: ServiceRow | None) -> ServiceChange[None]:
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        await kept.store.change("bot", refuse)
    assert await kept.entries() == []
    assert await kept.revisions() == before


async def test_pages_follow_one_another(kept: Kept[ServiceStore]) -> None:
    """Services come in the order of their names."""
    for name in ("c", "a", "b"):
        await put(kept, service(name))
    assert await kept.store.page("", 2) == [service("a"), service("b")]
    assert await kept.store.page("b", 2) == [service("c")]


async def test_the_admin_token_is_one_row(kept: Kept[ServiceStore]) -> None:
    """It is replaced by the next, and caches learn of it; a decision without a row writes, records, moves nothing."""
    rows = [AdminTokenRow("admin", b"s", n, n + 1, 0, b"seal") for n in (1, 2)]

    def putting(row: AdminTokenRow) -> Callable[[AdminTokenRow | None], AdminTokenChange[None]]:
        return lambda _: AdminTokenChange(None, b"entry", row)

    moved = {(await kept.revisions()).services}
    for row in rows:
        await kept.store.change_admin_token(putting(row))
        moved.add((await kept.revisions()).services)
    assert len(moved) == 3
    before = await kept.revisions()
    seen: list[AdminTokenRow | None] = []

    def look(row: AdminTokenRow | None) -> AdminTokenChange[bool]:
        seen.append(row)
        return AdminTokenChange(answer=False)

    assert await kept.store.change_admin_token(look) is False
    assert seen == [rows[1]]
    assert await kept.revisions() == before
    assert await kept.store.read_admin_token() == rows[1]
    assert await kept.entries() == [b"entry", b"entry"]


async def own(kept: Kept[ServiceStore], name: str, *owned: str) -> None:
    """Write one service with what belongs to it."""
    change = ServiceChange(None, b"own", service(name), owned)
    await kept.store.change(name, lambda _: change)


async def test_a_name_has_one_owner(kept: Kept[ServiceStore]) -> None:
    """It is the service's until that is written without it or deleted; another's change with it is refused whole."""
    await own(kept, "a", "a", "x.internal")
    assert [await kept.store.owner(name) for name in ("a", "x.internal", "b")] == ["a", "a", ""]
    with pytest.raises(ConflictError):
        await own(kept, "b", "b", "x.internal")
    assert await kept.store.read("b") is None
    assert await kept.store.owner("b") == ""
    await own(kept, "a", "a", "y.internal")
    await own(kept, "b", "b", "x.internal")
    assert [await kept.store.owner(name) for name in ("x.internal", "y.internal")] == ["b", "a"]
    await kept.store.change("a", lambda _: ServiceChange(None, b"gone", None))
    assert await kept.store.owner("y.internal") == ""


async def share(kept: Kept[ServiceStore], name: str, *shared: str) -> None:
    """Write one service with what others may be registered for as well."""
    change = ServiceChange(None, b"share", service(name), (name,), shared)
    await kept.store.change(name, lambda _: change)


async def test_domains_and_addresses_are_shared(kept: Kept[ServiceStore]) -> None:
    """Of several services the first is told, by what is shared and by name, until it is written without it or gone."""
    assert await kept.store.sharer((".internal",)) == ""
    await share(kept, "b", ".internal", "10.0.0.1")
    await share(kept, "a", ".x.internal", "10.0.0.1", "::1")
    await share(kept, "c", ".internal")

    async def told() -> list[str]:
        asked = [(".internal",), (".x.internal", ".internal"), ("10.0.0.1",), ("::1",), ("a",), (".y", "10.0.0.2")]
        return [await kept.store.sharer(names) for names in asked]

    assert await told() == ["b", "b", "a", "a", "", ""]
    assert await kept.store.owner(".internal") == ""
    await share(kept, "b", "10.0.0.1")
    assert await told() == ["c", "c", "a", "a", "", ""]
    await share(kept, "c")
    await kept.store.change("a", lambda _: ServiceChange(None, b"gone", None))
    assert await told() == ["", "", "b", "", "", ""]
    assert await kept.store.sharer([f".{n}.internal" for n in range(126)] + ["10.0.0.1"]) == "b"

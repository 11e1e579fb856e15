"""What every `AcmeStore` does, in memory and in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.support.storage import ADAPTERS, Opened, kept_in
from tests.support.storage import Kept as KeptStore
from tradewarden.acme.store import (
    AccountChange,
    AccountRow,
    AccountsFound,
    AcmeStore,
    KeyRow,
    NewOrderRows,
    OrderChange,
    OrderRow,
    OrdersFound,
    ReplacementRow,
)
from tradewarden.errors import ConflictError
from tradewarden.storage.memory_acme import MemoryAcmeStore
from tradewarden.storage.sql_acme import SqlAcmeStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Kept(KeptStore[AcmeStore]):
    """A store, the entries that its database kept, and its revisions."""

    async def put(self, order: OrderRow, entry: bytes = b"e") -> None:
        """Write an order."""
        await self.store.change_order(order.id, lambda _: OrderChange(None, order, entry))

    async def put_account(self, row: AccountRow, key: KeyRow | None = None) -> None:
        """Write an account, and a key with it."""
        await self.store.change_account(
            row.id, row.thumbprint, key.id if key else "", lambda _: AccountChange(None, b"a", row, key)
        )


@pytest.fixture(params=ADAPTERS)
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    """Give each store in turn."""
    opened: Opened[AcmeStore] = kept_in(request.param, tmp_path, MemoryAcmeStore, SqlAcmeStore)
    async with opened as found:
        yield Kept(found.store, found.entries, found.revisions)


def key(name: str = "k1") -> KeyRow:
    """Return an external account key."""
    return KeyRow(name, "web", "i", "[]", "[]", "server", b"secret", 1, "user:admin", 99, "", b"seal")


def account(name: str = "a1", thumbprint: str = "t1") -> AccountRow:
    """Return an account."""
    return AccountRow(name, thumbprint, "{}", "k1", "web", "i", "valid", "[]", 1, b"seal")


def order(name: str = "o1", owner: str = "a1") -> OrderRow:
    """Return an order that expires at 100."""
    return OrderRow(name, owner, "web", "pending", "{}", 1, 100, 0.0, 0, "", b"seal")


async def test_an_account_is_found_by_its_id_and_by_its_key(kept: Kept) -> None:
    """What was written is read again, whole, both ways, with the external key that was used."""
    assert await kept.store.account("a1") is None
    used = replace(key(), account="a1")
    await kept.put_account(account(), used)
    assert await kept.store.account("a1") == await kept.store.holder("t1") == account()
    assert await kept.store.key("k1") == used
    assert await kept.store.holder("t2") is None
    assert await kept.entries() == [b"a"]


async def test_a_decision_sees_account_holder_and_key(kept: Kept) -> None:
    """The three rows that a decision needs are read in its transaction, and a decision without rows writes nothing."""
    await kept.put_account(account(), key())
    await kept.put_account(account("a2", "t2"))
    seen: list[AccountsFound] = []

    def decide(found: AccountsFound) -> AccountChange[str]:
        seen.append(found)
        return AccountChange("answer")

    assert await kept.store.change_account("a1", "t2", "k1", decide) == "answer"
    assert seen[-1] == AccountsFound(account(), account("a2", "t2"), key())
    assert await kept.entries() == [b"a", b"a"]


async def test_a_key_belongs_to_one_account(kept: Kept) -> None:
    """A second account with the same thumbprint is refused, and nothing of that change stays."""
    await kept.put_account(account())
    with pytest.raises(ConflictError):
        await kept.put_account(account("a2", "t1"))
    assert await kept.store.account("a2") is None
    assert await kept.entries() == [b"a"]


async def test_a_decision_that_raises_changes_nothing(kept: Kept) -> None:
    """What a decision raises comes out, and neither row nor entry is there."""

    def decide(found: OrderRow | None) -> OrderChange[None]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await kept.store.change_order("o1", decide)
    assert await kept.store.order("o1") is None
    assert await kept.entries() == []


async def test_orders_are_listed_by_account_and_by_id(kept: Kept) -> None:
    """A listing goes on after an id; an empty service means all, and so does an empty account."""
    rows = [order("o1"), order("o2", "a2"), order("o3"), replace(order("o4"), service_name="db")]
    for row in reversed(rows):
        await kept.put(row)
    assert await kept.store.orders("", "a1", "", 10) == [rows[0], rows[2], rows[3]]
    assert await kept.store.orders("", "", "o1", 1) == [rows[1]]
    assert await kept.store.orders("", "a1", "o4", 10) == []
    assert await kept.store.orders("web", "", "o1", 10) == [rows[1], rows[2]]
    assert await kept.store.orders("db", "", "", 10) == [rows[3]]
    assert await kept.store.orders("web", "a1", "", 10) == [rows[0], rows[2]]
    assert await kept.store.orders("db", "a2", "", 10) == []


async def test_accounts_are_listed_by_id(kept: Kept) -> None:
    """A listing goes on after an id; an empty service means all."""
    for name in ("a2", "a1", "a3"):
        await kept.put_account(account(name, f"t-{name}"))
    await kept.put_account(replace(account("a4", "t-a4"), service_name="db"))
    assert [row.id for row in await kept.store.accounts("", "a1", 1)] == ["a2"]
    assert [row.id for row in await kept.store.accounts("web", "a1", 9)] == ["a2", "a3"]
    assert [row.id for row in await kept.store.accounts("db", "", 9)] == ["a4"]


async def test_orders_that_wait_are_counted(kept: Kept) -> None:
    """Only orders that wait and have not expired count."""
    await kept.put(order("o1"))
    await kept.put(replace(order("o2"), status="processing"))
    await kept.put(replace(order("o3"), status="valid"))
    await kept.put(replace(order("o4"), expires_at=50))
    assert await kept.store.open_orders("a1", 50) == 2
    assert await kept.store.open_orders("a2", 50) == 0


async def test_due_orders_come_by_how_long_they_wait(kept: Kept) -> None:
    """An order is due from its time on; one with no time never is."""
    await kept.put(replace(order("o1"), due_at=20.5))
    await kept.put(replace(order("o2"), due_at=10.0))
    await kept.put(order("o3"))
    assert await kept.store.due(20.0, 10) == ["o2"]
    assert await kept.store.due(20.5, 10) == ["o2", "o1"]
    assert await kept.store.due(20.5, 1) == ["o2"]


async def test_an_order_comes_back_with_the_types_it_was_sealed_with(kept: Kept) -> None:
    """Whole seconds that are kept as a float come back as one, and an entry is recorded only where there is one."""
    row = replace(order(), due_at=5.0, epoch=3, serial="ab", state='{"profile":"server"}')
    await kept.put(row, b"")
    found = await kept.store.order("o1")
    assert found == row
    assert isinstance(found.due_at, float)
    assert await kept.entries() == []


async def test_a_new_order_sees_what_it_replaces(kept: Kept) -> None:
    """Order, replacement and the order that this one names are read in one transaction, and written with the entry."""
    seen: list[OrdersFound] = []

    async def add(row: OrderRow, replaced: str) -> None:
        def decide(found: OrdersFound) -> NewOrderRows:
            seen.append(found)
            mark = ReplacementRow(replaced, row.id, row.id.encode()) if replaced else None
            return NewOrderRows(row, mark, row.id.encode())

        await kept.store.add_order(row.id, replaced, decide)

    await add(order("o1"), "")
    await add(order("o2"), "ab")
    await add(order("o3"), "ab")
    await add(order("o3"), "ab")
    await add(order("o4"), "")
    assert seen == [
        OrdersFound(None),
        OrdersFound(None),
        OrdersFound(None, ReplacementRow("ab", "o2", b"o2"), order("o2")),
        OrdersFound(order("o3"), ReplacementRow("ab", "o3", b"o3"), order("o3")),
        OrdersFound(None),
    ]
    assert await kept.entries() == [b"o1", b"o2", b"o3", b"o3", b"o4"]
    assert await kept.store.sweep(0, 101) == 4
    await add(order("o5"), "ab")
    assert seen[-1] == OrdersFound(None, ReplacementRow("ab", "o3", b"o3"))


async def test_a_refused_order_writes_nothing(kept: Kept) -> None:
    """What a decision raises leaves neither order nor replacement nor entry."""

    def refuse(_: OrdersFound) -> NewOrderRows:
        raise ConflictError("no")

    with pytest.raises(ConflictError, match="no"):
        await kept.store.add_order("o1", "ab", refuse)
    assert await kept.store.order("o1") is None
    assert await kept.entries() == []


async def test_a_nonce_is_spent_once(kept: Kept) -> None:
    """The second who spends a nonce is told so; a swept one could be spent again."""
    assert await kept.store.spend("n1", 10)
    assert not await kept.store.spend("n1", 10)
    assert await kept.store.spend("n2", 30)
    assert await kept.store.sweep(11, 0) == 1
    assert not await kept.store.spend("n2", 30)


async def test_old_orders_without_certificate_are_swept(kept: Kept) -> None:
    """What expired long ago goes, unless a certificate came of it or still may."""
    await kept.put(order("o1"))
    for name, status in (("o2", "valid"), ("o3", "processing"), ("o4", "invalid"), ("o5", "ready")):
        await kept.put(replace(order(name), status=status))
    await kept.put(replace(order("o6"), expires_at=1000))
    assert await kept.store.sweep(0, 101) == 3
    assert [row.id for row in await kept.store.orders("", "", "", 10)] == ["o2", "o3", "o6"]

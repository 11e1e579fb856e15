"""What a registration lets a service's certificates name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from tests.support.identity import IdentityRoom, identity_room
from tests.support.tokens import ADMIN, admin
from tradewarden.access.grant import authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError, PermissionDeniedError
from tradewarden.identity.commands import RegisterService, ServiceListed, SetNames
from tradewarden.storage.memory_identity import MemoryServiceStore

MANAGE = "services:manage"


async def register(made: IdentityRoom, name: str, *dns: str, ips: tuple[str, ...] = ()) -> None:
    """Register a service with names."""
    command = RegisterService(name, ("read",), dns, ips)
    await made.services.register(admin(MANAGE, name), command, made.entry())


async def set_names(made: IdentityRoom, name: str, *dns: str, ips: tuple[str, ...] = ()) -> ServiceListed:
    """Replace a service's names."""
    return await made.services.set_names(admin(MANAGE, name), SetNames(name, dns, ips), made.entry())


async def test_names_are_kept_listed_and_replaced() -> None:
    """Each once, addresses in the one way in which they are written."""
    made = await identity_room()
    await register(made, "bot", "bot.internal", ".trading.internal", "bot.internal", ips=("10.0.0.1", "2001:DB8::1"))
    found = await made.services.registered("bot")
    assert found is not None
    assert found.dns_names == ("bot.internal", ".trading.internal")
    assert found.ip_addresses == ("10.0.0.1", "2001:db8::1")
    listed = await made.services.get(admin("services:read", "bot"), "bot")
    assert (listed.dns_names, listed.ip_addresses) == (found.dns_names, found.ip_addresses)
    changed = await set_names(made, "bot", "new.internal")
    assert (changed.dns_names, changed.ip_addresses) == (("new.internal",), ())
    with pytest.raises(NotFoundError):
        await set_names(made, "nobody", "x.internal")


async def test_the_owner_of_a_name_is_known() -> None:
    """A service owns its own name and its DNS names; a domain that hosts are below belongs to nobody."""
    made = await identity_room()
    await register(made, "bot", "bot.internal", ".trading.internal")
    asked = ("bot", "bot.internal", ".trading.internal", "trading.internal", "a.trading.internal", "other")
    assert await made.services.owners(asked) == {"bot": "bot", "bot.internal": "bot"}
    await set_names(made, "bot")
    assert await made.services.owners(asked) == {"bot": "bot"}
    await made.services.delete(admin(MANAGE, "bot"), "bot", made.entry())
    assert await made.services.owners(asked) == {}


async def test_who_shares_in_a_domain_or_an_address_is_known() -> None:
    """One service that is registered for a domain above, or the address; until it is taken away or deleted."""
    made = await identity_room()
    await register(made, "feeds", "feeds.example", ".feeds.internal", ips=("10.9.9.9",))
    await register(made, "bot")
    names = ("bot", "a.feeds.internal", "b.a.feeds.internal", "feeds.internal", "feeds.example", "a.internal")
    addresses = ("10.9.9.9", "10.9.9.8")
    shared = {"a.feeds.internal": "feeds", "b.a.feeds.internal": "feeds", "10.9.9.9": "feeds"}
    for _ in range(2):  # read, and as kept
        record, owners, sharers = await made.services.allotment("bot", names, addresses)
        assert record is not None
        assert (owners, sharers) == ({"bot": "bot", "feeds.example": "feeds"}, shared)
    await register(made, "also", ".internal", ips=("10.9.9.9", "10.9.9.8"))
    _, _, sharers = await made.services.allotment("bot", names, addresses)
    assert sharers == {
        "a.feeds.internal": "feeds",
        "b.a.feeds.internal": "feeds",
        "feeds.internal": "also",
        "a.internal": "also",
        "10.9.9.9": "also",
        "10.9.9.8": "also",
    }
    await set_names(made, "also")
    assert (await made.services.allotment("bot", names, addresses))[2] == shared
    await made.services.delete(admin(MANAGE, "feeds"), "feeds", made.entry())
    assert (await made.services.allotment("bot", names, addresses))[1:] == ({"bot": "bot"}, {})


async def test_names_of_many_labels_hold_up_nobody() -> None:
    """Each takes a turn of the loop of its own, so that others go on in between."""
    made = await identity_room()
    names = [f"{'a.' * 100}n{number}.internal" for number in range(32)]
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(others())
    assert (await made.services.allotment("bot", names, ()))[2] == {}
    running.cancel()
    assert turns >= len(names)


async def test_whose_names_are_is_looked_up_once() -> None:
    """Further certificates of the same names cost no look-up until the register changes, however many are in it."""
    made = await identity_room()
    for number in range(20):
        await register(made, f"s{number}", f".d{number}.internal", ips=(f"10.0.0.{number}",))
    store, asked = made.store, []
    sharer = store.sharer

    async def counted(shared: Sequence[str]) -> str:
        asked.append(tuple(shared))
        return await sharer(shared)

    store.sharer = counted  # type: ignore[method-assign]
    for _ in range(3):
        found = await made.services.allotment("bot", ("bot", "a.d3.internal"), ("10.0.0.4",))
        assert found[2] == {"a.d3.internal": "s3", "10.0.0.4": "s4"}
    assert asked == [(".d3.internal", ".internal"), ("10.0.0.4",)]
    await set_names(made, "s3")
    assert (await made.services.allotment("bot", ("a.d3.internal",), ()))[2] == {}


@pytest.mark.parametrize("taken", ["billing", "db.internal"])
async def test_a_name_belongs_to_one_service(taken: str) -> None:
    """Neither another's own name nor one of its DNS names is registered a second time."""
    made = await identity_room()
    await register(made, "billing", "db.internal")
    await register(made, "bot")
    with pytest.raises(ConflictError, match="billing"):
        await register(made, "other", taken)
    with pytest.raises(ConflictError, match="billing"):
        await set_names(made, "bot", taken)
    assert await made.services.owners((taken,)) == {taken: "billing"}
    await made.services.delete(admin(MANAGE, "billing"), "billing", made.entry())
    await set_names(made, "bot", taken)


async def test_no_service_is_registered_under_anothers_dns_name() -> None:
    """The own name of a service counts like any DNS name."""
    made = await identity_room()
    await register(made, "billing", "bot")
    with pytest.raises(ConflictError, match="'bot' is service 'billing'"):
        await register(made, "bot")


@pytest.mark.parametrize(
    ("dns", "ips"),
    [
        (("*.internal",), ()),
        (("..internal",), ()),
        ((".",), ()),
        (("",), ()),
        (("UPPER",), ()),
        (("10.0.0.1",), ()),
        ((), ("10.0.0.0/8",)),
        ((), ("::",)),
        ((), ("::ffff:10.9.9.9",)),
        (tuple(f"h{n}.internal" for n in range(65)), ()),
    ],
)
async def test_what_is_no_name_is_refused(dns: tuple[str, ...], ips: tuple[str, ...]) -> None:
    """Wildcards, networks and the like do not get into the register."""
    made = await identity_room()
    with pytest.raises(InvalidInputError):
        await register(made, "bot", *dns, ips=ips)


async def test_names_need_the_right_to_issue() -> None:
    """Who may register services and issue to none cannot hand out names."""
    made = await identity_room()
    clerk = authorize(ADMIN, PermissionSet((MANAGE, "read")), MANAGE, "bot")
    await made.services.register(clerk, RegisterService("bot", ("read",)), made.entry())
    with pytest.raises(PermissionDeniedError):
        await made.services.set_names(clerk, SetNames("bot", ("bot.internal",)), made.entry())


async def test_a_forged_owner_is_refused() -> None:
    """The index of names is not sealed; what it says is held against the sealed registration."""
    made = await identity_room()
    await register(made, "bot", "bot.internal")
    assert isinstance(made.store, MemoryServiceStore)
    made.store._owners["db.internal"] = "bot"
    with pytest.raises(IntegrityError):
        await made.services.owners(("db.internal",))
    made.store._services["bot"] = replace(made.store._services["bot"], dns_names='["db.internal"]')
    with pytest.raises(IntegrityError):
        await (await identity_room(made.store)).services.owners(("db.internal",))


async def test_a_forged_sharer_is_refused() -> None:
    """What the index says of domains and addresses is held against the sealed registration, too."""
    made = await identity_room()
    await register(made, "bot", ".bot.internal", ips=("10.0.0.1",))
    assert isinstance(made.store, MemoryServiceStore)
    made.store._sharers.update({".other.internal": {"bot"}, "10.0.0.2": {"nobody"}})
    asked: list[tuple[tuple[str, ...], tuple[str, ...]]] = [(("a.other.internal",), ()), ((), ("10.0.0.2",))]
    for dns_names, addresses in asked:
        with pytest.raises(IntegrityError):
            await made.services.allotment("order-router", dns_names, addresses)
    assert (await made.services.allotment("order-router", (), ("10.0.0.1",)))[2] == {"10.0.0.1": "bot"}

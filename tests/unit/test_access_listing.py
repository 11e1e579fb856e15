"""Listings for a caller whose right is scoped: what is another's shows neither in a page nor in where it goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from msgspec.structs import replace

from tests.support import pki
from tests.support.acme import Pair, acme_room
from tests.support.enrolment import enrolment_room
from tests.support.identity import identity_room
from tests.support.rotations import rotating
from tests.support.secrets import Room as SecretsRoom
from tests.support.tokens import admin, room, service
from tradewarden.access.listing import names, page
from tradewarden.access.permission import PermissionSet
from tradewarden.errors import IntegrityError
from tradewarden.identity.commands import ListJoinTokens, RegisterService
from tradewarden.pki.credentials import IssueCredentials
from tradewarden.secrets.rotation.commands import ListRotations
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_secrets import MemorySecretStore
from tradewarden.tokens.commands import IssueToken

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.access.grant import Grant

OWNERS = ("aaa", "own", "mmm", "own", "also", "zzz", "own", "zzzz")
"""Whose things are made, in this order: each room lists them in the order of time, or of names."""
SEES_OWN = ("own",)
SEES_TWO = ("also", "own")


class Shown(NamedTuple):
    """A page: whose things are on it, what each is known by, and where it says to go on."""

    owners: list[str]
    ids: list[str]
    next: str | None


class Listing(NamedTuple):
    """A room's listing: the action it takes, and how to ask for a page after some cursor."""

    action: str
    ask: Callable[[Grant, str, int], Awaitable[Shown]]


async def services(directory: Path) -> Listing:
    """List the register of services."""
    del directory
    made = await identity_room()
    for name in dict.fromkeys(OWNERS):
        await made.services.register(admin("services:manage", name), RegisterService(name, ()), made.entry())

    async def ask(grant: Grant, after: str, limit: int) -> Shown:
        found = await made.services.list(grant, after, limit)
        owners = [each.service_name for each in found.services]
        return Shown(owners, owners, found.next)

    return Listing("services:read", ask)


async def tokens(directory: Path) -> Listing:
    """List issued tokens."""
    del directory
    made = await room()
    for name in OWNERS:
        made.clock.move(1)
        await made.tokens.issue(admin("tokens:issue", name), IssueToken(name, ("read",)), made.entry())

    async def ask(grant: Grant, after: str, limit: int) -> Shown:
        found = await made.tokens.list(grant, None, after, limit)
        return Shown([each.service_name for each in found.tokens], [each.jti for each in found.tokens], found.next)

    return Listing("tokens:read", ask)


async def certificates(directory: Path) -> Listing:
    """List the inventory of certificates."""
    clock = pki.SetClock()
    authority = await pki.opened(directory, clock=clock)
    for name in OWNERS:
        clock.time += 1
        await authority.issue(pki.grant("credentials:issue", name), IssueCredentials(name), pki.entry())

    async def ask(grant: Grant, after: str, limit: int) -> Shown:
        found = await authority.list(grant, after=after, limit=limit)
        serials = [each.serial_number for each in found.items]
        return Shown([each.service_name for each in found.items], serials, found.next)

    return Listing("credentials:read", ask)


async def accounts(directory: Path) -> Listing:
    """List ACME accounts."""
    made = await acme_room(directory)
    for name in OWNERS:
        await made.account(Pair(), name)

    async def ask(grant: Grant, after: str, limit: int) -> Shown:
        found = await made.acme.accounts.list(grant, after, limit)
        return Shown([each.service_name for each in found.accounts], [each.id for each in found.accounts], found.next)

    return Listing("acme:read", ask)


async def orders(directory: Path, *, of: str = "") -> Listing:
    """List ACME orders: all, or those of the account of one service."""
    made = await acme_room(directory)
    account = ""
    for name in OWNERS:
        made.clock.time += 1
        row = await made.account(Pair(), name)
        account = row.id if name == of else account
        await made.order(row, name)

    async def ask(grant: Grant, after: str, limit: int) -> Shown:
        found = await made.acme.orders.list(grant, account, after, limit)
        return Shown([each.service_name for each in found.orders], [each.id for each in found.orders], found.next)

    return Listing("acme:read", ask)


async def secrets(directory: Path) -> Listing:
    """List secrets."""
    del directory
    made = SecretsRoom(MemorySecretStore(MemoryDatabase()), (await rotating()).room.keys)
    for name in dict.fromkeys(OWNERS):
        await made.put(name, {})

    async def ask(grant: Grant, after: str, limit: int) -> Shown:
        found = await made.secrets.list(grant, "", after, limit)
        return Shown(list(found.keys), list(found.keys), found.next)

    return Listing("secrets:list", ask)


async def rotations(directory: Path) -> Listing:
    """List rotation policies."""
    del directory
    made = await rotating()
    for name in dict.fromkeys(OWNERS):
        await made.room.put(name, {"password": "first"})
        await made.policy(path=name)

    async def ask(grant: Grant, after: str, limit: int) -> Shown:
        found = await made.rotations.list(grant, ListRotations("", after, limit))
        paths = [each.policy.path for each in found.rotations]
        return Shown(paths, paths, found.next)

    return Listing("secrets:rotate", ask)


LISTINGS = [services, tokens, certificates, accounts, orders, secrets, rotations]


def scoped(action: str, seen: tuple[str, ...]) -> Grant:
    """Return the grant of a service whose right to list is over these names."""
    return service("own", PermissionSet(f"{action}:{name}" for name in seen), action)


async def walked(listing: Listing, grant: Grant, limit: int) -> list[Shown]:
    """Return all pages of a listing."""
    pages = [await listing.ask(grant, "", limit)]
    while after := pages[-1].next:
        pages.append(await listing.ask(grant, after, limit))
        assert len(pages) <= len(OWNERS) + 1
    return pages


@pytest.mark.parametrize("seen", [SEES_OWN, SEES_TWO], ids="-".join)
@pytest.mark.parametrize("make", LISTINGS)
async def test_no_page_names_what_is_anothers(
    make: Callable[[Path], Awaitable[Listing]], seen: tuple[str, ...], tmp_path: Path
) -> None:
    """One by one, a caller meets all of its own once, in order; where a page goes on names the last one on it."""
    listing = await make(tmp_path)
    (everything,) = await walked(listing, admin(listing.action), len(OWNERS) + 1)
    pages = await walked(listing, scoped(listing.action, seen), 1)
    known = zip(everything.owners, everything.ids, strict=True)
    assert [each for shown in pages for each in shown.ids] == [each for owner, each in known if owner in seen]
    assert all(shown.ids and shown.ids[-1] in shown.next for shown in pages if shown.next)
    (whole,) = await walked(listing, scoped(listing.action, seen), len(OWNERS))
    assert whole.ids == [each for shown in pages for each in shown.ids]


@pytest.mark.parametrize("make", LISTINGS)
async def test_who_sees_nothing_learns_nothing(make: Callable[[Path], Awaitable[Listing]], tmp_path: Path) -> None:
    """A right over a name that nothing belongs to gets an empty page, and no other after it."""
    listing = await make(tmp_path)
    for name in ("nobody", "nobody/*"):
        shown = await listing.ask(scoped(listing.action, (name,)), "", 1)
        assert (shown.ids, shown.next or None) == ([], None)


async def test_orders_of_anothers_account_are_no_page(tmp_path: Path) -> None:
    """Whose account was named is not told by where the page goes on, and one's own account lists its orders."""
    theirs, own = await orders(tmp_path / "a", of="mmm"), await orders(tmp_path / "b", of="own")
    assert await theirs.ask(scoped("acme:read", SEES_OWN), "", 1) == Shown([], [], "")
    shown = await own.ask(scoped("acme:read", SEES_OWN), "", 9)
    assert (shown.owners, shown.next) == (["own"], "")


async def test_certificates_of_another_are_no_page(tmp_path: Path) -> None:
    """To name a service that may not be seen gives an empty page that goes nowhere."""
    authority = await pki.opened(tmp_path)
    await authority.issue(pki.grant("credentials:issue", "mmm"), IssueCredentials("mmm"), pki.entry())
    page = await authority.list(scoped("credentials:read", SEES_OWN), service="mmm", limit=1)
    assert (page.items, page.next) == ((), "")
    assert len((await authority.list(scoped("credentials:read", ("mmm",)), service="mmm")).items) == 1


async def test_join_tokens_of_others_crowd_out_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many join tokens others have, a caller is shown its own; the first to end of all that it may see."""
    monkeypatch.setattr("tradewarden.identity.enrolment.MAX_LISTED", 2)
    made = await enrolment_room()
    for minutes, name in enumerate(OWNERS, 1):
        await made.invite(name, ttl_minutes=minutes)

    async def listed(*seen: str) -> list[str]:
        found = await made.enrolment.list(scoped("credentials:read", seen), ListJoinTokens())
        return [each.service_name for each in found.join_tokens]

    assert await listed("own") == ["own", "own"]
    assert await listed("zzzz") == ["zzzz"]
    assert await listed("also", "zzzz", "aaa") == ["aaa", "also"]


async def test_a_changed_row_of_another_spoils_no_listing() -> None:
    """Only what is shown is checked: what happened to another's row tells a caller nothing."""
    made = await room()
    for name in ("mmm", "own"):
        await made.tokens.issue(admin("tokens:issue", name), IssueToken(name, ("read",)), made.entry())
    held = made.store._tokens  # type: ignore[attr-defined]
    held.update({key: replace(row, issued_by="?") for key, row in held.items() if row.subject == "service:mmm"})
    shown = await made.tokens.list(scoped("tokens:read", SEES_OWN))
    assert [each.service_name for each in shown.tokens] == ["own"]
    with pytest.raises(IntegrityError):
        await made.tokens.list(admin("tokens:read"))


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        (("admin",), ("",)),
        (("tokens:read",), ("",)),
        (("tokens:read:*", "tokens:read:own"), ("",)),
        (("tokens:read:own", "tokens:read:also", "services:read"), ("also", "own")),
        (("tokens:read:own/*", "tokens:read:own"), ("own",)),
        (("tokens:read:own/*",), ()),
    ],
)
def test_a_scope_covers_all_names_or_one(permissions: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """What a listing reads is known from the grant: everything, or the names that the grant names."""
    assert names(service("own", PermissionSet(permissions), "tokens:read")) == expected


def test_a_name_that_is_asked_for_has_to_be_seen() -> None:
    """The name alone is read when the grant sees it; nothing is when it does not."""
    grant = scoped("tokens:read", SEES_TWO)
    assert names(grant, "own") == ("own",)
    assert names(grant, "mmm") == ()
    assert names(admin("tokens:read"), "mmm") == ("mmm",)


HELD = {"a": [1, 4, 5], "b": [2, 3, 6], "": [1, 2, 3, 4, 5, 6]}


@pytest.mark.parametrize(
    ("seen", "after", "limit", "expected"),
    [
        (("",), 0, 2, ([1, 2], 2)),
        (("a",), 0, 9, ([1, 4, 5], None)),
        (("a", "b"), 0, 4, ([1, 2, 3, 4], 4)),
        (("b", "a"), 4, 4, ([5, 6], None)),
        ((), 0, 1, ([], None)),
    ],
)
async def test_a_page_is_put_together_name_by_name(
    seen: tuple[str, ...], after: int, limit: int, expected: tuple[list[int], int | None]
) -> None:
    """Rows of several names come in their order, and a full page tells its last row."""

    async def read(name: str) -> list[int]:
        return [each for each in HELD[name] if each > after][:limit]

    assert await page(seen, read, int, limit) == expected


async def test_rows_that_cannot_be_put_in_order_are_refused() -> None:
    """A column that came back from storage with another type is a change from outside."""
    held: dict[str, list[Any]] = {"a": ["x"], "b": [b"x"]}

    async def read(name: str) -> list[Any]:
        return held[name]

    with pytest.raises(IntegrityError, match="was changed outside"):
        await page(held, read, lambda row: row, 9)

"""The register of services: who may be granted what at most, and how a service proves itself."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.identity import IdentityRoom, identity_room
from tests.support.tokens import ADMIN, admin, service
from tradewarden.access.grant import authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.errors import (
    AuthenticationError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
)
from tradewarden.identity import credential
from tradewarden.identity.commands import RegisterService, ServiceRegistered
from tradewarden.storage.memory_identity import MemoryServiceStore

if TYPE_CHECKING:
    from tradewarden.identity.store import ServiceRow

MANAGE = "services:manage"


async def registered(made: IdentityRoom, name: str = "bot", *permissions: str) -> ServiceRegistered:
    """Register a service."""
    command = RegisterService(name, permissions or ("read",))
    return await made.services.register(admin(MANAGE, name), command, made.entry())


async def test_a_registered_service_proves_itself_by_its_secret() -> None:
    """The secret that was shown once proves the service and what it may be granted."""
    made = await identity_room()
    answer = await registered(made, "bot", "read", "write")
    assert answer.client_secret.startswith("tws_")
    assert len(answer.client_secret) == 4 + 43
    assert answer.client_secret not in repr(answer)
    assert answer.created_at == "2027-01-15T08:00:00.000000Z"
    found = await made.services.authenticate("bot", answer.client_secret)
    assert (found.service_name, found.permissions) == ("bot", ("read", "write"))


async def test_the_secret_is_recorded_nowhere() -> None:
    """Neither rows nor entries hold it; the entry names the service and the row's digest."""
    made = await identity_room()
    async with made.entry() as entry:
        grant = admin(MANAGE, "bot")
        answer = await made.services.register(grant, RegisterService("bot", ("read",)), entry)
    assert answer.client_secret not in repr(await made.store.read("bot"))
    (line,) = made.database.inbox
    assert answer.client_secret.encode() not in line
    event = msgspec.json.decode(line)
    assert (event["resource"], len(event["rows"])) == ("bot", 1)
    assert not made.journal.events


@pytest.mark.parametrize("name", ["bot", "other", "", "a" * 10_000, "\ud800"])
@pytest.mark.parametrize("secret", ["", "tws_", "x" * 10_000, "é", "\ud800", "tws_" + "A" * 43])
async def test_everything_else_fails_alike(name: str, secret: str) -> None:
    """A wrong secret and an unknown name give the same text; only the log knows which it was."""
    made = await identity_room()
    await registered(made)
    with pytest.raises(AuthenticationError) as refused:
        await made.services.authenticate(name, secret)
    assert str(refused.value) == "Authentication failed"
    assert refused.value.reason in {"client secret is wrong", "service is not registered"}


async def test_an_unknown_name_takes_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash and the constant-time comparison are done for a name that is not there, too."""
    made = await identity_room()
    answer = await registered(made)
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    await made.services.registered("nobody")
    await made.services.registered("bot")
    await made.services.authenticate("bot", answer.client_secret)
    with pytest.raises(AuthenticationError):
        await made.services.authenticate("nobody", answer.client_secret)
    assert compared[-2:] == [(32, 32)] * 2


def test_nothing_matches_where_nothing_is_kept() -> None:
    """Not even the stand-in that an unknown name is compared with."""

    class Zero:
        def digest(self, field: str, value: str) -> bytes:
            return bytes(32)

    assert not credential.matches(Zero(), "x", None)  # type: ignore[arg-type]


async def test_a_name_is_registered_once() -> None:
    """A second registration is a conflict and changes nothing."""
    made = await identity_room()
    answer = await registered(made, "bot", "read")
    with pytest.raises(ConflictError, match="change its permissions or names"):
        await registered(made, "bot", "write")
    found = await made.services.authenticate("bot", answer.client_secret)
    assert found.permissions == ("read",)


@pytest.mark.parametrize(
    ("own", "asked", "allowed"),
    [
        (("admin",), ("admin",), True),
        ((MANAGE, "read"), ("read",), True),
        ((MANAGE, "read"), ("secrets:read:a/*",), True),
        ((MANAGE, "read"), (), True),
        ((MANAGE, "read"), ("write",), False),
        ((MANAGE, "read"), ("read", "admin"), False),
        ((MANAGE, "secrets:read:a/*", "secrets:list:a/*"), ("read",), False),
        ((f"{MANAGE}:bot", "read"), ("services:manage",), False),
    ],
)
async def test_nobody_grants_more_than_they_hold(own: tuple[str, ...], asked: tuple[str, ...], allowed: bool) -> None:
    """Registering, and changing what is registered, is cut off at the caller's own rights."""
    made = await identity_room()
    await registered(made, "old")
    grant = authorize(ADMIN, PermissionSet(own), MANAGE, "bot")
    command = RegisterService("bot", asked)
    if allowed:
        answer = await made.services.register(grant, command, made.entry())
        assert answer.permissions == asked
        return
    with pytest.raises(PermissionDeniedError):
        await made.services.register(grant, command, made.entry())
    assert await made.store.read("bot") is None
    await registered(made, "bot", "read")
    with pytest.raises(PermissionDeniedError):
        await made.services.set_permissions(grant, "bot", asked, made.entry())


async def test_every_method_checks_its_grant() -> None:
    """A grant for one service, or for something else, is good for nothing else."""
    made = await identity_room()
    await registered(made)
    narrow = PermissionSet(("services:manage:other", "services:read:other"))
    grant = authorize(ADMIN, narrow, MANAGE, "other")
    services = made.services
    for call in (
        lambda: services.register(grant, RegisterService("new", ()), made.entry()),
        lambda: services.delete(grant, "bot", made.entry()),
        lambda: services.require_deletable(grant, "bot", made.entry()),
        lambda: services.rotate_secret(grant, "bot", made.entry()),
        lambda: services.end_access(grant, "bot", made.entry()),
        lambda: services.set_permissions(grant, "bot", (), made.entry()),
        lambda: services.get(grant, "bot"),
        lambda: services.list(grant),
    ):
        with pytest.raises(PermissionDeniedError):
            await call()
    with pytest.raises(PermissionDeniedError):
        service("bot", PermissionSet(("read",)), MANAGE, "bot")


@pytest.mark.parametrize("name", ["", "Bot", "a b", "-x", "x" * 64, "../x", "bot\n", "böt"])
async def test_a_name_is_of_the_documented_shape(name: str) -> None:
    """What is no service name is refused before anything is looked up."""
    made = await identity_room()
    grant = admin(MANAGE, name)
    with pytest.raises(InvalidInputError):
        await made.services.register(grant, RegisterService(name, ()), made.entry())


async def test_permissions_are_of_the_documented_shape() -> None:
    """Names that are not understood, or too many of them, are refused."""
    made = await identity_room()
    for permissions in (("what ever",), tuple(f"a:b{n}" for n in range(65))):
        with pytest.raises(InvalidInputError):
            await registered(made, "bot", *permissions)


async def test_a_rotated_secret_voids_the_one_before() -> None:
    """From the next request on only the new secret is good."""
    made = await identity_room()
    old = await registered(made)
    await made.services.authenticate("bot", old.client_secret)
    before = await made.services.registered("bot")
    new = await made.services.rotate_secret(admin(MANAGE, "bot"), "bot", made.entry())
    with pytest.raises(AuthenticationError):
        await made.services.authenticate("bot", old.client_secret)
    assert await made.services.authenticate("bot", new.client_secret) == before


async def test_a_deleted_service_is_unknown_and_a_new_one_is_another() -> None:
    """Deleting moves the revisions of services and tokens; registering anew is another incarnation."""
    made = await identity_room()
    answer = await registered(made)
    before = await made.services.registered("bot")
    revisions = await made.database.revisions()
    async with made.entry() as entry:
        await made.services.delete(admin(MANAGE, "bot"), "bot", entry)
    after = await made.database.revisions()
    assert after.services > revisions.services
    assert after.tokens > revisions.tokens
    assert msgspec.json.decode(made.database.inbox[-1])["rows"]
    assert await made.services.registered("bot") is None
    with pytest.raises(AuthenticationError):
        await made.services.authenticate("bot", answer.client_secret)
    with pytest.raises(NotFoundError):
        await made.services.delete(admin(MANAGE, "bot"), "bot", made.entry())
    await registered(made)
    again = await made.services.registered("bot")
    assert before is not None
    assert again is not None
    assert again.incarnation != before.incarnation


async def test_a_service_whose_access_ended_is_another_incarnation_with_a_secret_that_nobody_has() -> None:
    """Its permissions stay; its secret and its incarnation do not, by one change, and only for who holds as much."""
    made = await identity_room()
    answer = await registered(made, "bot", "read", "write")
    before = await made.services.registered("bot")
    less = authorize(ADMIN, PermissionSet((MANAGE, "read")), MANAGE, "bot")
    with pytest.raises(PermissionDeniedError):
        await made.services.end_access(less, "bot", made.entry())
    assert await made.services.registered("bot") == before
    entries = len(made.database.inbox)
    await made.services.end_access(admin(MANAGE, "bot"), "bot", made.entry())
    after = await made.services.registered("bot")
    assert before is not None
    assert after is not None
    assert (after.permissions, after.created_at) == (before.permissions, before.created_at)
    assert after.incarnation != before.incarnation
    assert len(made.database.inbox) == entries + 1
    with pytest.raises(AuthenticationError):
        await made.services.authenticate("bot", answer.client_secret)
    with pytest.raises(NotFoundError):
        await made.services.end_access(admin(MANAGE, "nobody"), "nobody", made.entry())


async def test_permissions_change_at_once() -> None:
    """What a service may be granted is the new set on the very next look; the rest stays."""
    made = await identity_room()
    answer = await registered(made, "bot", "read", "write")
    before = await made.services.authenticate("bot", answer.client_secret)
    grant = admin(MANAGE, "bot")
    listed = await made.services.set_permissions(grant, "bot", ("read",), made.entry())
    assert listed.permissions == ("read",)
    after = await made.services.authenticate("bot", answer.client_secret)
    assert after.permissions == ("read",)
    assert after.incarnation == before.incarnation
    with pytest.raises(NotFoundError):
        await made.services.set_permissions(grant, "nobody", (), made.entry())


async def test_the_listing_shows_what_the_grant_sees() -> None:
    """Pages are in the order of names, filtered item by item, and hold no secret."""
    made = await identity_room()
    for name in ("c", "a", "b"):
        await registered(made, name)
    page = await made.services.list(admin("services:read"), limit=2)
    assert [each.service_name for each in page.services] == ["a", "b"]
    assert page.next == "b"
    page = await made.services.list(admin("services:read"), after="b")
    assert ([each.service_name for each in page.services], page.next) == (["c"], None)
    grant = authorize(ADMIN, PermissionSet(("services:read:b",)), "services:read")
    page = await made.services.list(grant)
    assert [each.service_name for each in page.services] == ["b"]
    shown = await made.services.get(admin("services:read", "a"), "a")
    assert shown.created_by == "user:admin"
    with pytest.raises(NotFoundError):
        await made.services.get(admin("services:read", "x"), "x")
    with pytest.raises(InvalidInputError):
        await made.services.list(admin("services:read"), limit=0)


@pytest.mark.parametrize(
    "columns",
    [{"permissions": '["admin"]'}, {"secret": bytes(32)}, {"incarnation": "0"}, {"service_name": "x"}],
    ids=str,
)
async def test_a_row_that_was_written_past_us_is_refused(columns: dict[str, object]) -> None:
    """Who can only write to the database cannot give a service rights or another secret."""
    made = await identity_room()
    answer = await registered(made)
    assert isinstance(made.store, MemoryServiceStore)
    rows: dict[str, ServiceRow] = made.store._services
    rows["bot"] = msgspec.structs.replace(rows["bot"], **columns)
    made.database.bump("services")
    for call in (
        lambda: made.services.authenticate("bot", answer.client_secret),
        lambda: made.services.registered("bot"),
        lambda: made.services.rotate_secret(admin(MANAGE, "bot"), "bot", made.entry()),
        lambda: made.services.list(admin("services:read")),
    ):
        with pytest.raises(IntegrityError):
            await call()


async def test_a_row_moved_to_another_name_is_refused() -> None:
    """A good row under another name is caught."""
    made = await identity_room()
    await registered(made, "strong", "admin")
    assert isinstance(made.store, MemoryServiceStore)
    made.store._services["weak"] = made.store._services["strong"]
    with pytest.raises(IntegrityError):
        await made.services.registered("weak")


async def test_unknown_names_do_not_fill_the_memory() -> None:
    """However many names are asked for, a bounded number is remembered."""
    made = await identity_room()
    for number in range(5000):
        await made.services.registered(f"n{number}")
    assert len(made.services._cache) <= 4096

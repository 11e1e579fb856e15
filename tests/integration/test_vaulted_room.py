"""The secrets room over Vault does what the room over our own store does; and what an outage of Vault does to it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from services.security_service import SecurityService
from tests.support.providers import fresh, vault, vault_standin
from tests.support.secrets import HandClock, Journal, may, room
from tests.support.vault_standin import Handler, StandIn, saying, silent, standin
from tradewarden.audit.entry import Auditor, Entry, EventType, Origin
from tradewarden.audit.query import Filter
from tradewarden.errors import (
    AuditUnavailableError,
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    OverloadedError,
    PermissionDeniedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
    TradewardenError,
)
from tradewarden.secrets.commands import PickVersions, PutSecret, RollbackSecret, SetSecretMetadata
from tradewarden.secrets.providers.vault.config import TokenLogin
from tradewarden.secrets.providers.vault.connect import connect
from tradewarden.secrets.value import raw_object
from tradewarden.secrets.vaulted.known import MAX_VALUE_BYTES, MAX_VALUES
from tradewarden.secrets.vaulted.vaulted import VaultedSecrets
from tradewarden.settings import load_settings
from tradewarden.settings.secret import Secret
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_secrets import MemorySecretStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.support.vault import Place
    from tradewarden.secrets.room import SecretsRoom

__all__ = ["standin", "vault", "vault_standin"]
STALE = 60.0


class Vaulted:
    """A room over a Vault, with all that a test needs around it."""

    def __init__(self, place: Place, prefix: str = "alphapulse/", **more: Any) -> None:  # noqa: ANN401
        self.clock = HandClock()
        self.journal = Journal()
        self.counted: list[str] = []
        opened = connect(place.config(prefix=prefix, **more))
        self.room = VaultedSecrets(opened, self.clock, STALE, self.counted.append)

    def entry(self, action: str = "write") -> Entry:
        """Return a new audit entry."""
        return Auditor(self.journal, self.clock).entry(EventType.SECRET_ACCESS, action, Origin(request_id="r1"))

    async def put(self, path: str, value: dict[str, object], cas: int | None = None) -> int:
        """Write a value as an admin; returns its version."""
        return await put(self.room, self.entry(), path, value, cas)

    async def get(self, path: str, version: int | None = None) -> dict[str, object]:
        """Read a value as an admin."""
        return (await self.room.get(may("secrets:read", path), path, version)).value()

    def recorded(self) -> list[tuple[str, str, str]]:
        """Return action, result and reason of what the journal got."""
        events = [msgspec.json.decode(each) for each in self.journal.events]
        return [(each["action"], each["result"], each.get("reason", "")) for each in events]


async def put(room: SecretsRoom, entry: Entry, path: str, value: dict[str, object], cas: int | None = None) -> int:
    """Write a value as an admin, recording the entry as the pipeline does; returns its version."""
    async with entry:
        command = PutSecret(path, raw_object(value), cas)
        return (await room.put(may("secrets:write", path), command, entry)).version


@pytest.fixture
async def vaulted(standin: StandIn) -> AsyncIterator[Vaulted]:
    """A room over a stand-in of its own."""
    made = Vaulted(standin.place)
    yield made
    await made.room.close()


@pytest.fixture(params=["memory", "vault-standin", "vault"])
async def kept(request: pytest.FixtureRequest) -> AsyncIterator[tuple[SecretsRoom, Auditor]]:
    """The room over our own store and over Vault."""
    if request.param == "memory":
        local = await room(MemorySecretStore(MemoryDatabase()))
        yield local.secrets, local.auditor
        return
    place = request.getfixturevalue("vault") if request.param == "vault" else _standin_place(request)
    made = Vaulted(place, prefix=f"{fresh('room')}/")
    yield made.room, Auditor(made.journal, made.clock)
    await made.room.close()


def _standin_place(request: pytest.FixtureRequest) -> Place:
    running: StandIn = request.getfixturevalue("vault_standin")
    return running.place


async def test_both_rooms_tell_the_same_story(kept: tuple[SecretsRoom, Auditor]) -> None:
    """Writing, reading, rolling back, deleting, undeleting, destroying: versions and errors are the same."""
    secrets, auditor = kept
    path, write, delete = "db/primary", may("secrets:write", "db/primary"), may("secrets:delete", "db/primary")

    def entry() -> Entry:
        return auditor.entry(EventType.SECRET_ACCESS, "write", Origin())

    async def value(version: int | None = None) -> object:
        try:
            return (await secrets.get(may("secrets:read", path), path, version)).value()
        except SecretNotFoundError as error:
            return str(error)

    gone = "Secret 'db/primary' not found"
    assert await value() == gone
    assert await put(secrets, entry(), path, {"n": 1}, cas=0) == 1
    assert await put(secrets, entry(), path, {"n": 2, "a": [1.5, None, {"b": "ü"}]}, cas=1) == 2
    with pytest.raises(ConflictError):
        await put(secrets, entry(), path, {"n": 3}, cas=1)
    assert [await value(), await value(1)] == [{"n": 2, "a": [1.5, None, {"b": "ü"}]}, {"n": 1}]
    assert (await secrets.rollback(write, RollbackSecret(path, 1), entry())).version == 3
    assert await value() == {"n": 1}
    assert (await secrets.delete(delete, PickVersions(path), entry())).versions == (3,)
    assert [await value(), await value(1)] == [gone, {"n": 1}]
    assert (await secrets.delete(delete, PickVersions(path, (1, 3)), entry())).versions == (1, 3)
    assert (await secrets.undelete(write, PickVersions(path, (3,)), entry())).versions == (3,)
    assert [await value(), await value(1)] == [{"n": 1}, gone]
    assert (await secrets.destroy(write, PickVersions(path, (1,)), entry())).versions == (1,)
    settings = await secrets.set_metadata(write, SetSecretMetadata(path, {"owner": "desk"}, 5), entry())
    assert (settings.max_versions, settings.custom) == (5, {"owner": "desk"})
    told = await secrets.metadata(may("secrets:read", path), path)
    assert (told.current_version, told.oldest_version, told.max_versions, told.custom) == (3, 1, 5, {"owner": "desk"})
    assert [(each.version, each.destroyed) for each in told.versions] == [(1, True), (2, False), (3, False)]
    refused = [
        secrets.undelete(write, PickVersions(path, (1,)), entry()),
        secrets.delete(delete, PickVersions(path, (9,)), entry()),
        secrets.destroy(write, PickVersions("none", (1,)), entry()),
        secrets.delete(delete, PickVersions("none"), entry()),
        secrets.rollback(write, RollbackSecret(path, 1), entry()),
        secrets.set_metadata(write, SetSecretMetadata("none", {}), entry()),
        secrets.metadata(may("secrets:read"), "none"),
    ]
    for call in refused:
        with pytest.raises(SecretNotFoundError):
            await call
    for bad in (secrets.get(may("secrets:read"), "../x"), secrets.list(may("secrets:list"), "", "", 0)):
        with pytest.raises(InvalidInputError):
            await bad


async def test_both_rooms_list_what_the_grant_may_see(kept: tuple[SecretsRoom, Auditor]) -> None:
    """Page by page, in order, and nothing of what a scope leaves out."""
    secrets, auditor = kept
    paths = sorted(["a", "a-b", "a/b", "a/b/c", "keys/binance", "keys/bybit", "keys2", "z"])
    for path in reversed(paths):
        await put(secrets, auditor.entry(EventType.SECRET_ACCESS, "write", Origin()), path, {})

    async def pages(prefix: str, limit: int, *permissions: str) -> list[str]:
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            page = await secrets.list(may("secrets:list", "", *permissions), prefix, after, limit)
            assert len(page.keys) <= limit
            found += page.keys
            after = page.next
        return found

    assert await pages("", 3) == await pages("", 1000) == paths
    assert await pages("a", 1) == ["a", "a-b", "a/b", "a/b/c"]
    scoped = ("secrets:list:keys/*", "secrets:list:a/b")
    assert await pages("", 2, *scoped) == ["a/b", "keys/binance", "keys/bybit"]
    assert await pages("keys/b", 2, *scoped) == ["keys/binance", "keys/bybit"]
    assert await pages("z", 2, *scoped) == []


async def test_without_a_grant_vault_is_not_asked(vaulted: Vaulted, standin: StandIn) -> None:
    """Every method checks first; nothing is even intended."""
    room, none = vaulted.room, may("secrets:read", "other", "secrets:read:other")
    calls = [
        room.get(none, "a"),
        room.metadata(none, "a"),
        room.list(none),
        room.put(none, PutSecret("a", msgspec.Raw(b"{}")), vaulted.entry()),
        room.rollback(none, RollbackSecret("a", 1), vaulted.entry()),
        room.delete(none, PickVersions("a"), vaulted.entry()),
        room.undelete(none, PickVersions("a", (1,)), vaulted.entry()),
        room.destroy(none, PickVersions("a", (1,)), vaulted.entry()),
        room.set_metadata(none, SetSecretMetadata("a", {}), vaulted.entry()),
    ]
    for call in calls:
        with pytest.raises(PermissionDeniedError):
            await call
    assert not standin.seen
    assert not vaulted.journal.events


async def test_a_change_is_intended_in_the_journal_before_vault_is_asked(vaulted: Vaulted, standin: StandIn) -> None:
    """Intent, then the outcome with the version; a failure is told as well."""
    await vaulted.put("a", {"password": "hunter2"})
    intent = ("write.intent", "success", "about to be done; the outcome has the same request_id")
    assert vaulted.recorded() == [intent, ("write", "success", "version 1 in Vault")]
    standin.sealed = True
    with pytest.raises(ProviderUnavailableError):
        await vaulted.put("a", {"password": "hunter3"})
    assert vaulted.recorded()[2] == intent
    assert vaulted.recorded()[3][:2] == ("write", "failure")
    assert "sealed" in vaulted.recorded()[3][2]
    assert b"hunter" not in b"".join(vaulted.journal.events)


async def test_without_audit_nothing_is_changed(vaulted: Vaulted, standin: StandIn) -> None:
    """Where the intent cannot be written, no request that changes anything leaves."""
    await vaulted.put("a", {"n": 1})
    standin.seen.clear()

    async def refuse(event: bytes) -> None:
        raise AuditUnavailableError("full")

    vaulted.journal.record = refuse  # type: ignore[method-assign]
    write, delete = may("secrets:write", "a"), may("secrets:delete", "a")
    changes: list[Callable[[Entry], Awaitable[object]]] = [
        lambda entry: vaulted.room.put(write, PutSecret("a", msgspec.Raw(b"{}")), entry),
        lambda entry: vaulted.room.rollback(write, RollbackSecret("a", 1), entry),
        lambda entry: vaulted.room.delete(delete, PickVersions("a"), entry),
        lambda entry: vaulted.room.undelete(write, PickVersions("a", (1,)), entry),
        lambda entry: vaulted.room.destroy(write, PickVersions("a", (1,)), entry),
        lambda entry: vaulted.room.set_metadata(write, SetSecretMetadata("a", {}), entry),
    ]
    for change in changes:
        with pytest.raises(AuditUnavailableError):
            await change(vaulted.entry())
    assert {method for method, _, _ in standin.seen} == {"GET"}
    assert await vaulted.get("a") == {"n": 1}


async def test_an_outage_is_bridged_for_reads_and_marked(vaulted: Vaulted, standin: StandIn) -> None:
    """The last known value, with the time it is of, for the set time and no longer; then Vault is asked again."""
    await vaulted.put("a", {"n": 1})
    read = await vaulted.room.get(may("secrets:read", "a"), "a")
    assert (read.stale_since, read.note) == (None, "")
    told_at = vaulted.clock.time
    standin.sealed = True
    vaulted.clock.time += STALE
    read = await vaulted.room.get(may("secrets:read", "a"), "a")
    assert (read.value(), read.stale_since) == ({"n": 1}, told_at)
    assert read.note.startswith("stale: version 1 as of 2027-01-15T08:00:00")
    assert vaulted.counted[-2:] == ["unavailable", "stale"]
    for unknown in (vaulted.get("b"), vaulted.get("a", 1)):  # another question than the one that was answered
        with pytest.raises(ProviderUnavailableError):
            await unknown
    vaulted.clock.time += 1
    with pytest.raises(ProviderUnavailableError, match="is sealed") as caught:
        await vaulted.get("a")
    assert standin.url not in str(caught.value)  # callers of the service do not learn where Vault is
    assert standin.url in caught.value.reason
    standin.sealed = False
    vaulted.clock.time += 2
    assert (await vaulted.room.get(may("secrets:read", "a"), "a")).stale_since is None


async def test_writes_and_listings_are_not_bridged(vaulted: Vaulted, standin: StandIn) -> None:
    """They fail; the value that was read before stays known."""
    await vaulted.put("a", {"n": 1})
    await vaulted.get("a")
    standin.sealed = True
    calls = [
        vaulted.put("a", {"n": 2}),
        vaulted.room.list(may("secrets:list")),
        vaulted.room.metadata(may("secrets:read", "a"), "a"),
        vaulted.room.delete(may("secrets:delete", "a"), PickVersions("a"), vaulted.entry()),
        vaulted.room.rollback(may("secrets:write", "a"), RollbackSecret("a", 1), vaulted.entry()),
    ]
    for call in calls:
        with pytest.raises(ProviderUnavailableError):
            await call
    assert await vaulted.get("a") == {"n": 1}
    standin.sealed = False
    vaulted.clock.time += 2
    assert await vaulted.get("a") == {"n": 1}


async def test_what_vault_refuses_or_has_not_is_never_stale(vaulted: Vaulted, standin: StandIn) -> None:
    """No is an answer: it is passed on, and the old value is forgotten, also for the outage that follows."""
    for fault, error in (
        (saying(403, {"errors": ["permission denied"]}), ProviderRefusedError),
        (saying(404, {"errors": []}), SecretNotFoundError),
    ):
        await vaulted.put("a", {"n": 1})
        assert await vaulted.get("a") == {"n": 1}
        standin.faults.append(fault)
        with pytest.raises(error):
            await vaulted.get("a")
        standin.sealed = True
        with pytest.raises(ProviderUnavailableError):
            await vaulted.get("a")
        standin.sealed = False
        vaulted.clock.time += 2


async def test_a_change_makes_the_old_value_unknown(vaulted: Vaulted, standin: StandIn) -> None:
    """A rotated key does not come back in an outage, nor does a read that began before the change keep it."""
    await vaulted.put("a", {"n": 1})
    await vaulted.get("a")
    await vaulted.put("a", {"n": 2})
    standin.sealed = True
    with pytest.raises(ProviderUnavailableError):
        await vaulted.get("a")
    standin.sealed = False
    vaulted.clock.time += 2
    arrived, go = threading.Event(), threading.Event()

    def slow(handler: Handler) -> bool:
        handler.answer(200, {"data": {"data": {"n": 2}, "metadata": {"version": 2}}})
        arrived.set()
        go.wait(10)
        return True

    standin.faults.append(slow)
    reading = asyncio.create_task(vaulted.get("a"))
    await asyncio.to_thread(arrived.wait, 10)
    await vaulted.put("a", {"n": 3})
    go.set()
    assert await reading == {"n": 2}
    standin.sealed = True
    with pytest.raises(ProviderUnavailableError):
        await vaulted.get("a")


async def test_during_an_outage_one_read_a_second_asks(vaulted: Vaulted, standin: StandIn) -> None:
    """The others are answered at once, so that no thread waits for the same time-out."""
    await vaulted.put("a", {"n": 1})
    await vaulted.get("a")
    standin.sealed = True
    standin.seen.clear()
    for _ in range(10):
        assert await vaulted.get("a") == {"n": 1}
    assert len(standin.seen) == 1
    vaulted.clock.time += 1
    await asyncio.gather(*(vaulted.get("a") for _ in range(10)))
    assert len(standin.seen) == 2


async def test_a_slow_vault_does_not_stop_the_loop_nor_take_every_thread(standin: StandIn) -> None:
    """Calls wait in a queue of a set length; one too many is told so at once."""
    vaulted = Vaulted(standin.place, connections=2, read_seconds=5)
    await vaulted.put("a", {"n": 1})
    released = threading.Event()
    standin.faults.extend([silent(released)] * 2)
    loop = asyncio.get_running_loop()
    reading = [asyncio.create_task(vaulted.get(f"b{number}")) for number in range(2 * 17)]
    began = loop.time()
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await vaulted.get("c")
    assert loop.time() - began < 0.5
    released.set()
    assert all(isinstance(each, TradewardenError) for each in await asyncio.gather(*reading, return_exceptions=True))
    assert await vaulted.get("a") == {"n": 1}
    await vaulted.room.close()


async def test_what_is_kept_for_outages_is_bounded(vaulted: Vaulted, standin: StandIn) -> None:
    """In number and in size: the oldest goes first, a large one is not kept at all."""
    for number in range(MAX_VALUES + 1):
        standin.secrets[f"alphapulse/n{number}"] = standin.secrets.get("alphapulse/n0") or {}
        if not number:
            await vaulted.put("n0", {"n": 1})
        await vaulted.get(f"n{number}")
    await vaulted.put("large", {"x": "x" * MAX_VALUE_BYTES})
    await vaulted.get("large")
    standin.sealed = True
    assert await vaulted.get(f"n{MAX_VALUES}") == await vaulted.get("n1") == {"n": 1}
    for gone in ("n0", "large"):
        with pytest.raises(ProviderUnavailableError):
            await vaulted.get(gone)


async def test_what_vault_would_not_keep_is_refused_first(vaulted: Vaulted, standin: StandIn) -> None:
    """Numbers that it rounds, and custom metadata that it does not take."""
    with pytest.raises(InvalidInputError, match=r"beyond 2\^53"):
        await vaulted.put("a", {"deep": [{"n": 2**53 + 1}]})
    write = may("secrets:write", "a")
    for custom, error in (({"k": ""}, InvalidInputError), ({"k": "x" * 513}, LimitExceededError)):
        with pytest.raises(error):
            await vaulted.room.put(write, PutSecret("a", msgspec.Raw(b"{}"), None, custom), vaulted.entry())
    assert not standin.secrets
    await vaulted.room.put(write, PutSecret("a", msgspec.Raw(b"{}"), None, {"k": "v"}), vaulted.entry())
    assert (await vaulted.room.metadata(may("secrets:read", "a"), "a")).custom == {"k": "v"}


async def test_custom_metadata_that_cannot_follow_is_told(vaulted: Vaulted, standin: StandIn) -> None:
    """The version stands, and the error says so."""
    standin.faults.extend([lambda _: False, lambda _: False, lambda _: False, saying(502)])
    command = PutSecret("a", msgspec.Raw(b"{}"), None, {"k": "v"})
    with pytest.raises(ProviderUnavailableError, match="Version 1 of 'a' is stored, but not its custom metadata"):
        await vaulted.room.put(may("secrets:write", "a"), command, vaulted.entry())
    assert await vaulted.get("a") == {}


async def test_tradpals_door_and_the_library_go_to_vault(standin: StandIn, tmp_path: Path) -> None:
    """In process as over HTTP; what is stale says so to the library, and in its entry."""
    environment = {"ENABLE_VAULT": "true", "VAULT_URL": standin.url, "VAULT_TOKEN": standin.place.root}
    settings = load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data"), **environment})
    door = SecurityService(settings=settings)
    await door.start()
    assert await door.store_secret("api_keys/binance", {"api_key": "k"})
    assert "alphapulse/api_keys/binance" in standin.secrets
    assert await door.retrieve_secret("api_keys/binance") == {"api_key": "k"}
    assert await door.retrieve_secret("none") is None
    standin.sealed = True
    found = await door.warden.local.secrets.get("api_keys/binance")
    assert (found.value(), found.stale_since is not None) == ({"api_key": "k"}, True)
    with pytest.raises(ProviderUnavailableError, match="is sealed"):
        await door.store_secret("api_keys/binance", {})
    health = await door.health_check()
    assert (health["status"], msgspec.convert(health["components"], dict[str, bool])["vault"]) == ("degraded", False)
    await door.warden.clerk.run_once(last=True)
    newest = (await door.warden.local.audit.search(Filter(action="read"), 1))[0]
    assert str(newest["reason"]).startswith("stale: version 1 as of ")
    await door.stop()


async def test_every_use_is_counted_by_what_it_came_to(vaulted: Vaulted, standin: StandIn) -> None:
    """So that an operator sees an outage, a policy and a missing secret apart."""
    await vaulted.put("a", {"n": 1})
    await vaulted.get("a")
    with pytest.raises(SecretNotFoundError):
        await vaulted.get("none")
    with pytest.raises(ConflictError):
        await vaulted.put("a", {}, cas=9)
    standin.faults.append(saying(403, {"errors": []}))
    with pytest.raises(ProviderRefusedError):
        await vaulted.get("a")
    standin.sealed = True
    with pytest.raises(ProviderUnavailableError):
        await vaulted.get("a")
    assert vaulted.counted == ["success", "success", "not_found", "conflict", "refused", "unavailable"]
    assert "is sealed" in await vaulted.room.fault()
    standin.sealed = False
    assert await vaulted.room.fault() == ""


@pytest.mark.parametrize("server", ["standin", "real"])
async def test_a_look_proves_the_token_and_the_mount(request: pytest.FixtureRequest, server: str) -> None:
    """A token that is none, and a mount that is not there, are faults before anybody asks for a secret."""
    place = request.getfixturevalue("vault") if server == "real" else request.getfixturevalue("standin").place
    for more, word in (
        ({}, ""),
        ({"mount": "nowhere"}, "nowhere"),
        ({"login": TokenLogin(Secret("s.not-a-token"))}, "VAULT_TOKEN"),
    ):
        made = Vaulted(place, **more)
        told = await made.room.fault()
        assert word in told if word else not told
        await made.room.close()


async def test_the_proof_is_repeated(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that was revoked is seen without a call, some seconds later; in between nothing is asked again."""
    moment = 1000.0
    monkeypatch.setattr("tradewarden.secrets.providers.vault.engine.monotonic", lambda: moment)
    made = Vaulted(standin.place)
    assert await made.room.fault() == ""
    standin.tokens.clear()
    assert await made.room.fault() == ""
    moment += 11
    assert "VAULT_TOKEN" in await made.room.fault()
    await made.room.close()

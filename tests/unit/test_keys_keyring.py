"""The keyring: first start, recognition of the root, uses, budgets, rotation, refresh, inventory."""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tests.support.keys import ENVIRONMENT, ROOT_KEY, key_entry, key_grant, keyring
from tests.support.storage import inbox, sqlite_database
from tradewarden.access.grant import authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.seal import InboxSeal
from tradewarden.clock import SystemClock, system_randomness
from tradewarden.crypto.aead import key_version
from tradewarden.errors import (
    ConfigurationError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    PermissionDeniedError,
    StorageUnavailableError,
    UnavailableError,
)
from tradewarden.keys import changes
from tradewarden.keys.changes import LEASE, MOST_MESSAGES
from tradewarden.keys.keyring import Keyring
from tradewarden.keys.purpose import Purpose
from tradewarden.keys.source import RootSources, root_source
from tradewarden.keys.store import KeyChange, KeyState, State
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_keys import MemoryKeyStore
from tradewarden.storage.sql_keys import SqlKeyStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tradewarden.keys.store import KeyStore

OTHER = {"TEST_ROOT_KEY": b64encode(ROOT_KEY[::-1]).decode(), "NEW": b64encode(ROOT_KEY[::-1]).decode()}


class Store(MemoryKeyStore):
    """A memory store that counts changes, can fail, and shows and takes its rows."""

    def __init__(self) -> None:
        self.database = MemoryDatabase()
        super().__init__(self.database)
        self.changes = 0
        self.broken = False
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def state(self) -> KeyState:
        """What stands."""
        return self._state

    @state.setter
    def state(self, state: KeyState) -> None:
        self._state = state

    async def change(self, decide: Callable[[KeyState], KeyChange]) -> KeyState:
        """Change, unless broken, once the gate is open."""
        self.changes += 1
        self.entered.set()
        await self.gate.wait()
        if self.broken:
            raise StorageUnavailableError("broken")
        return await super().change(decide)


async def opened(store: KeyStore, uri: str = "env:TEST_ROOT_KEY", environment: dict[str, str] | None = None) -> Keyring:
    """Open a keyring as a process does."""
    return await Keyring.open(store, RootSources(uri, environment or ENVIRONMENT), system_randomness, SystemClock())


async def encrypted(keys: Keyring, purpose: Purpose = Purpose.SECRETS) -> bytes:
    """Encrypt something."""
    await keys.reserve(purpose)
    return keys.cipher(purpose).encrypt(b"value", b"place")


def by_budget(state: KeyState, leased: int, keys: Keyring, purpose: Purpose = Purpose.SECRETS) -> KeyState:
    """Return the state with so many messages leased of the current version."""
    version = keys.current(purpose)
    row = changes._budget(keys._ring, purpose, version, leased)
    others = tuple(each for each in state.budgets if (each.purpose, each.version) != (purpose, version))
    return replace(state, budgets=(*others, row))


def system_event(keys: Keyring, sealed: bytes) -> dict[str, Any]:
    """Open an entry that the keyring wrote by itself; it must be sealed as the sequencer expects it."""
    line = InboxSeal(keys.derive(Purpose.AUDIT, "inbox")).open_change(sealed)
    assert line is not None
    event: dict[str, Any] = json.loads(line)
    return event


async def test_first_start_makes_every_key_once() -> None:
    """An empty store gets a current and a next version of every purpose, in one change with its entry."""
    store = Store()
    keys = await opened(store)
    assert {(row.purpose, row.version, row.state) for row in store.state.keys} == {
        (purpose.value, version, state) for purpose in Purpose for version, state in ((1, "current"), (2, "next"))
    }
    assert all(keys.current(purpose) == 1 for purpose in Purpose)
    assert len(store.database.inbox) == store.changes == 1
    event = system_event(keys, store.database.inbox[0])
    assert (event["event_type"], event["user"], event["action"], len(event["rows"])) == ("key", "system", "create", 13)
    await opened(store)
    assert store.changes == 1


@pytest.mark.parametrize("uri", ["env:TEST_ROOT_KEY", "passphrase:env:PHRASE"])
async def test_a_wrong_root_is_recognised_and_nothing_is_written(uri: str) -> None:
    """Another root key, of whatever source, is refused with what to do before anything is written."""
    store = Store()
    await opened(store)
    before, store.changes = store.state, 0
    with pytest.raises(ConfigurationError, match="TRADEWARDEN_ROOT_KEY"):
        await opened(store, uri, OTHER | {"PHRASE": "a passphrase that is long enough"})
    assert (store.state, store.changes) == (before, 0)


async def test_a_passphrase_opens_again(tmp_path: Path) -> None:
    """Data written under a passphrase opens with it in SQLite too, and not with another one."""
    async with sqlite_database(tmp_path) as database:
        first = await opened(SqlKeyStore(database), "passphrase:", {"TRADEWARDEN_PASSPHRASE": "correct horse battery"})
        again = await opened(SqlKeyStore(database), "passphrase:", {"TRADEWARDEN_PASSPHRASE": "correct horse battery"})
        assert first.derive(Purpose.CA, "x") == again.derive(Purpose.CA, "x")
        with pytest.raises(ConfigurationError, match="is not the root key this data was written with"):
            await opened(SqlKeyStore(database), "passphrase:", {"TRADEWARDEN_PASSPHRASE": "wrong horse battery"})


async def test_two_first_starts_agree(tmp_path: Path) -> None:
    """Processes that start on an empty database at once end up with the same keys and one root key file."""
    async with sqlite_database(tmp_path) as database:
        uri = f"file:{tmp_path}/keys/root.key"
        rings = await asyncio.gather(*(opened(SqlKeyStore(database), uri) for _ in range(4)))
        assert len({ring.derive(Purpose.CA, "x") for ring in rings}) == 1
        assert len(await inbox(database)) == 1
        assert [each.name for each in (tmp_path / "keys").iterdir()] == ["root.key"]


async def test_uses_are_separate_and_stable() -> None:
    """Each purpose, use and label has its own key; labelled ones stay through rotations and restarts."""
    store = Store()
    keys = await opened(store)
    digest, derived = keys.mac(Purpose.AUDIT, "paths").digest("a", "b"), keys.derive(Purpose.AUDIT, "paths")
    await keys.rotate(key_grant("keys:rotate", "audit"), Purpose.AUDIT, key_entry())
    again = await opened(store)
    assert again.mac(Purpose.AUDIT, "paths").digest("a", "b") == digest
    assert again.derive(Purpose.AUDIT, "paths") == derived
    uses = [
        *(keys._ring.derive("audit", use, 1) for use in ("value", "row", "budget")),
        *(keys.derive(purpose, label) for purpose in Purpose for label in ("paths", "names")),
        *(keys._labelled(purpose, "mac", label) for purpose in Purpose for label in ("paths", "names")),
    ]
    assert len(set(uses)) == len(uses)
    for label in ("", "x" * 129):
        with pytest.raises(InvalidInputError):
            keys.derive(Purpose.AUDIT, label)


async def test_a_lease_is_taken_once() -> None:
    """The first reservation leases 2^20 messages in one change without an entry; later ones touch nothing."""
    store = Store()
    keys = await opened(store)
    store.changes = 0
    await asyncio.gather(*(keys.reserve(Purpose.SECRETS) for _ in range(10)))
    assert (store.changes, keys.cipher(Purpose.SECRETS).budget) == (1, LEASE)
    assert [row.leased for row in store.state.budgets] == [LEASE]
    assert len(store.database.inbox) == 1
    with pytest.raises(InvalidInputError):
        await keys.reserve(Purpose.SECRETS, LEASE)


async def test_a_budget_is_topped_up_ahead() -> None:
    """Below a quarter one lease starts in the background, whose failure nobody notices while a budget is left."""
    store = Store()
    keys = await opened(store)
    await keys.reserve(Purpose.SECRETS)
    cipher = keys.cipher(Purpose.SECRETS)
    cipher.grant(1, LEASE // 4 - LEASE)
    store.changes, store.broken = 0, True
    for _ in range(5):
        await keys.reserve(Purpose.SECRETS)
    await keys.close()
    assert (store.changes, cipher.budget) == (1, LEASE // 4)
    store.broken = False
    await keys.reserve(Purpose.SECRETS)
    await keys.close()
    assert cipher.budget == LEASE // 4 + LEASE


async def test_without_a_budget_nothing_is_encrypted() -> None:
    """When the budget is out and storage is gone, reserving and encrypting fail; both work when it is back."""
    store = Store()
    keys = await opened(store)
    store.broken = True
    with pytest.raises(StorageUnavailableError):
        await keys.reserve(Purpose.SECRETS)
    with pytest.raises(UnavailableError):
        keys.cipher(Purpose.SECRETS).encrypt(b"", b"")
    store.broken = False
    assert await encrypted(keys)


async def test_a_cancelled_caller_does_not_stop_others() -> None:
    """Who waits for a lease gets it when another waiting caller gave up."""
    store = Store()
    keys = await opened(store)
    store.entered.clear()
    store.gate.clear()
    first = asyncio.create_task(keys.reserve(Purpose.SECRETS))
    second = asyncio.create_task(keys.reserve(Purpose.SECRETS))
    await store.entered.wait()
    first.cancel()
    store.gate.set()
    await second
    assert keys.cipher(Purpose.SECRETS).budget >= LEASE


async def test_a_spent_version_is_rotated_by_itself() -> None:
    """A lease past 2^31 makes the next version current in the same change, with a system entry, and goes on."""
    store = Store()
    keys = await opened(store)
    old = await encrypted(keys)
    store.state = by_budget(store.state, MOST_MESSAGES - LEASE, keys)
    store.changes = 0
    cipher = keys.cipher(Purpose.SECRETS)
    cipher.grant(1, -cipher.budget)
    await keys.reserve(Purpose.SECRETS)
    assert (keys.current(Purpose.SECRETS), len(store.database.inbox)) == (1, 1)
    cipher.grant(1, -cipher.budget)
    revision = (await store.database.revisions()).keys
    await keys.reserve(Purpose.SECRETS)
    assert (store.changes, keys.current(Purpose.SECRETS), cipher.budget) == (2, 2, LEASE)
    assert key_version(cipher.encrypt(b"", b"")) == 2
    assert cipher.decrypt(old, b"place") == b"value"
    event = system_event(keys, store.database.inbox[-1])
    assert (event["user"], event["resource"], event["action"]) == ("system", "secrets", "rotate")
    assert (await store.database.revisions()).keys == revision + 1


async def test_a_rotation_keeps_objects_and_budget() -> None:
    """Rotating gives the next version to the ciphers and sealers that rooms hold, ready to encrypt, with one entry."""
    store = Store()
    keys = await opened(store)
    cipher, sealer = keys.cipher(Purpose.TOKENS), keys.sealer(Purpose.TOKENS)
    entry = key_entry()
    assert await keys.rotate(key_grant("keys:rotate", "tokens"), Purpose.TOKENS, entry) == 2
    assert entry.committed
    assert (cipher.current, sealer.current, cipher.budget) == (2, 2, LEASE)
    assert keys.cipher(Purpose.TOKENS) is cipher
    assert keys.current(Purpose.SECRETS) == 1
    states = {row.version: row.state for row in store.state.keys if row.purpose == "tokens"}
    assert states == {1: State.RETIRED, 2: State.CURRENT, 3: State.NEXT}
    assert len(json.loads(store.database.inbox[-1])["rows"]) == 3


async def test_rotating_and_reading_need_their_grants() -> None:
    """A grant for something else is refused, and nothing changes."""
    store = Store()
    keys = await opened(store)
    before = store.state
    narrow = authorize(Principal(Kind.SERVICE, "a"), PermissionSet(["keys:rotate:audit"]), "keys:rotate", "audit")
    source = root_source("env:NEW", OTHER)
    for call in (
        lambda: keys.rotate(narrow, Purpose.SECRETS, key_entry()),
        lambda: keys.rotate_root(narrow, source, key_entry()),
        lambda: keys.inventory(narrow),
    ):
        with pytest.raises(PermissionDeniedError):
            await call()
    assert store.state == before


async def test_another_process_follows() -> None:
    """After a refresh another process writes under the new version, already leased; before it, it reads it."""
    store = Store()
    mine, theirs = await opened(store), await opened(store)
    await theirs.reserve(Purpose.SECRETS)
    await mine.rotate(key_grant("keys:rotate", "secrets"), Purpose.SECRETS, key_entry())
    assert theirs.cipher(Purpose.SECRETS).decrypt(await encrypted(mine), b"place") == b"value"
    await theirs.refresh()
    cipher = theirs.cipher(Purpose.SECRETS)
    assert (cipher.current, cipher.budget) == (2, LEASE)
    before = store.changes
    await theirs.refresh()
    assert store.changes == before


async def test_a_process_follows_without_a_lease_too() -> None:
    """When storage cannot be written, a refresh still brings the new version, to read with."""
    store = Store()
    mine, theirs = await opened(store), await opened(store)
    await theirs.reserve(Purpose.SECRETS)
    await mine.rotate(key_grant("keys:rotate", "secrets"), Purpose.SECRETS, key_entry())
    store.broken = True
    await theirs.refresh()
    assert (theirs.cipher(Purpose.SECRETS).current, theirs.cipher(Purpose.SECRETS).budget) == (2, 0)


async def test_a_lease_meets_a_rotation() -> None:
    """A process that has not looked yet leases from the version that stands, and takes it over with that."""
    store = Store()
    mine, theirs = await opened(store), await opened(store)
    await mine.rotate(key_grant("keys:rotate", "secrets"), Purpose.SECRETS, key_entry())
    await theirs.reserve(Purpose.SECRETS)
    assert theirs.cipher(Purpose.SECRETS).current == 2
    assert [row.leased for row in store.state.budgets] == [2 * LEASE]


async def test_the_inventory_shows_no_key() -> None:
    """The inventory lists the root and every version with what was leased, filtered by the grant, without material."""
    keys = await keyring()
    await keys.reserve(Purpose.SECRETS)
    lines = await keys.inventory(key_grant("keys:read"))
    assert [(line.purpose, line.version) for line in lines][:3] == [("root", 1), ("audit", 1), ("audit", 2)]
    assert {line.purpose: line.messages for line in lines if line.messages} == {"secrets": LEASE}
    assert not any(isinstance(getattr(line, name), bytes) for line in lines for name in line.__struct_fields__)
    narrow = authorize(Principal(Kind.SERVICE, "a"), PermissionSet(["keys:read:audit"]), "keys:read")
    assert {line.purpose for line in await keys.inventory(narrow)} == {"audit"}


def _without_next(state: KeyState) -> KeyState:
    return replace(state, keys=tuple(row for row in state.keys if row.version == 1))


def _without_purpose(state: KeyState) -> KeyState:
    return replace(state, keys=tuple(row for row in state.keys if row.purpose != "secrets"))


def _moved(state: KeyState) -> KeyState:
    first, *others = state.keys
    return replace(state, keys=(replace(first, wrapped=others[-1].wrapped), *others))


def _renamed(state: KeyState) -> KeyState:
    first, *others = state.keys
    return replace(state, keys=(replace(first, state="retired"), *others))


def _weaker_root(state: KeyState) -> KeyState:
    assert state.root
    return replace(state, root=replace(state.root, purposes="audit"))


def _redated_root(state: KeyState) -> KeyState:
    assert state.root
    return replace(state, root=replace(state.root, created_at=1.0))


def _elsewhere(state: KeyState) -> KeyState:
    assert state.root
    return replace(state, root=replace(state.root, uri="file:/elsewhere"))


def _without_root(state: KeyState) -> KeyState:
    return replace(state, root=None)


@pytest.mark.parametrize(
    "tamper",
    [_without_next, _without_purpose, _moved, _renamed, _weaker_root, _redated_root, _elsewhere, _without_root],
)
async def test_tampered_tables_are_refused(tamper: Callable[[KeyState], KeyState]) -> None:
    """Rows that were removed, moved or edited in the database stop the start and the refresh; nothing is remade."""
    store = Store()
    keys = await opened(store)
    store.state = tampered = tamper(store.state)
    with pytest.raises(IntegrityError):
        await opened(store)
    with pytest.raises(IntegrityError):
        await keys.refresh()
    with pytest.raises(IntegrityError):
        await keys.inventory(key_grant("keys:read"))
    assert store.state == tampered


async def test_a_step_back_is_refused_while_running() -> None:
    """Old rows put back into the database are noticed by a process that knows newer ones."""
    store = Store()
    keys = await opened(store)
    old = store.state
    await keys.rotate(key_grant("keys:rotate", "secrets"), Purpose.SECRETS, key_entry())
    store.state = old
    with pytest.raises(IntegrityError):
        await keys.refresh()
    assert keys.current(Purpose.SECRETS) == 2


async def test_a_forged_budget_is_refused() -> None:
    """A budget row that was edited does not give another lease."""
    store = Store()
    keys = await opened(store)
    await keys.reserve(Purpose.SECRETS)
    store.state = replace(store.state, budgets=(replace(store.state.budgets[0], leased=0),))
    keys.cipher(Purpose.SECRETS).grant(1, -LEASE)
    with pytest.raises(IntegrityError):
        await keys.reserve(Purpose.SECRETS)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM root_keys",
        "UPDATE root_keys SET generation = 'x'",
        "UPDATE root_keys SET generation = 99999999999",
        "UPDATE root_keys SET check_value = 5",
        "UPDATE root_keys SET salt = 'abc'",
        "UPDATE root_keys SET uri = x'00'",
        "UPDATE root_keys SET uri = 'file:/tmp/other'",
        "UPDATE root_keys SET uri = printf('file:/%.*c', 5000, 'x')",
        "UPDATE purpose_keys SET version = 'x' WHERE version = 2",
        "UPDATE purpose_keys SET wrapped = 7",
        "UPDATE purpose_keys SET seal = 'x'",
        "UPDATE purpose_keys SET seal = x''",
        "DELETE FROM purpose_keys",
        "DELETE FROM purpose_keys WHERE version = 2",
    ],
)
async def test_tampered_sql_is_refused(tmp_path: Path, sql: str) -> None:
    """Whatever type of value someone writes into the tables, the answer is one clear error."""
    async with sqlite_database(tmp_path) as database:
        await opened(SqlKeyStore(database))
        await database.transact(lambda transaction: transaction.run(sql))
        with pytest.raises(IntegrityError, match="restore"):
            await opened(SqlKeyStore(database))


async def test_a_new_purpose_gets_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data of an older version, without a purpose that this one has, gets that purpose's keys and an entry."""
    store = Store()
    older = [purpose for purpose in Purpose if purpose is not Purpose.FIELDS]
    with monkeypatch.context() as patch:
        patch.setattr("tradewarden.keys.keyring.Purpose", FewerPurposes(older))
        old = await opened(store)
        derived = old.derive(Purpose.CA, "x")
    assert {row.purpose for row in store.state.keys} == {purpose.value for purpose in older}
    keys = await opened(store)
    assert keys.current(Purpose.FIELDS) == 1
    assert keys.derive(Purpose.CA, "x") == derived
    assert system_event(keys, store.database.inbox[-1])["resource"] == "fields"
    await opened(store)
    assert len(store.database.inbox) == 2


class FewerPurposes(list[Purpose]):
    """What the enumeration was in an older version."""

    def __call__(self, value: str) -> Purpose:
        """Look a purpose up."""
        return Purpose(value)


async def test_rotating_the_root_touches_keys_alone() -> None:
    """A root rotation rewraps every key under the new root while the service runs; the old root is refused after it."""
    store = Store()
    keys = await opened(store)
    value, derived = await encrypted(keys), keys.derive(Purpose.CA, "x")
    entry = key_entry()
    assert await keys.rotate_root(key_grant("keys:rotate", "root"), root_source("env:NEW", OTHER), entry) == 2
    assert entry.committed
    assert len(json.loads(store.database.inbox[-1])["rows"]) == 13
    assert keys.cipher(Purpose.SECRETS).decrypt(value, b"place") == b"value"
    await keys.rotate(key_grant("keys:rotate", "ca"), Purpose.CA, key_entry())
    again = await opened(store, "env:NEW", OTHER)
    assert again.cipher(Purpose.SECRETS).decrypt(value, b"place") == b"value"
    assert (again.derive(Purpose.CA, "x"), again.current(Purpose.CA)) == (derived, 2)
    with pytest.raises(ConfigurationError, match="is not the root key this data was written with"):
        await opened(store)
    with pytest.raises(InvalidInputError, match="present root key"):
        await keys.rotate_root(key_grant("keys:rotate", "root"), root_source("env:NEW", OTHER), key_entry())


async def test_an_outdated_process_goes_on_as_far_as_it_can(tmp_path: Path) -> None:
    """A process with the old root reads, writes, leases and follows to versions it knows; past them it says restart."""
    store = Store()
    mine, theirs = await opened(store), await opened(store)
    await mine.rotate_root(key_grant("keys:rotate", "root"), root_source("env:NEW", OTHER), key_entry())
    await theirs.refresh()
    assert theirs.outdated
    assert not mine.outdated
    assert await encrypted(theirs)
    with pytest.raises(ConflictError, match="restart"):
        await theirs.rotate(key_grant("keys:rotate", "secrets"), Purpose.SECRETS, key_entry())
    with pytest.raises(ConflictError, match="restart"):
        await theirs.rotate_root(
            key_grant("keys:rotate", "root"), root_source(f"file:{tmp_path}/root.key", {}), key_entry()
        )
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    await mine.rotate(key_grant("keys:rotate", "secrets"), Purpose.SECRETS, key_entry())
    await theirs.refresh()
    value = await encrypted(theirs)
    assert key_version(value) == 2
    assert mine.cipher(Purpose.SECRETS).decrypt(value, b"place") == b"value"
    await mine.rotate(key_grant("keys:rotate", "secrets"), Purpose.SECRETS, key_entry())
    with pytest.raises(UnavailableError, match="restart this process"):
        await theirs.refresh()
    assert theirs.cipher(Purpose.SECRETS).decrypt(value, b"place") == b"value"


async def test_an_outdated_process_cannot_rotate_a_spent_key() -> None:
    """A process with the old root whose key is spent asks for a restart and writes nothing under it."""
    store = Store()
    mine, theirs = await opened(store), await opened(store)
    await mine.rotate_root(key_grant("keys:rotate", "root"), root_source("env:NEW", OTHER), key_entry())
    store.state = by_budget(store.state, MOST_MESSAGES, theirs)
    with pytest.raises(UnavailableError, match="restart"):
        await theirs.reserve(Purpose.SECRETS)

"""The time floor of an installation: loaded, raised, looked at, reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from tests.support.keys import Unrecorded, keyring
from tests.support.timefloor import DAY, START, YEARS, Machine, Process, started
from tradewarden.audit.entry import Auditor, Entry, EventType, Origin
from tradewarden.clock import rfc3339, system_randomness
from tradewarden.errors import ConfigurationError, ConflictError, IntegrityError
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_timefloor import MemoryFloorStore
from tradewarden.timefloor.ascent import PROBATION_SECONDS
from tradewarden.timefloor.floor import RESET
from tradewarden.timefloor.store import row_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.keys.port import Keys
    from tradewarden.timefloor.store import FloorRow


class CountedStore(MemoryFloorStore):
    """Counts the transactions."""

    changes = 0

    async def change(self, decide: Callable[[FloorRow | None], FloorRow | None]) -> None:
        """Count, then change."""
        self.changes += 1
        await super().change(decide)


@pytest.fixture
def database() -> MemoryDatabase:
    """What the stores share."""
    return MemoryDatabase()


@pytest.fixture
def store(database: MemoryDatabase) -> CountedStore:
    """The one store of all processes."""
    return CountedStore(database)


@pytest.fixture
async def keys() -> Keys:
    """The keys of the installation."""
    return await keyring()


def entry_of(process: Process) -> Entry:
    """Return the entry of a reset."""
    return Auditor(Unrecorded(), process.clock).entry(EventType.CONFIGURATION_CHANGE, "reset", Origin())


async def stored(store: MemoryFloorStore) -> float:
    """Return the stored floor."""
    row = await store.read()
    assert row is not None
    return row.seconds


async def test_there_is_no_floor_at_a_first_start(store: CountedStore, keys: Keys) -> None:
    """The machine's clock counts, whatever it shows, and a start by itself stores nothing."""
    process = await started(store, Machine(START - YEARS), keys)
    assert process.clock.now() == START - YEARS
    assert process.floor.warning() == ""
    assert await store.read() is None


async def test_it_is_raised_every_ten_seconds(store: CountedStore, keys: Keys) -> None:
    """A minute costs six writes, and a look in between none; the last thing is stored whenever it comes."""
    process = await started(store, Machine(), keys)
    await process.work(60)
    assert store.changes == 6
    assert START + 50.0 <= await stored(store) <= START + 60.0
    process.machine.wait(3.0)
    await process.floor.keep(last=True)
    assert await stored(store) == START + 63.0


async def test_several_processes_write_it_once(store: CountedStore, keys: Keys) -> None:
    """What another process has just stored is not stored again."""
    machine = Machine()
    processes = [await started(store, machine, keys) for _ in range(3)]
    for _ in range(60):
        machine.wait(1.0)
        for process in processes:
            await process.floor.keep()
    assert store.changes <= 8


async def test_a_restart_begins_at_the_floor(store: CountedStore, keys: Keys) -> None:
    """With the clock set back meanwhile, time goes on from the floor; nothing is written below it."""
    await (await started(store, Machine(), keys)).work(60)
    floor = await stored(store)
    process = await started(store, Machine(START - DAY), keys)
    assert process.clock.now() == floor
    await process.work(30)
    assert process.clock.now() == floor + 30.0
    assert await stored(store) >= floor + 10.0


async def test_a_clock_that_is_behind_is_told(store: CountedStore, keys: Keys) -> None:
    """By name, how far, and what to do; a small step is not told."""
    process = await started(store, Machine(), keys)
    await process.work(30)
    process.machine.set(-50.0)
    assert process.floor.warning() == ""
    assert not process.floor.holds()
    process.machine.set(-DAY)
    assert process.floor.holds()
    assert process.floor.behind() == pytest.approx(DAY + 50.0, abs=60.0)
    told = process.floor.warning()
    assert told.startswith("clock: this machine's clock is 1 day, 0:00:")
    assert rfc3339(process.clock.now())[:19] in told
    assert RESET in told
    process.machine.set(DAY)
    assert process.floor.warning() == ""


async def test_a_leap_that_was_taken_back_asks_for_a_restart(store: CountedStore, keys: Keys) -> None:
    """It was not stored, so a restart is all it takes; and then nothing of it is left."""
    process = await started(store, Machine(), keys)
    await process.work(30)
    process.machine.set(YEARS)
    await process.work(30)
    process.machine.set(-YEARS)
    await process.work(2 * PROBATION_SECONDS)
    assert "restart the service" in process.floor.warning()
    assert RESET not in process.floor.warning()
    again = await started(store, process.machine, keys)
    assert again.clock.now() == pytest.approx(process.machine.wall, abs=60.0)
    assert again.floor.warning() == ""


async def test_a_floor_of_another_process_counts_here(store: CountedStore, keys: Keys) -> None:
    """A process never goes below what it reads."""
    first, second = await started(store, Machine(), keys), await started(store, Machine(START - DAY), keys)
    await first.work(20)
    await second.floor.look()
    assert second.clock.now() == await stored(store)


async def test_a_row_that_was_changed_is_refused(store: CountedStore, keys: Keys) -> None:
    """At the start and while it runs; it is not written over, and the message says what to do."""
    process = await started(store, Machine(), keys)
    await process.work(20)
    row = await store.read()
    assert row is not None
    forged = replace(row, seconds=START - YEARS)
    await store.put(forged, b"")
    for attempt in (process.floor.look, lambda: process.floor.keep(last=True)):
        with pytest.raises(IntegrityError, match=RESET):
            await attempt()
    with pytest.raises(ConfigurationError, match=RESET):
        await started(store, Machine(), keys)
    assert await store.read() == forged


async def test_a_row_that_is_gone_is_written_again(store: CountedStore, database: MemoryDatabase, keys: Keys) -> None:
    """By whatever process still knows it."""
    process = await started(store, Machine(), keys)
    await process.work(20)
    store._row = None
    await process.work(20)
    assert await stored(store) >= START + 30.0


async def ahead(store: CountedStore, keys: Keys) -> Process:
    """Return a process whose floor a wrong clock has raised by years, for good."""
    process = await started(store, Machine(), keys)
    await process.work(20)
    process.machine.set(YEARS)
    await process.work(PROBATION_SECONDS + 30)
    process.machine.set(-YEARS)
    assert await stored(store) > START + YEARS
    return process


async def test_a_reset_puts_it_to_the_machines_clock(store: CountedStore, database: MemoryDatabase, keys: Keys) -> None:
    """With an entry that says from when to when and has the row's digest; the next start goes by the machine."""
    before = await ahead(store, keys)
    floor = await stored(store)
    host = Process(store, keys, before.machine)
    entry = entry_of(host)
    done = await host.floor.reset(entry, system_randomness)
    assert done == (floor, before.machine.wall)
    assert entry.committed
    row = await store.read()
    assert row is not None
    event = msgspec.json.decode(database.inbox[-1])
    assert event["reason"] == f"from {rfc3339(floor)} to {rfc3339(before.machine.wall)}"
    assert event["rows"] == [row_digest(row)]
    assert event["timestamp"] == rfc3339(before.machine.wall)
    again = await started(store, before.machine, keys)
    assert again.clock.now() == before.machine.wall
    assert again.floor.warning() == ""


async def test_a_process_from_before_a_reset_does_not_undo_it(store: CountedStore, keys: Keys) -> None:
    """It goes on with its own time, stores nothing any more, and asks for a restart."""
    before = await ahead(store, keys)
    shown = before.clock.now()
    host = Process(store, keys, before.machine)
    await host.floor.reset(entry_of(host), system_randomness)
    changes = store.changes
    await before.work(30)
    await before.floor.keep(last=True)
    assert store.changes == changes
    assert before.clock.now() >= shown
    assert await stored(store) < START + DAY
    assert "was reset" in before.floor.warning()
    assert "restart" in before.floor.warning()


async def test_a_reset_between_look_and_write_stands(database: MemoryDatabase, keys: Keys) -> None:
    """The era is checked again inside the transaction."""

    class RacedStore(CountedStore):
        """Is reset by somebody else just before the write."""

        raced = False

        async def change(self, decide: Callable[[FloorRow | None], FloorRow | None]) -> None:
            """Let the other one in, then change."""
            if self.raced:
                host = Process(self, keys, Machine(START))
                await host.floor.reset(entry_of(host), system_randomness)
            await super().change(decide)

    store = RacedStore(database)
    process = await started(store, Machine(START + YEARS), keys)
    await process.work(20)
    store.raced = True
    await process.floor.keep(last=True)
    assert await stored(store) == START


async def test_a_reset_that_nothing_needs_is_refused(store: CountedStore, keys: Keys) -> None:
    """Without a floor, and while it is not ahead of the clock: nothing is changed."""
    process = await started(store, Machine(), keys)
    with pytest.raises(ConflictError, match="no time floor"):
        await process.floor.reset(entry_of(process), system_randomness)
    await process.work(20)
    row = await store.read()
    process.machine.set(-30.0)
    with pytest.raises(ConflictError, match="not ahead"):
        await process.floor.reset(entry_of(process), system_randomness)
    assert await store.read() == row


async def test_a_reset_replaces_a_row_that_does_not_verify(
    store: CountedStore, database: MemoryDatabase, keys: Keys
) -> None:
    """It is the way out of a row that was changed, and its entry says so."""
    process = await started(store, Machine(), keys)
    await process.work(20)
    row = await store.read()
    assert row is not None
    await store.put(replace(row, era=7), b"")
    host = Process(store, keys, process.machine)
    done = await host.floor.reset(entry_of(host), system_randomness)
    assert done.before is None
    assert "did not verify" in msgspec.json.decode(database.inbox[-1])["reason"]
    assert (await started(store, process.machine, keys)).clock.now() == process.machine.wall

"""A machine whose clock a test sets, and a time floor over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.keys import keyring
from tradewarden.keys.purpose import Purpose
from tradewarden.timefloor.clock import FlooredClock
from tradewarden.timefloor.floor import TimeFloor

if TYPE_CHECKING:
    from tradewarden.keys.port import Keys
    from tradewarden.timefloor.store import FloorStore

START = 1_767_225_600.0  # 2026-01-01T00:00:00Z
DAY = 86_400.0
YEARS = 10 * 365 * DAY


class Machine:
    """The clocks of a machine: time passes on both, and only the wall clock can be set."""

    def __init__(self, wall: float = START, since_boot: float = 1000.0) -> None:
        self.wall = wall
        self.since_boot = since_boot

    def now(self) -> float:
        """Return what the wall clock shows."""
        return self.wall

    def monotonic(self) -> float:
        """Return the seconds since the machine was started."""
        return self.since_boot

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.since_boot += seconds

    def set(self, seconds: float) -> None:
        """Set the wall clock on (or back, below 0)."""
        self.wall += seconds


class Process:
    """One process over a store: its machine, its clock, its floor."""

    def __init__(self, store: FloorStore, keys: Keys, machine: Machine) -> None:
        self.machine = machine
        self.clock = FlooredClock(machine)
        self.floor = TimeFloor(store, keys.sealer(Purpose.AUDIT), self.clock)

    async def work(self, seconds: float) -> None:
        """Let time pass, and do every second what the background does then."""
        for _ in range(int(seconds)):
            self.machine.wait(1.0)
            await self.floor.keep()


async def started(store: FloorStore, machine: Machine, keys: Keys | None = None) -> Process:
    """Start a process: its floor is loaded. All keyrings of these tests are alike only when they are the same."""
    process = Process(store, keys or await keyring(), machine)
    await process.floor.load()
    return process

"""The time floor of an installation: read at each start, raised while it runs, reset by nobody but its operator.

Always true here: the stored floor only rises, but for a reset, which begins another era; a process of an era that is
over stores nothing any more and asks for a restart. A row that does not verify is refused and not written over.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from tradewarden.clock import rfc3339
from tradewarden.errors import ConfigurationError, ConflictError, IntegrityError
from tradewarden.timefloor.ascent import Ascent
from tradewarden.timefloor.clock import TOLERANCE_SECONDS
from tradewarden.timefloor.store import FloorRow, row_digest

if TYPE_CHECKING:
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Randomness
    from tradewarden.crypto.keyset import Sealer
    from tradewarden.timefloor.clock import FlooredClock
    from tradewarden.timefloor.store import FloorStore

RESET: Final = "tradewarden admin reset-time-floor"
STORE_SECONDS: Final = 10.0
"""So much of the past a crash may forget at most; one small write for all processes together."""
_ERA_BYTES: Final = 7


class FloorReset(NamedTuple):
    """What a reset did; `before` None when the row did not verify."""

    before: float | None
    now: float


class TimeFloor:
    """The floor of one data directory, as one process holds it."""

    def __init__(self, store: FloorStore, sealer: Sealer, clock: FlooredClock) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._ascent = Ascent(clock.now(), clock.monotonic())
        self._era = 0
        self._stored = float("-inf")
        self._stored_at = float("-inf")
        self._outdated = False

    def behind(self) -> float:
        """Return by how many seconds the machine's clock is behind the time that counts."""
        return self._clock.behind()

    def holds(self) -> bool:
        """Tell whether the machine's clock is so far behind that somebody must see to it."""
        return self._clock.behind() > TOLERANCE_SECONDS

    def vouched(self) -> bool:
        """Tell whether the time that counts may end things for good: it is no leap that has yet to stand."""
        self._reached()
        return self._ascent.vouched

    async def load(self) -> None:
        """Take over what is stored, before anything is judged; raises `ConfigurationError` when it does not verify."""
        try:
            row = await self._read()
        except IntegrityError as error:
            raise ConfigurationError(error.detail) from error
        self._ascent = Ascent(self._clock.now() if row is None else row.seconds, self._clock.monotonic())
        if row is not None:
            self._era = row.era
            self._take(row)

    async def look(self) -> None:
        """Take over what other processes have stored; raises `IntegrityError`."""
        row = await self._read()
        if row is not None:
            self._outdated = self._outdated or row.era != self._era
            self._take(row)

    async def keep(self, *, last: bool = False) -> None:
        """Store what has been reached, every ten seconds at most, or now as the `last` thing. Call it every second.

        Raises `IntegrityError` for a row that was changed outside, and what the database raises.
        """
        reached, monotonic = self._reached(), self._clock.monotonic()
        if monotonic - self._stored_at < STORE_SECONDS and not last:
            return
        self._stored_at = monotonic
        await self.look()
        if self._outdated or reached - self._stored < (0.0 if last else STORE_SECONDS / 2):
            return  # of another era, or another process has just done it
        await self._store.change(lambda row: self._raised(row, reached))

    def warning(self) -> str:
        """Say what an operator must do about the clock; empty when nothing."""
        if self._outdated:
            return "clock: the time floor was reset on this host; restart the service, which still goes by the old one"
        behind = self._clock.behind()
        if behind <= TOLERANCE_SECONDS:
            return ""
        seen, text = rfc3339(self._clock.now())[:19], str(timedelta(seconds=round(behind)))
        told = f"clock: this machine's clock is {text} behind the latest time seen here ({seen}Z), which counts instead"
        if self._stored - self._clock.machine() <= TOLERANCE_SECONDS:
            return f"{told}. Set the clock right; if it is right now, restart the service: that time was not stored"
        return f"{told}. Set the clock right; if it is right, stop the service and see '{RESET}'"

    async def reset(self, entry: Entry, randomness: Randomness) -> FloorReset:
        """Put the floor to what the machine's clock shows; raises `ConflictError` when it is not ahead of that."""
        now, before = self._clock.machine(), await self._before()
        if before is not None and before - now <= TOLERANCE_SECONDS:
            raise ConflictError(
                f"The time floor ({rfc3339(before)}) is not ahead of this machine's clock ({rfc3339(now)}); "
                "nothing was changed"
            )
        era = int.from_bytes(randomness(_ERA_BYTES)) + 1
        row = self._sealer.seal(FloorRow(1, era, now))
        entry.reason = f"from {'a row that did not verify' if before is None else rfc3339(before)} to {rfc3339(now)}"
        await self._store.put(row, entry.draft(row_digest(row)))
        entry.commit()
        return FloorReset(before, now)

    async def _before(self) -> float | None:
        """Return the stored floor, None when its row does not verify; raises `ConflictError` when there is none."""
        try:
            row = await self._read()
        except IntegrityError:
            return None
        if row is None:
            raise ConflictError("There is no time floor yet; nothing was changed")
        return row.seconds

    async def _read(self) -> FloorRow | None:
        try:
            row = await self._store.read()
            return None if row is None else self._sealer.check(row)
        except IntegrityError as error:
            raise IntegrityError(
                "The time floor was changed outside Tradewarden and is refused; set this machine's clock right, stop "
                f"the service and run '{RESET}'",
                reason=error.reason,
            ) from error

    def _take(self, row: FloorRow) -> None:
        """Hold what is stored, and never go below it."""
        self._stored = row.seconds
        self._clock.raise_to(row.seconds)

    def _reached(self) -> float:
        return self._ascent.step(self._clock.now(), self._clock.behind(), self._clock.monotonic())

    def _raised(self, row: FloorRow | None, reached: float) -> FloorRow | None:
        """Return the row to write; a row that is gone is written again."""
        if row is not None and (self._sealer.check(row).era != self._era or row.seconds >= reached):
            return None
        self._stored = reached
        return self._sealer.seal(FloorRow(1, self._era, reached))

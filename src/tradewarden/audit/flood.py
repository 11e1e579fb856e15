"""Strangers, counted: one entry when a window's throttling begins, one with its count at the end.

So however many calls are throttled before anybody is proven, the log gets two entries an address and
window, and at most `MAX_ADDRESSES` addresses have their own; the rest are counted together (decision 9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.audit.entry import Event, EventType, Recorder, Result, encode
from tradewarden.clock import rfc3339

if TYPE_CHECKING:
    from tradewarden.clock import Clock

WINDOW_SECONDS = 10.0
MAX_ADDRESSES = 64
OTHERS = "others"


class Flood:
    """Counts anonymous calls: throttled ones, or (`visits`) those to routes that are open to anyone.

    `close_window` is for a timer, every `WINDOW_SECONDS`.
    """

    __slots__ = ("_action", "_clock", "_counts", "_recorder", "_result", "_texts")

    def __init__(self, recorder: Recorder, clock: Clock, *, visits: bool = False) -> None:
        self._recorder = recorder
        self._action = "visit" if visits else "throttle"
        self._result = Result.SUCCESS if visits else Result.DENIED
        self._texts = (
            ("visits began", "visits in this window") if visits else ("throttling began", "throttled in this window")
        )
        self._clock = clock
        self._counts: dict[str, int] = {}

    def note(self, address: str) -> bool:
        """Count one throttled call; True when it is the first of this address (or of the others).

        Then the caller awaits `begin`, unless the disk is short of room.
        """
        counts = self._counts
        if address in counts:
            counts[address] += 1
            return False
        if len(counts) >= MAX_ADDRESSES:
            address = OTHERS
        first = address not in counts
        counts[address] = counts.get(address, 0) + 1
        return first

    async def begin(self, address: str) -> None:
        """Record that throttling began; raises `AuditUnavailableError`."""
        address = address if address in self._counts else OTHERS
        await self._recorder.record(self._event(address, self._texts[0], 1))

    async def close_window(self) -> None:
        """Record how many calls of each address were throttled, and begin a new window.

        What cannot be recorded is counted into the next window; raises `AuditUnavailableError`.
        """
        counts, self._counts = self._counts, {}
        while counts:
            address, count = counts.popitem()
            try:
                await self._recorder.record(self._event(address, self._texts[1], count))
            except BaseException:
                counts[address] = count
                self._keep(counts)
                raise

    def _keep(self, counts: dict[str, int]) -> None:
        for address, count in counts.items():
            self._counts[address] = self._counts.get(address, 0) + count

    def _event(self, address: str, reason: str, count: int) -> bytes:
        return encode(
            Event(
                rfc3339(self._clock.now()),
                EventType.API_ACCESS.value,
                "anonymous:",
                "",
                self._action,
                self._result.value,
                address,
                "",
                "",
                reason,
                count=count,
            )
        )

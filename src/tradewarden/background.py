"""Background work of one installation: keeps the audit log and the time floor, and tidies what has expired.

The log is shipped, numbered and signed. What cannot be taken back (forgetting what ended, rotating) waits while the
time is one that nobody vouches for yet (`timefloor.ascent`). Runs in a process of its own beside the workers, and as a
task in a library's process. Several at once do no harm: the log has one leader at a time, and tidying twice finds
nothing the second time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from tradewarden.audit.entry import EventType
from tradewarden.errors import FeatureDisabledError, IntegrityError, TradewardenError
from tradewarden.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.rooms import Rooms

_log = Log("tradewarden.background")
_ROUND_SECONDS = 0.25
_TIDY_SECONDS = 60.0
_ROTATE_SECONDS = 1.0
_TIME_SECONDS = 1.0
_SWEEPS = 100


async def work(rooms: Rooms, stop: asyncio.Event, report: Callable[[int, int, float], None]) -> None:
    """Work until `stop` is set, then once more, so that what was answered is in the log.

    `report` gets unshipped bytes, entries without a number, and the age of the oldest in seconds.
    """
    clerk = rooms.clerk
    tidied = rooms.clock.monotonic()
    validating = asyncio.create_task(rooms.acme.validator.run(stop, rooms.revisions))
    rotating = asyncio.create_task(_rotate(rooms, stop))
    timing = asyncio.create_task(_keep_time(rooms, stop))
    while not stop.is_set():
        progress = await clerk.run_once()
        for fault in progress.faults:
            _log.warning("audit log falls behind", reason=fault)
        await _report(rooms, report)
        if rooms.clock.monotonic() - tidied > _TIDY_SECONDS:
            tidied = rooms.clock.monotonic()
            await tidy(rooms)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _ROUND_SECONDS)
    await validating
    await timing
    rotating.cancel()  # what it has begun is let go at its step, and goes on after the next start
    with suppress(asyncio.CancelledError):
        await rotating
    await clerk.finish()


async def _rotate(rooms: Rooms, stop: asyncio.Event) -> None:
    """Rotate the secrets that are due by themselves, where this process leads the log, until `stop`."""
    while not stop.is_set():
        try:
            if rooms.clerk.leads and rooms.floor.vouched():
                rooms.require("ENABLE_VAULT")
                await rooms.revisions()
                for failure in await rooms.rotations.tending.tend(rooms.rotating):
                    _log.warning("a secret could not be rotated", reason=failure)
                await rooms.rotations.tending.overdue()
        except FeatureDisabledError:
            pass  # the secrets are not to be had, and readiness says so
        except TradewardenError as error:
            _log.warning("rotation of secrets failed", reason=error.reason)
        except Exception as error:  # noqa: BLE001 - the next round must come
            _log.failure("rotation of secrets failed", error)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _ROTATE_SECONDS)


async def _keep_time(rooms: Rooms, stop: asyncio.Event) -> None:
    """Raise the time floor, and tell once when the machine's clock falls behind it and when that is over."""
    told = ""
    while not stop.is_set():
        now = await _raised(rooms, last=False)
        if now and not told:
            _log.warning(now)
        elif told and not now:
            _log.info("clock: this machine's clock counts again")
        told = now
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _TIME_SECONDS)
    await _raised(rooms, last=True)


async def _raised(rooms: Rooms, *, last: bool) -> str:
    """Raise the time floor; return what an operator must do about the clock."""
    try:
        await rooms.floor.keep(last=last)
    except IntegrityError as error:
        return f"clock: {error.detail}"
    except TradewardenError as error:
        _log.warning("the time floor could not be stored", reason=error.reason)
    return rooms.floor.warning()


async def _report(rooms: Rooms, report: Callable[[int, int, float], None]) -> None:
    try:
        lag = await rooms.clerk.lag()
    except TradewardenError:
        return
    report(lag.unshipped_bytes, lag.unnumbered, lag.oldest_seconds)


async def tidy(rooms: Rooms) -> None:
    """Forget tokens and join tokens that ended long ago, and renew the revocation lists in time."""
    vouched = rooms.floor.vouched()
    try:
        await rooms.revisions()
        for _ in range(_SWEEPS if vouched else 0):
            if not await rooms.tokens.sweep() + await rooms.enrolment.sweep():
                break
        await rooms.authority.cas.recover()
        await rooms.authority.revocation.renew()
    except TradewardenError as error:
        _log.warning("tidying failed", reason=error.reason)
    await _tend(rooms, may_rotate=vouched)


async def _tend(rooms: Rooms, *, may_rotate: bool) -> None:
    """Rotate an issuing CA whose time has come, and say what an operator must do about CAs."""
    try:
        if may_rotate:
            await rooms.authority.cas.tend(lambda what: rooms.entry(EventType.CERTIFICATE, "rotate", what))
    except TradewardenError as error:
        _log.warning("a CA could not be rotated", reason=error.detail)
    for warning in await rooms.authority.cas.news():
        _log.warning(warning)

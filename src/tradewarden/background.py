"""Background work of one installation: keeps the audit log and the time floor, and tidies what has expired.

The log is shipped, numbered and signed. What cannot be taken back (forgetting what ended, rotating) waits while the
time is one that nobody vouches for yet (`timefloor.ascent`). Runs in a process of its own beside the workers, and as a
task in a library's process. Several at once do no harm: the log has one leader at a time, and tidying twice finds
nothing the second time.

Always true here: what fails is told and ends nothing; the next round, and every other step, comes all the same.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from tradewarden.audit.entry import EventType
from tradewarden.errors import FeatureDisabledError, IntegrityError, TradewardenError
from tradewarden.log import Log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tradewarden.audit.clerk import Lag
    from tradewarden.rooms import Rooms

_log = Log("tradewarden.background")
_ROUND_SECONDS = 0.25
_TIDY_SECONDS = 60.0
_ROTATE_SECONDS = 1.0
_TIME_SECONDS = 1.0
_AGAIN_SECONDS = 5.0
_SWEEPS = 100


async def work(rooms: Rooms, stop: asyncio.Event, report: Callable[[Lag | None], None]) -> None:
    """Work until `stop` is set, then once more, so that what was answered is in the log.

    `report` is told each round how far the log is behind; None while that cannot be found out.
    """
    tidied = rooms.clock.monotonic()
    rotating = asyncio.create_task(_rotate(rooms, stop))
    others = [
        asyncio.create_task(
            _lasting("work on ACME orders", lambda: rooms.acme.validator.run(stop, rooms.revisions), stop)
        ),
        asyncio.create_task(_lasting("keeping the time floor", lambda: _keep_time(rooms, stop), stop)),
    ]
    failing: set[str] = set()
    try:
        while not stop.is_set():
            await _step("shipping the audit log", _ship(rooms), failing)
            await _step("reporting the audit log's lag", _report(rooms, report), failing)
            if rooms.clock.monotonic() - tidied > _TIDY_SECONDS:
                tidied = rooms.clock.monotonic()
                await tidy(rooms)
            await _pause(stop, _ROUND_SECONDS)
    finally:
        rotating.cancel()  # what it has begun is let go at its step, and goes on after the next start
        if not stop.is_set():
            for task in others:
                task.cancel()
        await asyncio.gather(rotating, *others, return_exceptions=True)
        await _step("the audit log's last round", rooms.clerk.finish())


def begin(rooms: Rooms, stop: asyncio.Event, ended: list[str]) -> asyncio.Task[None]:
    """Start the work as a task of this loop; should it end before `stop` all the same, its name goes to `ended`."""

    def note(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if not stop.is_set():
            ended.append("background work")
            _log.failure("background work has ended", error or asyncio.CancelledError())

    task = asyncio.create_task(work(rooms, stop, lambda _: None))
    task.add_done_callback(note)
    return task


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _step(what: str, doing: Awaitable[None], failing: set[str] | None = None) -> bool:
    """Do one thing, whose failure is told and ends nothing; return whether it went well.

    A failure that nobody foresaw is told once as long as its name stays in `failing`.
    """
    try:
        await doing
    except TradewardenError as error:
        _log.warning(f"{what} failed", reason=error.reason)
    except Exception as error:  # noqa: BLE001 - the next step must come
        if failing is None or what not in failing:
            _log.failure(f"{what} failed", error)
        if failing is not None:
            failing.add(what)
    else:
        if failing is not None:
            failing.discard(what)
        return True
    return False


async def _lasting(what: str, run: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Run what ends at `stop` with a last step, and begin it again should it fail before."""
    while True:
        await _step(what, run())
        if stop.is_set():
            return
        await _pause(stop, _AGAIN_SECONDS)


async def _ship(rooms: Rooms) -> None:
    progress = await rooms.clerk.run_once()
    for fault in progress.faults:
        _log.warning("audit log falls behind", reason=fault)


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
        await _pause(stop, _ROTATE_SECONDS)


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
        await _pause(stop, _TIME_SECONDS)
    await _raised(rooms, last=True)


async def _raised(rooms: Rooms, *, last: bool) -> str:
    """Raise the time floor; return what an operator must do about the clock."""
    try:
        await rooms.floor.keep(last=last)
    except IntegrityError as error:
        return f"clock: {error.detail}"
    except TradewardenError as error:
        _log.warning("the time floor could not be stored", reason=error.reason)
    except Exception as error:  # noqa: BLE001 - the next round must come
        _log.failure("the time floor could not be stored", error)
    return rooms.floor.warning()


async def _report(rooms: Rooms, report: Callable[[Lag | None], None]) -> None:
    lag = None
    with suppress(TradewardenError):
        lag = await rooms.clerk.lag()
    report(lag)


async def tidy(rooms: Rooms) -> None:
    """Forget tokens and join tokens that ended long ago, and renew the revocation lists in time."""
    vouched = rooms.floor.vouched()
    if await _step("following other processes", _follow(rooms)):
        if vouched:
            await _step("forgetting what ended", _sweep(rooms))
        await _step("recovery of CAs", rooms.authority.cas.recover())
        await _step("renewal of the revocation lists", rooms.authority.revocation.renew())
    if vouched:
        await _step("rotation of CAs", _tend(rooms))
    await _step("the look at CAs", _tell_news(rooms))


async def _follow(rooms: Rooms) -> None:
    await rooms.revisions()


async def _sweep(rooms: Rooms) -> None:
    for _ in range(_SWEEPS):
        if not await rooms.tokens.sweep() + await rooms.enrolment.sweep():
            break


async def _tend(rooms: Rooms) -> None:
    """Rotate an issuing CA whose time has come."""
    try:
        await rooms.authority.cas.tend(lambda what: rooms.entry(EventType.CERTIFICATE, "rotate", what))
    except TradewardenError as error:
        _log.warning("a CA could not be rotated", reason=error.detail)


async def _tell_news(rooms: Rooms) -> None:
    """Say what an operator must do about CAs."""
    for warning in await rooms.authority.cas.news():
        _log.warning(warning)

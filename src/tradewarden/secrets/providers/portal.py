"""One event loop in one thread, through which synchronous callers of any thread reach what is asynchronous.

Always true here: what is entered, is used and is left in that one loop, whoever asks; a caller waits for a bounded
time. `asyncio.run` for each call would make a loop each time, and nothing that belongs to a loop would survive it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from tradewarden.errors import ProviderUnavailableError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")
SECONDS: Final = 30.0


class Inside(Generic[T]):
    """Something that is open in a portal."""

    def __init__(self, value: T, portal: Portal, stop: asyncio.Event, task: asyncio.Task[None]) -> None:
        self.value = value
        self._portal = portal
        self._stop = stop
        self._task = task

    def leave(self) -> None:
        """Close it; a second time does nothing."""
        if not self._task.done():
            self._portal.run(self._left())

    async def _left(self) -> None:
        self._stop.set()
        await self._task


class Portal:
    """The loop and its thread, which starts with the first call. A call that takes longer than `seconds` is given up.

    A call from the portal's own thread would wait for itself (`RuntimeError`), one in a child of a fork for a thread
    that is not there (`ProviderUnavailableError`).
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._open: list[Inside[Any]] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` in the loop and return what it returns; raises what it raises."""
        try:
            loop = self._running()
        except BaseException:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result(self._seconds)
        except BaseException as error:
            if future.done():
                raise
            future.cancel()
            if isinstance(error, TimeoutError):
                text = f"Tradewarden did not answer within {self._seconds:g} seconds; read before you repeat a change"
                raise ProviderUnavailableError(text) from None
            raise

    def enter(self, opening: AbstractAsyncContextManager[T]) -> Inside[T]:
        """Open something in the loop, for as long as the portal is open or until it is left."""
        made = self.run(self._entered(opening))
        self._open.append(made)
        return made

    def close(self) -> None:
        """Leave what is open, the last first, and end the thread; a second time does nothing."""
        with self._lock:
            thread, loop = self._thread, self._loop
        if thread is None or loop is None or self._pid != os.getpid():
            return
        while self._open:
            self._open.pop().leave()
        with self._lock:
            self._thread = self._loop = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join(self._seconds)

    async def _entered(self, opening: AbstractAsyncContextManager[T]) -> Inside[T]:
        # One task enters and leaves: what is opened may bind itself to it.
        stop, entered = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def hold() -> None:
            try:
                async with opening as value:
                    entered.set_result(value)
                    await stop.wait()
            except BaseException as error:
                if entered.done():
                    raise
                entered.set_exception(error)

        task = asyncio.create_task(hold())
        return Inside(await entered, self, stop, task)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._pid != os.getpid():
            raise ProviderUnavailableError("Tradewarden was opened before a fork; open it again in the child")
        if threading.current_thread() is self._thread:
            raise RuntimeError("a portal cannot be waited for from inside it; await there instead")
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="tradewarden-portal", daemon=True
                )
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

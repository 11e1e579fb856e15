"""Runs calls that block beside the event loop: so many at a time, and so many that wait, no more."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from tradewarden.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_WAITING: Final = 16
"""Calls that may wait for each thread; at a millisecond a call they wait for 16 ms."""


class Threads:
    """A few threads. Belongs to one event loop."""

    def __init__(self, number: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(number, name)
        self._room = number * (1 + _WAITING)

    async def run(self, call: Callable[[], T]) -> T:
        """Return what `call()` returns, or raise what it raises; `OverloadedError` when too many wait already.

        A call that is cancelled while it runs runs on.
        """
        if self._room <= 0:
            raise OverloadedError
        loop = asyncio.get_running_loop()
        self._room -= 1
        work = self._pool.submit(call)
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave))
        return await asyncio.wrap_future(work)

    def _leave(self) -> None:
        self._room += 1

    def close(self) -> None:
        """Take no more calls; what runs runs on and ends by its own time-outs."""
        self._pool.shutdown(wait=False, cancel_futures=True)

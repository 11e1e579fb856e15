"""What one worker has room for: so many requests in work, and for strangers so many unfinished bodies an address.

Always true here: a request that waits for its body takes no room, so nobody can take it all by promising bodies that
never come; and what strangers may promise is bounded where they are, by address.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from tradewarden.errors import OverloadedError, RateLimitedError

if TYPE_CHECKING:
    from starlette.types import Message, Receive

MAX_UNFINISHED: Final = 64
"""Bodies that one address may leave unfinished with nobody proven, before the oldest is given up: many hosts can enrol
at once behind one address, and it takes that many addresses to hold a listener's 4096 connections."""


class Room:
    """Counts: `enter` and `leave` stand around a request, `begin_wait` and `end_wait` around its body."""

    __slots__ = ("_left", "_unfinished")

    def __init__(self, requests: int) -> None:
        self._left = requests
        self._unfinished: dict[str, dict[asyncio.Future[None], None]] = {}

    def enter(self) -> None:
        """Take the room of one request; whether it was there, `require` tells."""
        self._left -= 1

    def leave(self) -> None:
        """Give the room of one request back."""
        self._left += 1

    def require(self) -> None:
        """Raise `OverloadedError` when more requests are in work than there is room for."""
        if self._left < 0:
            raise OverloadedError

    def begin_wait(self) -> None:
        """Give the room back while a body comes."""
        self._left += 1

    def end_wait(self) -> None:
        """Take the room again; the body is here, or will not come."""
        self._left -= 1

    def hold(self, address: str) -> asyncio.Future[None]:
        """Note that a stranger's body is waited for; what is returned is done when it is to be given up.

        That is the oldest of its address (`peer_key`), once there are too many: a body that is on its way comes soon.
        """
        unfinished = self._unfinished.setdefault(address, {})
        if len(unfinished) >= MAX_UNFINISHED:
            oldest = next(iter(unfinished))
            del unfinished[oldest]
            oldest.set_result(None)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        unfinished[mine] = None
        return mine

    def let_go(self, address: str, mine: asyncio.Future[None]) -> None:
        """End what `hold` began."""
        unfinished = self._unfinished.get(address, {})
        unfinished.pop(mine, None)
        if not unfinished:
            self._unfinished.pop(address, None)


class StrangersBody:
    """The body of a call with nobody proven, as it comes: `receive` is used in place of the connection's own."""

    __slots__ = ("_address", "_mine", "_receive", "_room")

    def __init__(self, room: Room, address: str, receive: Receive) -> None:
        self._room = room
        self._address = address
        self._receive = receive
        self._mine: asyncio.Future[None] | None = None

    @property
    def waited(self) -> bool:
        """Whether any of it was not here yet when it was asked for."""
        return self._mine is not None

    async def receive(self) -> Message:
        """Return the next message; raises `RateLimitedError` when it is given up for newer ones of its address."""
        coming = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait({coming}, timeout=0)  # what is here already waits for nothing, and counts for nothing
            if not coming.done():
                self._mine = self._mine or self._room.hold(self._address)
                either: tuple[asyncio.Future[Any], ...] = (coming, self._mine)
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                return coming.result()
        finally:
            coming.cancel()
        raise RateLimitedError("Too many unfinished requests; finish or end them first", retry_after=1.0)

    def end(self) -> None:
        """Count it no more."""
        if self._mine is not None:
            self._room.let_go(self._address, self._mine)

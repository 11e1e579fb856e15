"""What one worker has room for: so many requests in work, and for strangers so many unfinished bodies an address.

Always true here: a request that waits for its body takes no room, so nobody can take it all by promising bodies that
never come; and what strangers may promise is bounded where they are, by address.
"""

from __future__ import annotations

from typing import Final

from tradewarden.errors import OverloadedError, RateLimitedError

MAX_UNFINISHED: Final = 64
"""Bodies that one address may leave unfinished with nobody proven: many hosts can enrol at once behind one address,
and it takes that many addresses to hold a listener's 4096 connections."""


class Room:
    """Counts: `enter` and `leave` stand around a request, `begin_wait` and `end_wait` around its body."""

    __slots__ = ("_left", "_unfinished")

    def __init__(self, requests: int) -> None:
        self._left = requests
        self._unfinished: dict[str, int] = {}

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

    def begin_wait(self, stranger: str | None) -> None:
        """Give the room back while a body comes; `stranger` is the address's key (`peer_key`) when nobody is proven.

        Raises `RateLimitedError` when that address has too many unfinished ones; nothing is to be ended then.
        """
        if stranger is not None:
            unfinished = self._unfinished.get(stranger, 0)
            if unfinished >= MAX_UNFINISHED:
                raise RateLimitedError("Too many unfinished requests; finish or end them first", retry_after=1.0)
            self._unfinished[stranger] = unfinished + 1
        self._left += 1

    def end_wait(self, stranger: str | None) -> None:
        """Take the room again; the body is here, or will not come."""
        self._left -= 1
        if stranger is not None:
            unfinished = self._unfinished.pop(stranger) - 1
            if unfinished:
                self._unfinished[stranger] = unfinished

"""The budgets of this process: how many messages it may still encrypt, and more of them before they run out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tradewarden.errors import InvalidInputError
from tradewarden.keys.changes import LEASE

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from tradewarden.crypto.keyset import Cipher
    from tradewarden.keys.purpose import Purpose

_LOW: Final = LEASE // 4


class Budgets:
    """Leases for the ciphers of one process: `take` gets them, under `lock`; `keep` runs what nobody awaits."""

    def __init__(
        self,
        ciphers: Mapping[Purpose, Cipher],
        lock: asyncio.Lock,
        take: Callable[[Mapping[Purpose, int]], Awaitable[None]],
        keep: Callable[[Coroutine[None, None, None]], object],
    ) -> None:
        self._ciphers = ciphers
        self._lock = lock
        self._take = take
        self._keep = keep
        self._ahead: set[Purpose] = set()

    async def reserve(self, purpose: Purpose, messages: int) -> None:
        """Make sure that `messages` encryptions are in the budget; tops up in the background below a quarter."""
        if self._ciphers[purpose].budget - messages >= _LOW:
            return
        if messages > LEASE - _LOW:
            raise InvalidInputError(f"At most {LEASE - _LOW} messages can be encrypted in one change")
        if self._ciphers[purpose].budget < messages:
            await self._wait(purpose, messages)
        elif purpose not in self._ahead:
            self._ahead.add(purpose)
            self._keep(self._lease_ahead(purpose))

    async def _wait(self, purpose: Purpose, messages: int) -> None:
        async with self._lock:
            if self._ciphers[purpose].budget < messages:
                await self._take({purpose: LEASE})

    async def _lease_ahead(self, purpose: Purpose) -> None:
        try:
            async with self._lock:
                await self._take({purpose: LEASE})
        finally:
            self._ahead.discard(purpose)

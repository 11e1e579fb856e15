"""How often: token buckets by key, and the key that stands for a network peer.

Always true here: the number of remembered keys is bounded, and a forgotten key starts full again. Pure but for its own
state; time comes in through the constructor.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, ip_network
from typing import TYPE_CHECKING

from tradewarden.errors import RateLimitedError
from tradewarden.ip import parse

if TYPE_CHECKING:
    from tradewarden.clock import Clock

MAX_KEYS = 16_384


class Throttle:
    """Token buckets that hold `count` calls and fill up again within `seconds`."""

    __slots__ = ("_buckets", "_clock", "_count", "_rate")

    def __init__(self, count: float, seconds: float, clock: Clock) -> None:
        self._count = count
        self._rate = count / seconds
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, key: str) -> float:
        """Return 0.0 when a call of `key` would pass now, else the seconds until one does. Spends nothing."""
        left = self._left(key)
        return 0.0 if left >= 1 else (1 - left) / self._rate

    def spend(self, key: str) -> float:
        """Take one call from the bucket of `key`: 0.0 when it was there, else the seconds until the next."""
        left = self._left(key)
        if left < 1:
            return (1 - left) / self._rate
        buckets = self._buckets
        if key not in buckets and len(buckets) >= MAX_KEYS:
            del buckets[next(iter(buckets))]
        buckets[key] = (left - 1, self._clock.monotonic())
        return 0.0

    def require(self, key: str) -> None:
        """Take one call or raise `RateLimitedError` with the seconds to wait."""
        seconds = self.spend(key)
        if seconds:
            raise RateLimitedError(f"Too many requests; try again in {seconds:.1f} s", retry_after=seconds)

    def _left(self, key: str) -> float:
        held = self._buckets.get(key)
        if held is None:
            return self._count
        left, at = held
        return min(self._count, left + (self._clock.monotonic() - at) * self._rate)


@lru_cache(maxsize=4096)
def peer_key(address: str) -> str:
    """Return what stands for a peer when it is counted: an IPv4 address, or an IPv6 network of 64 bits."""
    parsed = parse(address)
    if parsed is None:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    return str(ip_network((parsed, 64), strict=False))

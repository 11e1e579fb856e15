"""Serial numbers (RFC 5280 section 4.1.2.2): twenty octets, positive, the time in front and 112 random bits behind it.

The time keeps certificates that are issued together side by side in the inventory's indexes, which makes issuing
cheaper; it tells no more than the certificate's own dates. The random bits are those that nobody can foresee.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tradewarden.clock import Randomness

_RANDOM_BYTES: Final = 14
_MILLISECONDS: Final = 1000


def serial_number(now: float, randomness: Randomness) -> int:
    """Return a new serial number; `now` is seconds since the epoch, of which 48 bits of milliseconds are kept."""
    time = int(now * _MILLISECONDS).to_bytes(6, "big")
    return int.from_bytes(time + randomness(_RANDOM_BYTES), "big")

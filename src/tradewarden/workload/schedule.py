"""When to renew and when to try again: arithmetic only, seconds in and seconds out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tradewarden.clock import Randomness

RENEW_AT: Final = 2 / 3
"""The part of its life after which a certificate is renewed."""
SPREAD: Final = 0.05
"""Up to this part of the life earlier or later, so that services that began together do not come together."""
_FIRST_SECONDS: Final = 2.0
_LEAST_CEILING: Final = 5.0
_MOST_CEILING: Final = 3600.0
_EXPIRED_CEILING: Final = 60.0
_TRIES_LEFT: Final = 8
_DOUBLINGS: Final = 32


def fraction(randomness: Randomness) -> float:
    """Return a number from 0 up to and without 1, evenly spread."""
    return (int.from_bytes(randomness(7), "big") >> 3) / (1 << 53)


def renewal_time(starts: float, ends: float, chance: float) -> float:
    """Return when to renew a certificate of this life; `chance` from 0 to 1 spreads it around two thirds."""
    return starts + (ends - starts) * (RENEW_AT + SPREAD * (2 * chance - 1))


def backoff(failures: int, left: float, chance: float) -> float:
    """Return how long to wait after so many failures in a row, with `left` seconds of life to go.

    Doubles from two seconds on, up to an hour and never more than an eighth of what is left (at least five seconds);
    up to a minute once nothing is left. `chance` from 0 to 1 picks the upper or lower half of that.
    """
    ceiling = min(_MOST_CEILING, max(_LEAST_CEILING, left / _TRIES_LEFT)) if left > 0 else _EXPIRED_CEILING
    longest = min(ceiling, _FIRST_SECONDS * (1 << min(failures - 1, _DOUBLINGS)))
    return longest * (1 + chance) / 2


def fruitless(left: float, chance: float) -> float:
    """Return how long to wait after a renewal that did not lengthen the life, with `left` seconds of it to go.

    Half of that, at least five seconds: a handful of certificates until the CA behind them ends or is replaced.
    """
    return spread(max(_LEAST_CEILING, left / 2), chance)


def spread(seconds: float, chance: float) -> float:
    """Return a period made up to a tenth shorter or longer."""
    return seconds * (0.9 + 0.2 * chance)

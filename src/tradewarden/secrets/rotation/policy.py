"""When a secret is due to be rotated, and when that may happen by itself. Pure.

A policy counts the age of what is in use: from when its current version was written or from the last rotation,
whichever is later; so a value that somebody wrote by hand counts as new. With an age, a secret is due when it is as
old; with weekly hours alone, when they next begin; with both, when it is as old, and it is then rotated within those
hours; with neither, never by itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from tradewarden.errors import InvalidInputError
from tradewarden.secrets.rotation.window import Window, parse_window

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST_SECONDS: Final = 60
MOST_SECONDS: Final = 10 * 365 * 86_400
MAX_PARAMETERS: Final = 32
MAX_TEXT: Final = 1024
FIRST_DELAY: Final = 60.0
LONGEST_DELAY: Final = 6 * 3600.0
OVERDUE_SECONDS: Final = 3600.0
"""A rotation that could have run by itself this long ago and has not is something that an operator should see to."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SECONDS = {"anyOf": [{"const": 0}, {"minimum": LEAST_SECONDS, "maximum": MOST_SECONDS}]}
Seconds = Annotated[int, msgspec.Meta(extra_json_schema=_SECONDS)]
"""What `timing_of` takes, for the document of the interface."""
_PARAMETERS = {
    "maxProperties": MAX_PARAMETERS,
    "propertyNames": {"pattern": f"^{_NAME.pattern}$"},
    "additionalProperties": {"type": "string", "maxLength": MAX_TEXT},
}
Parameters = Annotated[dict[str, str], msgspec.Meta(extra_json_schema=_PARAMETERS)]
"""What `check_parameters` takes, for the document of the interface."""


class Timing(msgspec.Struct, frozen=True):
    """What of a policy says when; `since` is when the policy was written. Seconds since the epoch, UTC."""

    every_seconds: int
    window: Window | None
    since: float


class Due(msgspec.Struct, frozen=True):
    """From when on a secret is due (`at`), and the first moment from then on at which it may run by itself.

    At `renews_at` (0: never) it may in any case: its value ends by itself soon after.
    """

    at: float
    opens: float
    renews_at: float = 0.0


def due(timing: Timing, created_at: float | None, last_at: float, renews_at: float = 0.0) -> Due | None:
    """Return when the secret is due; None: never by itself.

    `created_at` is that of its current version (None: it has none yet, and is due at once), `last_at` when it was last
    rotated (0: never). One whose value ends by itself is due at `renews_at` (0: never), whatever the hours.
    """
    found = _due(timing, created_at, last_at)
    if found is None or not renews_at:
        return found
    return Due(min(found.at, renews_at), min(found.opens, renews_at), renews_at)


def _due(timing: Timing, created_at: float | None, last_at: float) -> Due | None:
    window, every = timing.window, timing.every_seconds
    if not every and window is None:
        return None
    base = max(created_at or 0.0, last_at)
    if not base:
        at = timing.since
    elif every:
        at = base + every
    else:
        assert window is not None  # noqa: S101  (for the type checker)
        at = window.next_start(base)
    return Due(at, at if window is None else window.opens(at))


def opens(timing: Timing, found: Due, now: float) -> float:
    """Return the first moment from now on at which a rotation that is, or will be, due may run by itself."""
    moment = max(found.at, now)
    moment = moment if timing.window is None else timing.window.opens(moment)
    return min(moment, max(found.renews_at, now)) if found.renews_at else moment


def longest(timing: Timing) -> float:
    """Return how many seconds lie between two rotations at the most; 0 where they are made on request."""
    if timing.window is None:
        return float(timing.every_seconds)
    between, closed = timing.window.longest_between(), timing.window.longest_closed()
    return timing.every_seconds + closed if timing.every_seconds else between


def delay(failures: int) -> float:
    """Return how many seconds to wait after so many failures in a row: a minute, doubled up to six hours."""
    return min(FIRST_DELAY * 2.0 ** min(failures - 1, 20), LONGEST_DELAY)


def timing_of(every_seconds: int, schedule: str, since: float) -> Timing:
    """Return the timing of a policy's columns; raises `InvalidInputError` naming the one that is not understood."""
    if every_seconds and not LEAST_SECONDS <= every_seconds <= MOST_SECONDS:
        raise InvalidInputError(f"every_seconds must be from {LEAST_SECONDS} to {MOST_SECONDS}, or 0 for no age")
    return Timing(every_seconds, parse_window(schedule), since)


def check_parameters(parameters: Mapping[str, str]) -> None:
    """Raise `InvalidInputError` for more or longer parameters than a policy takes."""
    if len(parameters) > MAX_PARAMETERS:
        raise InvalidInputError(f"A policy takes {MAX_PARAMETERS} parameters at most")
    for name, text in parameters.items():
        if not _NAME.fullmatch(name) or len(text) > MAX_TEXT:
            raise InvalidInputError(
                f"Parameters have names of a-z, 0-9 and '_' up to 64 characters, and texts up to {MAX_TEXT}"
            )

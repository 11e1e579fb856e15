"""The weekly hours in which rotations may run by themselves: `sun 02:00-04:00`, in UTC. Pure.

Always true here: times are seconds since the epoch, UTC; a window begins on each of its days and lasts from its first
minute up to, and without, its last; one that ends at or before its beginning ends on the following day.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Final

import msgspec

from tradewarden.errors import InvalidInputError

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY: Final = 86_400
WEEK: Final = 7 * DAY
_FIRST_MONDAY: Final = 4 * DAY  # 1970-01-05; the epoch began on a Thursday
_FORM = re.compile(r"(daily|[a-z]{3}(?:[-,][a-z]{3})*) ([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
Schedule = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^(?:{_FORM.pattern})?$"})]
"""The form of what `parse_window` takes, for the document of the interface; days have their English names."""
_MISTAKE = (
    "schedule is not understood; write days and hours in UTC, such as 'sun 02:00-04:00', 'mon-fri 22:00-23:30', "
    "'sat,sun 01:00-05:00' or 'daily 03:00-04:00'"
)


class Window(msgspec.Struct, frozen=True):
    """The hours of a week: days (0: Monday), and from when to when in seconds of a day (`end` may be past its day)."""

    days: tuple[int, ...]
    begin: int
    end: int

    def opens(self, moment: float) -> float:
        """Return the first moment from `moment` on that is in the window: `moment` itself when it is."""
        starts = self._starts(moment)
        inside = any(start <= moment < start + self.end - self.begin for start in starts)
        return moment if inside else min(start for start in starts if start >= moment)

    def next_start(self, moment: float) -> float:
        """Return when the window next begins after `moment`."""
        return min(start for start in self._starts(moment) if start > moment)

    def longest_closed(self) -> float:
        """Return the longest time for which it is not open; 0 for one that always is."""
        return max(0.0, self.longest_between() - (self.end - self.begin))

    def longest_between(self) -> float:
        """Return the longest time between two of its beginnings."""
        starts = [*self.days, self.days[0] + 7]
        return max((later - earlier) * float(DAY) for earlier, later in pairwise(starts))

    def _starts(self, moment: float) -> list[float]:
        week = (moment - _FIRST_MONDAY) // WEEK * WEEK + _FIRST_MONDAY
        return [week + offset + day * DAY + self.begin for offset in (-WEEK, 0, WEEK) for day in self.days]


def parse_window(text: str) -> Window | None:
    """Return the window that a text describes, None for an empty one; raises `InvalidInputError` showing the form."""
    if not text:
        return None
    found = _FORM.fullmatch(text)
    if found is None:
        raise InvalidInputError(_MISTAKE)
    days, *clock = found.groups()
    first_hour, first_minute, last_hour, last_minute = map(int, clock)
    begin, end = first_hour * 3600 + first_minute * 60, last_hour * 3600 + last_minute * 60
    if end > DAY:
        raise InvalidInputError(_MISTAKE)
    if begin == end:
        raise InvalidInputError("schedule ends when it begins; write whole days as 00:00-24:00")
    return Window(_days(days), begin, end if end > begin else end + DAY)


def _days(text: str) -> tuple[int, ...]:
    if text == "daily":
        return tuple(range(7))
    chosen = {day for part in text.split(",") for day in _range(part)}
    return tuple(sorted(chosen))


def _range(part: str) -> list[int]:
    names = part.split("-")
    if len(names) > 2 or any(name not in DAYS for name in names):  # noqa: PLR2004  (a range has two ends)
        raise InvalidInputError(_MISTAKE)
    first, last = DAYS.index(names[0]), DAYS.index(names[-1])
    return [each % 7 for each in range(first, (last if last >= first else last + 7) + 1)]

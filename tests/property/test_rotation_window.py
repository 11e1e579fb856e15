"""Weekly hours against a plain walk through the minutes of two weeks."""

from __future__ import annotations

import time

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tradewarden.secrets.rotation.window import DAYS, parse_window

MINUTE = 60
CLOCK = st.tuples(st.integers(0, 23), st.sampled_from((0, 15, 30, 59)))
MOMENT = st.integers(20_000_000, 35_000_000).map(lambda minute: float(minute * MINUTE))


def inside(days: set[int], begin: int, end: int, moment: float) -> bool:
    """Tell whether a minute is in the window, by the calendar of the standard library."""
    now = time.gmtime(moment)
    minute, yesterday = now.tm_hour * 60 + now.tm_min, (now.tm_wday - 1) % 7
    if begin < end:
        return now.tm_wday in days and begin <= minute < end
    return (now.tm_wday in days and minute >= begin) or (yesterday in days and minute < end)


@settings(max_examples=60, deadline=None)
@given(days=st.sets(st.integers(0, 6), min_size=1), begin=CLOCK, end=CLOCK, moment=MOMENT)
def test_a_window_opens_at_its_first_minute(
    days: set[int], begin: tuple[int, int], end: tuple[int, int], moment: float
) -> None:
    """`opens` is the first minute from a moment on that the calendar says is in the window."""
    assume(begin != end)
    names = ",".join(DAYS[day] for day in sorted(days))
    window = parse_window(f"{names} {begin[0]:02}:{begin[1]:02}-{end[0]:02}:{end[1]:02}")
    assert window is not None
    first, last = begin[0] * 60 + begin[1], end[0] * 60 + end[1]
    minutes = (moment + step * MINUTE for step in range(8 * 24 * 60))
    expected = next(minute for minute in minutes if inside(days, first, last, minute))
    assert window.opens(moment) == expected
    assert window.opens(window.opens(moment)) == expected
    assert window.next_start(moment) > moment
    assert window.opens(window.next_start(moment)) == window.next_start(moment)

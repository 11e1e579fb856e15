"""When a secret is due: age, weekly hours, back-off."""

from __future__ import annotations

import calendar

import pytest

from tradewarden.errors import InvalidInputError
from tradewarden.secrets.rotation.policy import Due, Timing, check_parameters, delay, due, longest, opens, timing_of
from tradewarden.secrets.rotation.window import Window, parse_window

HOUR, DAY = 3600.0, 86_400.0


def at(text: str) -> float:
    """Return the seconds of `2026-01-15 10:30` (a Thursday) in UTC."""
    date, clock = text.split()
    year, month, day = map(int, date.split("-"))
    hour, minute = map(int, clock.split(":"))
    return float(calendar.timegm((year, month, day, hour, minute, 0)))


def window(text: str) -> Window:
    """Return a window that is there."""
    found = parse_window(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "moment", "opens_at"),
    [
        ("sun 02:00-04:00", "2026-01-15 10:30", "2026-01-18 02:00"),
        ("sun 02:00-04:00", "2026-01-18 02:00", "2026-01-18 02:00"),
        ("sun 02:00-04:00", "2026-01-18 03:59", "2026-01-18 03:59"),
        ("sun 02:00-04:00", "2026-01-18 04:00", "2026-01-25 02:00"),
        ("daily 22:00-06:00", "2026-01-15 05:00", "2026-01-15 05:00"),
        ("sun 23:00-01:00", "2026-01-19 00:30", "2026-01-19 00:30"),
        ("fri-mon 01:00-02:00", "2026-01-15 10:30", "2026-01-16 01:00"),
        ("fri-mon 01:00-02:00", "2026-01-19 02:00", "2026-01-23 01:00"),
        ("sat,sun 00:00-24:00", "2026-01-17 12:00", "2026-01-17 12:00"),
    ],
)
def test_a_window_opens_in_its_hours(text: str, moment: str, opens_at: str) -> None:
    """A window is open on its days in its hours, UTC, over midnight and over the end of a week too."""
    assert window(text).opens(at(moment)) == at(opens_at)


def test_the_next_start_is_after_the_moment() -> None:
    """A window that begins just now begins next a week later."""
    assert window("thu 10:30-11:00").next_start(at("2026-01-15 10:30")) == at("2026-01-22 10:30")


@pytest.mark.parametrize(
    "text", ["sunday 02:00-04:00", "sun 2:00-4:00", "sun 24:00-01:00", "sun 02:00-24:30", "0 2 * * 0", "sun"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    """Anything else than days and hours is refused with the form shown."""
    with pytest.raises(InvalidInputError, match="sun 02:00-04:00"):
        parse_window(text)


def test_hours_that_end_when_they_begin_are_refused() -> None:
    """Nothing and the whole day look alike so; the whole day has a form of its own."""
    with pytest.raises(InvalidInputError, match="00:00-24:00"):
        parse_window("sun 02:00-02:00")


@pytest.mark.parametrize(
    ("every", "hours", "seconds"),
    [
        (0, "", 0.0),
        (3600, "", HOUR),
        (0, "sun 02:00-04:00", 7 * DAY),
        (0, "mon,thu 02:00-04:00", 4 * DAY),
        (3600, "daily 03:00-04:00", DAY),
        (3600, "daily 00:00-24:00", HOUR),
    ],
)
def test_how_far_rotations_lie_apart(every: int, hours: str, seconds: float) -> None:
    """At the most it is the age and the longest time without open hours, or the time between two beginnings."""
    assert longest(timing_of(every, hours, 0.0)) == seconds


def test_what_ends_by_itself_is_due_before() -> None:
    """A value that ends is due in time, also outside the hours, and no later than its age asks for."""
    timing = Timing(86_400, window("sun 02:00-04:00"), 0.0)
    found = due(timing, at("2026-01-15 10:30"), 0.0, at("2026-01-15 20:00"))
    assert found is not None
    assert found.at == found.opens == at("2026-01-15 20:00")
    assert opens(timing, found, at("2026-01-15 21:00")) == at("2026-01-15 21:00")
    later = due(timing, at("2026-01-15 10:30"), 0.0, at("2026-01-19 00:00"))
    assert later is not None
    assert (later.at, later.opens) == (at("2026-01-16 10:30"), at("2026-01-18 02:00"))


def test_age_counts_from_the_later_of_writing_and_rotating() -> None:
    """A value is due when it is as old as the policy says; one that somebody wrote by hand counts as new."""
    timing = Timing(3600, None, 5.0)
    assert due(timing, 1000.0, 0.0) == Due(4600.0, 4600.0)
    assert due(timing, 1000.0, 2000.0) == Due(5600.0, 5600.0)


def test_a_secret_that_is_not_there_is_due_at_once() -> None:
    """A secret without a version is due from when its policy was written."""
    assert due(Timing(3600, None, 5.0), None, 0.0) == Due(5.0, 5.0)


def test_hours_alone_ask_for_a_rotation_each_time() -> None:
    """With weekly hours alone a secret is due when they begin after its last change."""
    timing = Timing(0, window("sun 02:00-04:00"), 0.0)
    begins = at("2026-01-18 02:00")
    assert due(timing, at("2026-01-15 10:30"), 0.0) == Due(begins, begins)
    assert due(timing, at("2026-01-15 10:30"), begins) == Due(begins + 7 * DAY, begins + 7 * DAY)


def test_age_and_hours_wait_for_the_hours() -> None:
    """With both, a secret is due by its age and rotated within the hours."""
    timing = Timing(86_400, window("sun 02:00-04:00"), 0.0)
    found = due(timing, at("2026-01-15 10:30"), 0.0)
    assert found == Due(at("2026-01-16 10:30"), at("2026-01-18 02:00"))
    assert opens(timing, found, at("2026-01-18 05:00")) == at("2026-01-25 02:00")


def test_without_age_and_hours_nothing_is_due() -> None:
    """A policy may say how and leave when to its operator."""
    assert due(Timing(0, None, 0.0), 1.0, 0.0) is None


def test_the_delay_doubles_up_to_six_hours() -> None:
    """After each failure in a row the next attempt waits twice as long."""
    assert [delay(1), delay(2), delay(3), delay(100)] == [60.0, 120.0, 240.0, 6 * HOUR]


@pytest.mark.parametrize("every", [1, 59, 10**10, -1])
def test_an_age_has_bounds(every: int) -> None:
    """An age under a minute or over ten years is refused."""
    with pytest.raises(InvalidInputError, match="every_seconds"):
        timing_of(every, "", 0.0)


@pytest.mark.parametrize("parameters", [{"A": "b"}, {"a": "x" * 1025}, {f"a{n}": "" for n in range(33)}])
def test_parameters_have_bounds(parameters: dict[str, str]) -> None:
    """Names and texts of parameters are limited in form, length and number."""
    with pytest.raises(InvalidInputError, match=r"[Pp]arameters"):
        check_parameters(parameters)

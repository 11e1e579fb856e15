"""When an identity renews and when it tries again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewarden.workload.schedule import backoff, fraction, renewal_time, spread

CHANCE = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(("chance", "due"), [(0.0, 1616.67), (0.5, 1666.67), (1.0, 1716.67)])
def test_renews_around_two_thirds(chance: float, due: float) -> None:
    """A life of a thousand seconds ends at two thirds, a twentieth of the life earlier or later."""
    assert renewal_time(1000.0, 2000.0, chance) == pytest.approx(due, abs=0.01)


@given(CHANCE, CHANCE)
def test_renewals_spread(first: float, second: float) -> None:
    """Different chances give different times, in their order."""
    earlier, later = sorted((first, second))
    assert renewal_time(0, 9e9, earlier) <= renewal_time(0, 9e9, later)
    assert renewal_time(0, 9e9, 0.1) < renewal_time(0, 9e9, 0.9)


@pytest.mark.parametrize(
    ("failures", "left", "longest"),
    [(1, 1e6, 2), (2, 1e6, 4), (5, 1e6, 32), (99, 1e6, 3600), (99, 800, 100), (99, 8, 5), (99, 0, 60), (99, -1e6, 60)],
)
def test_waits_longer_with_each_failure(failures: int, left: float, longest: float) -> None:
    """Doubles from two seconds on, to an hour, to an eighth of what is left, and to a minute once nothing is."""
    assert backoff(failures, left, 1.0) == pytest.approx(longest)
    assert backoff(failures, left, 0.0) == pytest.approx(longest / 2)


@given(st.integers(1, 10_000), st.floats(-1e9, 1e9), CHANCE)
def test_never_waits_out_what_is_left(failures: int, left: float, chance: float) -> None:
    """However often it failed, at least seven tries fit into what is left of a life of a minute and more."""
    assert 0 < backoff(failures, left, chance) <= max(60.0, left / 8)


def test_fraction_is_below_one() -> None:
    """All bits set are not one, no bits are nought."""
    assert fraction(lambda size: b"\xff" * size) < 1
    assert fraction(bytes) == 0


def test_periods_spread() -> None:
    """A period is a tenth shorter or longer."""
    assert spread(100, 0) == pytest.approx(90)
    assert spread(100, 1) == pytest.approx(110)

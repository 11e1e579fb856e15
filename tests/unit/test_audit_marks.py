"""Marks: what a tile holds is never taken for absent, and what it does not hold is seldom read."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tradewarden.audit.marks import asked, extend, missed, promising
from tradewarden.audit.query import Filter
from tradewarden.audit.store import StoredEntry
from tradewarden.audit.tiles import WIDTH


def _entry(sequence: int, resource: str = "a/b/c", user: str = "service:bot") -> StoredEntry:
    time = f"2026-01-15T10:30:00.{sequence:06d}Z"
    return StoredEntry(time, "token", user, resource, "tokens:issue", "denied", f"id-{sequence}", sequence, b"")


def _may_hold(marks: bytes, wanted: Filter) -> bool:
    return promising(0, WIDTH, {0: marks}, asked(wanted)) == [(0, WIDTH)]


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        (Filter(), True),
        (Filter(since="2027", until="2028"), True),
        (Filter(user="service:bot"), True),
        (Filter(user="service:cat"), False),
        (Filter(user="a/b/c"), False),
        (Filter(resource="a/b/c"), True),
        (Filter(resource="a/b/"), False),
        (Filter(resource="a/b"), False),
        (Filter(event_type="token"), True),
        (Filter(event_type="key"), False),
        (Filter(action="tokens:issue"), True),
        (Filter(action="tokens:revoke"), False),
        (Filter(result="denied"), True),
        (Filter(result="success"), False),
        (Filter(request_id="id-3"), True),
        (Filter(request_id="id-4"), False),
        (Filter(user="service:bot", resource="a/b/c", request_id="id-3"), True),
        (Filter(user="service:bot", resource="a/b/d"), False),
        (Filter(user="service:\ud800"), False),
    ],
)
def test_a_value_has_the_mark_of_its_column(wanted: Filter, holds: bool) -> None:
    """A tile may hold what every asked column has a mark for, and nothing else."""
    assert _may_hold(extend(3, b"", [_entry(3)])[0], wanted) is holds


@pytest.mark.parametrize(
    ("resource", "prefix", "holds"),
    [
        ("a/b/c", "*", True),
        ("a/b/c", "x*", True),  # no directory in it: nothing can be told
        ("a/b/c", "a/*", True),
        ("a/b/c", "a/b*", True),
        ("a/b/c", "a/x*", True),
        ("a/b/c", "a/b/*", True),
        ("a/b/c", "a/b/c/*", False),
        ("a/b/c", "x/*", False),
        ("a/b/c", "b/*", False),
        ("a/b/", "a/b/*", True),
        ("/a", "/*", True),
        ("//a", "//*", True),
        ("1/2/3/4/5/6", "1/2/3/4/5/*", True),
        ("1/2/3/4/5/6", "1/2/3/4/x/*", True),  # deeper than marks go
        ("1/2/3/4/5/6", "1/2/3/x/*", False),
    ],
)
def test_a_prefix_is_looked_up_by_its_directory(resource: str, prefix: str, holds: bool) -> None:
    """A tile may hold a prefix when it has the mark of the prefix's last directory, as far as marks go."""
    assert _may_hold(extend(0, None, [_entry(0, resource)])[0], Filter(resource=prefix)) is holds


def test_a_begun_tile_keeps_its_marks() -> None:
    """However a log is cut into numberings, its tiles get the same marks in the end."""
    entries = [_entry(each, f"r/{each % 7}/{each}", f"u{each % 3}") for each in range(2 * WIDTH + 40)]
    whole = extend(0, None, entries)
    assert sorted(whole) == [0, 1, 2]
    pieces: dict[int, bytes] = {}
    cuts = [0, 1, 2, 100, WIDTH - 1, WIDTH, WIDTH + 1, 2 * WIDTH, len(entries)]
    for begin, end in pairwise(cuts):
        pieces |= extend(begin, pieces.get(begin // WIDTH), entries[begin:end])
    assert pieces == whole
    for tile, marks in whole.items():
        each = [marks[i : i + 4] for i in range(0, len(marks), 4)]
        assert each == sorted(set(each))
        assert missed(marks, entries[tile * WIDTH : (tile + 1) * WIDTH]) == []


def test_a_begun_tile_whose_marks_are_gone_gets_none() -> None:
    """Marks that would not hold the entries before are not written; the next tile has its own again."""
    entries = [_entry(each) for each in range(10, WIDTH + 10)]
    assert list(extend(10, None, entries)) == [1]


def test_what_one_entry_adds_has_an_end() -> None:
    """A resource of ever so many directories has a mark for four of them."""
    one, many = (extend(0, None, [_entry(0, resource)])[0] for resource in ("a", "a/" * 512))
    assert len(many) - len(one) == 4 * 4


def test_what_a_search_would_miss_is_told() -> None:
    """Marks that do not hold an entry's are told apart, entry by entry; damaged ones too."""
    entries = [_entry(each, f"r/{each}") for each in range(5)]
    marks = extend(0, None, [entries[0], entries[2]])[0]
    assert [each.sequence for each in missed(marks, entries)] == [1, 3, 4]
    for damaged in (b"", b"\x00\x01\x02", marks[1:]):
        assert missed(damaged, entries) == entries


def test_ranges_leave_out_what_cannot_be() -> None:
    """Tiles that are near each other are one range, cut to what was asked for; one without marks is read."""
    bot, cat = (extend(0, None, [_entry(0, user=user)])[0] for user in ("service:bot", "service:cat"))
    found = dict(enumerate([bot, cat, cat, bot, cat, cat, cat, bot, bot, cat, cat, cat, cat, cat, cat, bot]))
    del found[11]
    wanted = asked(Filter(user="service:bot"))
    assert promising(10, 16 * WIDTH - 5, found, wanted) == [
        (10, 4 * WIDTH),
        (7 * WIDTH, 12 * WIDTH),
        (15 * WIDTH, 16 * WIDTH - 5),
    ]
    assert promising(2 * WIDTH, 3 * WIDTH, found, wanted) == []
    assert promising(WIDTH, WIDTH, found, wanted) == []

"""Conditional requests: who has the current content is told so."""

from __future__ import annotations

import pytest

from tradewarden.http.conditional import answer_to, cached
from tradewarden.http.render import render
from tradewarden.http.route import Content
from tradewarden.pki.certificate.issuer import utc

TIME = "Thu, 01 Jan 2026 00:00:00 GMT"
CONTENT = cached(b"list", "application/pkix-crl", "ab-1", utc(1_767_225_600), 60)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 200),
        ({b"if-none-match": b'"ab-1"'}, 304),
        ({b"if-none-match": b'"zz", W/"ab-1"'}, 304),
        ({b"if-none-match": b"*"}, 304),
        ({b"if-none-match": b'"ab-2"'}, 200),
        ({b"if-none-match": b"ab-1"}, 200),
        ({b"if-none-match": b""}, 200),
        ({b"if-modified-since": TIME.encode()}, 200),
        ({b"if-modified-since": b"Fri, 02 Jan 2026 00:00:00 GMT"}, 200),
        ({b"if-modified-since": b"yesterday"}, 200),
        ({b"if-none-match": b'"ab-1"', b"if-modified-since": b"Wed, 31 Dec 2025 23:59:59 GMT"}, 304),
        ({b"if-none-match": b'"ab-2"', b"if-modified-since": TIME.encode()}, 200),
    ],
)
def test_a_client_that_has_it_is_told_so(asked: dict[bytes, bytes], status: int) -> None:
    """Tags alone decide (RFC 9110 section 13.1.3), and what is no tag is as if it were not there."""
    answer = answer_to(CONTENT, asked)
    assert (answer.status, answer.body) == (status, b"" if status == 304 else b"list")


def test_the_answer_says_how_long_it_may_be_kept() -> None:
    """Tag, time and age stand in the head, each once, in the place of what every other answer says."""
    for asked, length in (({}, b"4"), ({b"if-none-match": b"*"}, None)):
        _, headers, _ = render(answer_to(CONTENT, asked), "id")
        found = dict(headers)
        assert len(found) == len(headers)
        assert found[b"cache-control"] == b"public, no-transform, must-revalidate, max-age=60"
        assert (found[b"etag"], found[b"last-modified"]) == (b'"ab-1"', TIME.encode())
        assert found.get(b"content-length") == length
        assert found[b"x-content-type-options"] == b"nosniff"


def test_other_contents_are_not_kept() -> None:
    """A content without a tag is given whole, and nobody stores it."""
    answer = Content(b"x", "text/plain")
    assert answer_to(answer, {b"if-none-match": b"*"}) is answer
    assert dict(render(answer, "id")[1])[b"cache-control"] == b"no-store"

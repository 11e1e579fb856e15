"""Conditional requests (RFC 9110 section 13): a client that has the current content is told so, without the content."""

from __future__ import annotations

from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tradewarden.http.route import Content

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_NOT_MODIFIED: Final = 304


def cached(body: bytes, media_type: str, etag: str, modified: datetime, seconds: int) -> Content:
    """Return a content that anyone may keep for `seconds`, and ask about by its tag or its time afterwards."""
    headers = (
        (b"cache-control", b"public, no-transform, must-revalidate, max-age=%d" % max(seconds, 0)),
        (b"etag", f'"{etag}"'.encode()),
        (b"last-modified", _date(modified)),
    )
    return Content(body, media_type, headers=headers)


@lru_cache(maxsize=256)
def _date(moment: datetime) -> bytes:
    return format_datetime(moment, usegmt=True).encode()


def answer_to(content: Content, asked: Mapping[bytes, bytes]) -> Content:
    """Return 304 without a body in place of a content that the client has already; `asked` are its headers."""
    headers = dict(content.headers)
    etag = headers.get(b"etag")
    if etag is None or not _has(asked, etag, headers[b"last-modified"]):
        return content
    return replace(content, body=b"", status=_NOT_MODIFIED)


def _has(asked: Mapping[bytes, bytes], etag: bytes, modified: bytes) -> bool:
    tags = asked.get(b"if-none-match")
    if tags is not None:  # decides alone (section 13.1.3)
        listed = [tag.strip().removeprefix(b"W/") for tag in tags.split(b",")]
        return etag in listed or listed == [b"*"]
    since = asked.get(b"if-modified-since")
    if since is None:
        return False
    try:
        return parsedate_to_datetime(modified.decode()) <= parsedate_to_datetime(since.decode("latin-1"))
    except (ValueError, TypeError):  # no date, or one without a zone: as if it were not there
        return False

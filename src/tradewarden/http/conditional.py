"""Conditional requests (RFC 9110 section 13): a client that has the current content is told so, without the content.

Always true here: only a tag tells what a client has. A date does not: it has whole seconds, and that of a list or an
answer is when it begins to count, a minute before it was made. A copy that was fetched meanwhile would pass for the
current one after a revocation. So `If-Modified-Since` is not evaluated, as section 13.1.3 leaves open.
"""

from __future__ import annotations

from email.utils import format_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tradewarden.http.route import Content

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_NOT_MODIFIED: Final = 304


def cached(body: bytes, media_type: str, etag: str, modified: datetime, seconds: int) -> Content:
    """Return a content that anyone may keep for `seconds`, and ask about by its tag afterwards."""
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
    if etag is None or not _has(asked, etag):
        return content
    return replace(content, body=b"", status=_NOT_MODIFIED)


def _has(asked: Mapping[bytes, bytes], etag: bytes) -> bool:
    listed = [tag.strip().removeprefix(b"W/") for tag in asked.get(b"if-none-match", b"").split(b",")]
    return etag in listed or listed == [b"*"]

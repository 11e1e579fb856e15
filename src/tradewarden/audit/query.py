"""What a search asks for, checked; and the opaque cursor that goes on with it."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING

import msgspec

from tradewarden.audit.entry import MAX_NAME, EventType, Result
from tradewarden.errors import InvalidInputError

if TYPE_CHECKING:
    from tradewarden.audit.store import Columns

MAX_LIMIT = 1000
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")
TIME_PATTERN = f"^{_TIME.pattern}$"
"""A time as a search takes it, for the document of the interface."""
_TIME_FORM = "2026-01-15T10:30:00.000000Z"


class Filter(msgspec.Struct, frozen=True):
    """Which entries are wanted; an empty text asks for nothing. A `resource` that ends in `*` is a prefix.

    `since` counts in, `until` does not; both RFC 3339 in UTC with a Z.
    """

    since: str = ""
    until: str = ""
    user: str = ""
    resource: str = ""
    event_type: str = ""
    action: str = ""
    result: str = ""
    request_id: str = ""
    oldest_first: bool = False

    def matches(self, entry: Columns) -> bool:
        """Tell whether an entry is wanted."""
        in_time = entry.timestamp >= self.since and (not self.until or entry.timestamp < self.until)
        prefix = self.resource[:-1] if self.resource.endswith("*") else None
        resource_fits = (
            not self.resource or entry.resource == self.resource
            if prefix is None
            else entry.resource.startswith(prefix)
        )
        return in_time and resource_fits and self._named(entry)

    def _named(self, entry: Columns) -> bool:
        pairs = (
            (self.user, entry.user),
            (self.event_type, entry.event_type),
            (self.action, entry.action),
            (self.result, entry.result),
            (self.request_id, entry.request_id),
        )
        return all(wanted in ("", found) for wanted, found in pairs)


class Query(msgspec.Struct, frozen=True):
    """One call of a search: the filter, how many at most, and where an earlier call left off."""

    filter: Filter = Filter()
    limit: int = 100
    cursor: str = ""


def checked(query: Query) -> Query:
    """Return the query in its normal form; raises `InvalidInputError` naming the parameter."""
    wanted = query.filter
    if not 1 <= query.limit <= MAX_LIMIT:
        raise InvalidInputError(f"limit must be from 1 to {MAX_LIMIT}")
    for name in ("user", "resource", "action", "request_id"):
        if len(getattr(wanted, name)) > MAX_NAME:
            raise InvalidInputError(f"{name} must be at most {MAX_NAME} characters")
    _one_of("event_type", wanted.event_type, [each.value for each in EventType])
    _one_of("result", wanted.result, [each.value for each in Result])
    since, until = _time("since", wanted.since), _time("until", wanted.until)
    return msgspec.structs.replace(query, filter=msgspec.structs.replace(wanted, since=since, until=until))


def _one_of(name: str, value: str, allowed: list[str]) -> None:
    if value and value not in allowed:
        raise InvalidInputError(f"{name} must be one of {', '.join(allowed)}")


def _time(name: str, value: str) -> str:
    if not value:
        return ""
    if not _TIME.fullmatch(value):
        raise InvalidInputError(f"{name} must be RFC 3339 in UTC, like {_TIME_FORM}")
    whole, _, fraction = value[:-1].partition(".")
    return f"{whole}.{fraction:0<6}Z"


def encode_cursor(sequence: int) -> str:
    """Return the opaque text for "go on beyond this entry"."""
    return urlsafe_b64encode(msgspec.msgpack.encode(sequence)).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """Read a cursor; raises `InvalidInputError`."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        sequence = msgspec.msgpack.decode(urlsafe_b64decode(padded), type=int)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        sequence = -1
    if not 0 <= sequence < 1 << 62 or len(cursor) > 16:  # noqa: PLR2004
        raise InvalidInputError("cursor must be one that an earlier answer gave")
    return sequence

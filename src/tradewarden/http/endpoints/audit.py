"""`/audit`: search, checkpoint, proofs. Reading the log is recorded in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from tradewarden.access.paging import PageSize
from tradewarden.audit.entry import MAX_NAME, EventType, Result
from tradewarden.audit.query import TIME_PATTERN, Filter, Query
from tradewarden.errors import InvalidInputError
from tradewarden.http.route import Nothing

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry

_TEXT = msgspec.Meta(extra_json_schema={"maxLength": MAX_NAME})
_TIME = msgspec.Meta(extra_json_schema={"anyOf": [{"const": ""}, {"pattern": TIME_PATTERN}]})
_EVENT = msgspec.Meta(extra_json_schema={"enum": ["", *map(str, EventType)]})
_RESULT = msgspec.Meta(extra_json_schema={"enum": ["", *map(str, Result)]})
_ORDER = msgspec.Meta(extra_json_schema={"enum": ["newest", "oldest"]})
_COUNT = msgspec.Meta(extra_json_schema={"minimum": 0})
_FROM_ONE = msgspec.Meta(extra_json_schema={"minimum": 1})


class SearchEvents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Search the log. `since` counts in, `until` does not; a `resource` that ends in `*` is a prefix."""

    since: Annotated[str, _TIME] = ""
    until: Annotated[str, _TIME] = ""
    user: Annotated[str, _TEXT] = ""
    resource: Annotated[str, _TEXT] = ""
    event_type: Annotated[str, _EVENT] = ""
    action: Annotated[str, _TEXT] = ""
    result: Annotated[str, _RESULT] = ""
    request_id: Annotated[str, _TEXT] = ""
    order: Annotated[str, _ORDER] = "newest"
    limit: PageSize = 100
    cursor: str = ""


class EventPage(msgspec.Struct, frozen=True):
    """Entries as they are hashed; `next` is the cursor of the following page (None: this was the last)."""

    events: tuple[msgspec.Raw, ...]
    next: str | None


class ProveInclusion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prove that the entry of this sequence number is in the tree of that size (default: the last checkpoint's)."""

    sequence: Annotated[int, _COUNT]
    tree_size: Annotated[int, _FROM_ONE] | None = None


class ProveConsistency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prove that the tree of the second size continues that of the first (default: the last checkpoint's)."""

    first: Annotated[int, _FROM_ONE]
    second: Annotated[int, _FROM_ONE] | None = None


class CheckpointShown(msgspec.Struct, frozen=True):
    """A signed checkpoint: the note as it is signed (C2SP tlog-checkpoint), and the key that verifies it."""

    checkpoint: str
    public_key: str


class InclusionShown(msgspec.Struct, frozen=True):
    """RFC 6962 section 2.1.1; hashes in hex."""

    sequence: int
    tree_size: int
    leaf_hash: str
    proof: tuple[str, ...]


class ConsistencyShown(msgspec.Struct, frozen=True):
    """RFC 6962 section 2.1.2; hashes in hex."""

    first: int
    second: int
    proof: tuple[str, ...]


async def events(warden: Warden, grant: Grant, command: SearchEvents, entry: Entry) -> EventPage:
    """Search the audit log."""
    del entry
    filter_fields = {name: getattr(command, name) for name in Filter.__struct_fields__ if name != "oldest_first"}
    if command.order not in ("newest", "oldest"):
        raise InvalidInputError("order must be newest or oldest")
    wanted = Filter(oldest_first=command.order == "oldest", **filter_fields)
    page = await warden.audit_log.search(grant, Query(wanted, command.limit, command.cursor))
    return EventPage(tuple(map(msgspec.Raw, page.entries)), page.cursor or None)


async def checkpoint(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> CheckpointShown:
    """Give the newest signed checkpoint; keep it elsewhere to see later that nothing was cut off."""
    del command, entry
    note = await warden.audit_log.checkpoint(grant)
    return CheckpointShown(note.decode(), warden.audit_log.public_key_pem.decode())


async def inclusion(warden: Warden, grant: Grant, command: ProveInclusion, entry: Entry) -> InclusionShown:
    """Prove that an entry is in the log."""
    del entry
    found = await warden.audit_log.inclusion(grant, command.sequence, command.tree_size)
    return InclusionShown(found.sequence, found.tree_size, found.leaf.hex(), tuple(each.hex() for each in found.proof))


async def consistency(warden: Warden, grant: Grant, command: ProveConsistency, entry: Entry) -> ConsistencyShown:
    """Prove that a later log only adds to an earlier one."""
    del entry
    found = await warden.audit_log.consistency(grant, command.first, command.second)
    return ConsistencyShown(found.first, found.second, tuple(each.hex() for each in found.proof))

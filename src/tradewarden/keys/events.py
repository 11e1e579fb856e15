"""Audit entries of key changes that nobody asked for: the first start, a rotation because a budget was used up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tradewarden.audit.entry import Event, EventType, Result, encode
from tradewarden.audit.seal import InboxSeal
from tradewarden.clock import rfc3339
from tradewarden.keys.purpose import Purpose

if TYPE_CHECKING:
    from tradewarden.keys.ring import Ring

SYSTEM: Final = "system"
_INBOX: Final = "label/derive/inbox"


def inbox_seal(ring: Ring) -> InboxSeal:
    """Return what seals entries between their commit and their numbering; the same as `derive(AUDIT, "inbox")`."""
    return InboxSeal(ring.derive(Purpose.AUDIT, _INBOX, 1))


def key_event(ring: Ring, now: float, action: str, resource: str, rows: tuple[str, ...]) -> bytes:
    """Return the sealed entry of such a change; `ring` holds the keys as they stand with it."""
    stamp, kind, result = rfc3339(now), EventType.KEY.value, Result.SUCCESS.value
    event = Event(stamp, kind, SYSTEM, resource, action, result, "", "", "", rows=rows)
    return inbox_seal(ring).change(encode(event))

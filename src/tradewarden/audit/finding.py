"""What the audit room tells of itself, as entries of its own log.

They are of type `configuration_change`, because something that the service keeps was changed outside
of it, by `local:audit`:

- `audit.integrity`, failure: stored material did not verify (an inbox row, a journal frame, a gap);
- `audit.torn`, failure: a journal ends in the middle of a frame (power loss, a kill while writing);
- `audit.unclosed`, failure: a process ended without closing its journal (a kill; or its end was cut).
"""

from __future__ import annotations

from tradewarden.audit.entry import MAX_NAME, MAX_REASON, Event, EventType, Result, encode
from tradewarden.clock import rfc3339

INTEGRITY = "audit.integrity"
TORN = "audit.torn"
UNCLOSED = "audit.unclosed"
AUTHOR = "local:audit"


def finding(now: float, action: str, resource: str, reason: str) -> bytes:
    """Return the encoded entry."""
    return encode(
        Event(
            rfc3339(now),
            EventType.CONFIGURATION_CHANGE.value,
            AUTHOR,
            resource[:MAX_NAME],
            action,
            Result.FAILURE.value,
            "",
            "",
            "",
            reason[:MAX_REASON],
        )
    )

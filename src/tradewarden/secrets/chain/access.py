"""One access to a secret, as it is recorded, and what records are handed to.

What is recorded: every call of a provider, one by one, before its answer leaves; an answer from the cache is counted
without fail and recorded as one access with `count`, a window and a name (`tally.Tally`). When the recorder says that
it cannot record, no answer leaves: a provider's is dropped, and the cache gives none until what it owes is recorded.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from tradewarden.audit.entry import MAX_REASON, Event, EventType, Result
from tradewarden.clock import rfc3339

if TYPE_CHECKING:
    from tradewarden.secrets.naming import Kind


class Action(StrEnum):
    """What was asked for."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    LIST = "list"


class Outcome(StrEnum):
    """How it ended.

    `FOUND` is a first read, `REFRESHED` another one with the same value, `CHANGED` one with another value;
    `FELL_THROUGH` an answer of a provider that stood in for one that did not answer; `STALE` the last known value;
    `DONE` a write, a deletion or a listing; `FAILED` one that the provider did not carry out.
    """

    FOUND = "found"
    REFRESHED = "refreshed"
    CHANGED = "changed"
    CACHED = "cached"
    STALE = "stale"
    FELL_THROUGH = "fell_through"
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    BROKEN = "broken"
    FAILED = "failed"
    DONE = "done"


_RESULTS: Final = {
    Outcome.NOT_FOUND: Result.FAILURE,
    Outcome.UNREACHABLE: Result.FAILURE,
    Outcome.BROKEN: Result.FAILURE,
    Outcome.FAILED: Result.FAILURE,
    Outcome.REFUSED: Result.DENIED,
}


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What one provider, or the cache in its place, said about one name. It has no field for a value.

    `final` is False for a provider that was asked on the way and did not decide. `count` stands for so many like
    accesses. `at` is seconds since the epoch.
    """

    name: str
    provider: str
    outcome: Outcome
    kind: Kind
    at: float
    action: Action = Action.READ
    reason: str = ""
    count: int = 1
    final: bool = True

    @property
    def result(self) -> Result:
        """How the audit log calls the outcome."""
        return _RESULTS.get(self.outcome, Result.SUCCESS)

    def event(self, user: str) -> Event:
        """Return the audit entry (contract of AlphaPulse) of `user`'s access."""
        said = f"{self.provider}: {self.outcome.value}"
        return Event(
            rfc3339(self.at),
            EventType.SECRET_ACCESS.value,
            user,
            self.name,
            self.action.value,
            self.result.value,
            "",
            "",
            "",
            (f"{said}; {self.reason}" if self.reason else said)[:MAX_REASON],
            count=self.count,
        )


class Recorder(Protocol):
    """Where accesses go. Calls block and come from several threads at once."""

    def ready(self) -> None:
        """Raise `AuditUnavailableError` when nothing could be recorded now; asked before a change."""
        ...

    def record(self, access: Access) -> None:
        """Record one access; raises `AuditUnavailableError` when that is not possible, and then no answer leaves."""
        ...

    def close(self) -> None:
        """Write what waits and let go."""
        ...

"""What is kept of rotations, and the one way in which it changes.

A change is decided by a pure function over the rows of one path that stand inside the transaction, and is written
together with its audit entry. A policy stands for as long as nobody removes it; a run only while it is under way: with
it goes the value that it made. Times are seconds since the epoch, UTC; a time of 0 means never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class PolicyRow(msgspec.Struct, frozen=True):
    """How one secret is rotated, and how that went last.

    `parameters` is a JSON object of texts. `reads` is a JSON array: which secrets the rotator may read, as far as
    whoever wrote the policy could read them. `due_at` is the first moment at which it may run by itself once it is due
    (0: never), `next_at` when the service looks at it by itself next (0: it does not). `failures` counts those in a
    row, `reason` is the last one's.
    """

    table: ClassVar[str] = "rotation_policies"

    path: str
    kind: str
    parameters: str
    every_seconds: int
    schedule: str
    automatic: int
    reads: str
    created_at: float
    created_by: str
    last_at: float = 0.0
    last_version: int = 0
    due_at: float = 0.0
    next_at: float = 0.0
    failures: int = 0
    reason: str = ""
    seal: bytes = b""


class RunRow(msgspec.Struct, frozen=True):
    """One rotation under way.

    `step` is the next one to carry out. `base` is the version that was current at its start (0: none), `version` the
    one that was written (0: not yet). `urgent` is 1 when the old value is to end at once. `pending` and `supplied` are
    AEAD envelopes, empty when there is none. Who works on it is `holder`, until `lease_until`; `epoch` grows with each
    taking.
    """

    table: ClassVar[str] = "rotation_runs"

    path: str
    id: str
    kind: str
    parameters: str
    step: str
    base: int
    version: int
    pending: bytes
    supplied: bytes
    started_at: float
    started_by: str
    urgent: int
    holder: str
    epoch: int
    lease_until: float
    seal: bytes = b""


class State(msgspec.Struct, frozen=True):
    """What stands of one path."""

    policy: PolicyRow | None = None
    run: RunRow | None = None


class Change(msgspec.Struct, Generic[T], frozen=True):
    """What a decision wants: the rows that are to stand afterwards (None: none), the answer, the entry."""

    after: State
    answer: T
    entry: bytes


class RotationStore(Protocol):
    """Where policies and runs are kept."""

    async def read(self, path: str) -> State:
        """Return what stands of one path, as of one moment."""
        ...

    async def page(self, prefix: str, after: str, limit: int) -> list[State]:
        """Return up to `limit` policies, and their runs, whose paths start with `prefix` and follow `after`."""
        ...

    async def waiting(self, now: float, limit: int) -> list[str]:
        """Return paths whose time to be looked at (`next_at`) has come, the longest waiting first."""
        ...

    async def overdue(self, before: float, limit: int) -> list[str]:
        """Return paths of automatic policies that could have run before `before`, the longest waiting first."""
        ...

    async def change(self, path: str, decide: Callable[[State], Change[T]]) -> T:
        """Load, decide, write and record in one transaction; return the answer when it is durable."""
        ...

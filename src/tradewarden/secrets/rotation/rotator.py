"""What a rotator is: the four steps that put a new value in the place of an old one, each of which may be repeated.

Always true here: a step that was carried out and not recorded (the process was killed in between) is simply carried
out again, so each step must give the same end whether it runs once or twice; until `test` has passed the old value
stays current, and `finish` runs only after the new one is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    ReadSecret = Callable[[str], Awaitable[Mapping[str, object]]]


class Job(msgspec.Struct, frozen=True):
    """One rotation under way.

    `id` stays the same through every resumption, and so do `current`, the value in use when it began (None: the secret
    had none yet), and `previous`, the one before that: at `finish` too, when `pending` is in use. `pending` is what
    `create` made (None before that). `parameters` come from the policy, `supplied` from the operator who started a
    guided rotation. `urgent`: the value in use may be in wrong hands, so `finish` ends it at once, without a grace.
    `standing` is told to `finish` alone: the value that is current by then (None: it was deleted). It is `pending`
    unless somebody wrote the secret meanwhile, or rolled it back.
    """

    id: str
    path: str
    parameters: dict[str, str]
    current: dict[str, object] | None = None
    previous: dict[str, object] | None = None
    pending: dict[str, object] | None = None
    supplied: dict[str, object] | None = None
    urgent: bool = False
    standing: dict[str, object] | None = None

    def __repr__(self) -> str:
        return f"Job(id={self.id!r}, path={self.path!r})"


class Rotator(Protocol):
    """A way to rotate one kind of secret.

    Every step raises `UnavailableError` when what it needs cannot be reached (the job waits and is tried again) and
    `RotationFailedError` when it will not work as things are (an operator has to look).
    """

    kind: str
    """Its name in a policy: `postgres`, `random`, `service_token`, `exchange`, …"""
    automatic: bool
    """Whether it runs without a person; a guided one needs `Job.supplied` and is only ever shown as due."""
    overtakes: bool
    """Whether a new rotation may begin while the last step of the one before waits, and sees to what that was for."""

    def check(self, parameters: Mapping[str, str]) -> None:
        """Raise `InvalidInputError` naming a parameter that is missing or wrong. Called when a policy is written."""
        ...

    ends: bool
    """Whether its values end by themselves: then `renews_at` is asked."""

    def needs(self, parameters: Mapping[str, str]) -> tuple[str, ...]:
        """Return the paths of the other secrets that it reads."""
        ...

    def suits(self, parameters: Mapping[str, str], value: Mapping[str, object] | None, longest: float) -> None:
        """Raise `InvalidInputError` for a policy that could only fail later.

        `value` is the one in use (None: there is none), `longest` how many seconds lie between two rotations at the
        most (0: they are made on request).
        """
        ...

    def renews_at(self, value: Mapping[str, object]) -> float:
        """Return when a value has to be replaced because it ends by itself, in seconds since the epoch; 0: never."""
        ...

    async def create(self, job: Job, read: ReadSecret) -> dict[str, object]:
        """Return the new value. It is stored as pending before anything else happens."""
        ...

    async def set(self, job: Job, read: ReadSecret) -> None:
        """Make the other side take `job.pending`, so that both the old and the new value work."""
        ...

    async def test(self, job: Job, read: ReadSecret) -> None:
        """Use `job.pending` for real; raises `RotationFailedError` when it does not work."""
        ...

    async def finish(self, job: Job, read: ReadSecret) -> str | None:
        """End what the old value could do as far as the kind asks for it; the new one is current by now.

        What `standing` needs is not ended; returns in words why something was left. Raises `RotationWaitsError` when
        the end is to come later: the job then waits, and is well.
        """
        ...


class Plain:
    """What most rotators say of a policy: they read no other secret, and their values do not end by themselves."""

    overtakes = False
    ends = False

    def needs(self, parameters: Mapping[str, str]) -> tuple[str, ...]:
        """Return no path."""
        del parameters
        return ()

    def suits(self, parameters: Mapping[str, str], value: Mapping[str, object] | None, longest: float) -> None:
        """Take every policy."""
        del parameters, value, longest

    def renews_at(self, value: Mapping[str, object]) -> float:
        """Return 0: never."""
        del value
        return 0.0

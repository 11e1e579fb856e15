"""What can be asked of rotation, and what it answers. Times are seconds since the epoch."""

from __future__ import annotations

from typing import Literal

import msgspec

from tradewarden.access.paging import PageSize
from tradewarden.secrets.path import PathPrefix, SecretPath
from tradewarden.secrets.rotation.policy import Parameters, Seconds
from tradewarden.secrets.rotation.window import Schedule


class SetPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Say how and when a secret is rotated.

    `every_seconds` (0: no age) and `schedule` (`sun 02:00-04:00`, UTC; empty: any hour) say when; `automatic` None
    stands for whatever the rotator can.
    """

    path: SecretPath
    kind: str
    parameters: Parameters = {}
    every_seconds: Seconds = 0
    schedule: Schedule = ""
    automatic: bool | None = None


class RunRotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Begin a rotation, or go on with the one under way. `supplied` are the new values of a guided one.

    `urgent` ends the old value at once, without the grace that its policy may give it. `resume` goes on only, also with
    one whose last step waits, in whose place another may begin else.
    """

    path: SecretPath
    supplied: dict[str, object] | None = None
    urgent: bool = False
    resume: bool = False

    def __repr__(self) -> str:
        return f"RunRotation(path={self.path!r})"


class ListRotations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """List policies whose paths start with `prefix`; `due`: only what is due or under way."""

    prefix: PathPrefix = ""
    after: str = ""
    limit: PageSize = 100
    due: bool = False


class Policy(msgspec.Struct, frozen=True):
    """A policy as it stands."""

    path: str
    kind: str
    parameters: dict[str, str]
    every_seconds: int
    schedule: str
    automatic: bool


class Rotation(msgspec.Struct, frozen=True):
    """How one secret stands.

    `state` is `idle`, `running`, `stopped` before `step`, or `waiting`: the new value is current, and what is left is
    to end the old one. `due_at` is when it is or was due (None: never by itself), `next_at` when it goes on or begins
    by itself (None: it does not), `waits` says in words what for.
    """

    policy: Policy
    state: Literal["idle", "running", "stopped", "waiting"]
    step: str | None
    due: bool
    due_at: float | None
    next_at: float | None
    last_at: float | None
    current_version: int | None
    failures: int
    reason: str
    waits: str


class RotationPage(msgspec.Struct, frozen=True):
    """One page. `next` is what to ask `after` for the following page; None at the end."""

    rotations: tuple[Rotation, ...]
    next: str | None


class Rotated(msgspec.Struct, frozen=True):
    """A rotation whose new value is current. `previous_version` is None for a secret that had none.

    `waits` says what is still to come by itself: the end of the old value, after its grace. It is empty at the end.
    `untouched` names the fields that may hold a secret and are what they were before.
    """

    path: str
    id: str
    version: int
    previous_version: int | None
    resumed: bool
    waits: str = ""
    untouched: tuple[str, ...] = ()


class Abandoned(msgspec.Struct, frozen=True):
    """A rotation that was given up before `step`; which version is current, and what to look at."""

    path: str
    step: str
    current_version: int | None
    advice: str

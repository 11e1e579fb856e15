"""`/rotations`: policies, what is due, running, resuming, abandoning, and the day a service is compromised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from tradewarden.clock import rfc3339
from tradewarden.compromised import CompromisedService, Contained, contain
from tradewarden.secrets.path import SecretPath
from tradewarden.secrets.rotation.commands import ListRotations, Policy, RunRotation, SetPolicy

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry
    from tradewarden.secrets.rotation.commands import Abandoned, Rotated, Rotation


class NamedPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One secret."""

    path: SecretPath


class PolicyRemoved(msgspec.Struct, frozen=True):
    """What was removed; the secret stays."""

    path: str
    removed: bool = True


class RotationShown(msgspec.Struct, frozen=True):
    """How one secret stands with its rotation; never a value."""

    path: str
    kind: str
    parameters: dict[str, str]
    every_seconds: int
    schedule: str
    automatic: bool
    state: Literal["idle", "running", "stopped", "waiting"]
    step: str | None
    due: bool
    due_at: str | None
    next_at: str | None
    last_at: str | None
    current_version: int | None
    failures: int
    reason: str
    waits: str


class RotationsShown(msgspec.Struct, frozen=True):
    """One page. `next` is what to ask `after` for the following page; null at the end."""

    rotations: tuple[RotationShown, ...]
    next: str | None


async def set_policy(warden: Warden, grant: Grant, command: SetPolicy, entry: Entry) -> Policy:
    """Say how and when a secret is rotated."""
    return await warden.rotations.set_policy(grant, command, entry)


async def remove_policy(warden: Warden, grant: Grant, command: NamedPath, entry: Entry) -> PolicyRemoved:
    """Remove a rotation policy; the secret stays."""
    await warden.rotations.remove_policy(grant, command.path, entry)
    return PolicyRemoved(command.path)


async def listing(warden: Warden, grant: Grant, command: ListRotations, entry: Entry) -> RotationsShown:
    """List rotation policies: what is due, what is under way and what it waits for."""
    entry.resource = command.prefix
    page = await warden.rotations.list(grant, command)
    return RotationsShown(tuple(map(_shown, page.rotations)), page.next)


def _shown(found: Rotation) -> RotationShown:
    policy = found.policy
    return RotationShown(
        policy.path,
        policy.kind,
        policy.parameters,
        policy.every_seconds,
        policy.schedule,
        policy.automatic,
        found.state,
        found.step,
        found.due,
        _moment(found.due_at),
        _moment(found.next_at),
        _moment(found.last_at),
        found.current_version,
        found.failures,
        found.reason,
        found.waits,
    )


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)


async def run(warden: Warden, grant: Grant, command: RunRotation, entry: Entry) -> Rotated:
    """Rotate a secret now, or go on with its rotation under way."""
    return await warden.rotations.run(grant, command, entry)


async def compromised(warden: Warden, grant: Grant, command: CompromisedService, entry: Entry) -> Contained:
    """End a compromised service's access, and rotate what it has seen."""
    return await contain(warden, grant, command, entry)


async def abandon(warden: Warden, grant: Grant, command: NamedPath, entry: Entry) -> Abandoned:
    """Give up the rotation of a secret; its current version stays."""
    return await warden.rotations.abandon(grant, command.path, entry)

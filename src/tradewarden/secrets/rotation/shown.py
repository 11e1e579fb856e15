"""How a rotation is told of: its state, when it is due, and what it waits for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.clock import rfc3339
from tradewarden.secrets.rotation import machine, policy
from tradewarden.secrets.rotation.commands import Policy, Rotation

if TYPE_CHECKING:
    from tradewarden.secrets.rotation.policy import Due
    from tradewarden.secrets.rotation.reading import Versions
    from tradewarden.secrets.rotation.rotator import Rotator
    from tradewarden.secrets.rotation.store import PolicyRow, RunRow, State

_decode = msgspec.json.Decoder(dict[str, str]).decode


def policy_shown(row: PolicyRow) -> Policy:
    """Return a policy as it stands."""
    parameters = _decode(row.parameters)
    return Policy(row.path, row.kind, parameters, row.every_seconds, row.schedule, bool(row.automatic))


def replaced(state: State, versions: Versions) -> bool:
    """Tell whether another version than the rotation's own is current while its last step is still to come."""
    return state.run is not None and state.run.step == machine.Step.FINISH and versions.current != state.run.version


def shown(state: State, versions: Versions, rotator: Rotator | None, now: float, renews_at: float = 0.0) -> Rotation:
    """Return how one secret stands; `renews_at` is when its value has to be replaced (0: it does not end by itself)."""
    row, run = machine.standing(state, ""), state.run
    gone = bool(versions.current) and versions.gone
    when = policy.timing_of(row.every_seconds, row.schedule, row.created_at)
    found = None if gone else policy.due(when, versions.created_at, row.last_at, renews_at)
    at_work = run is not None and machine.running(run, now)
    waits = run is not None and run.step == machine.Step.FINISH and not row.failures
    return Rotation(
        policy=policy_shown(row),
        state="idle" if run is None else "running" if at_work else "waiting" if waits else "stopped",
        step=None if run is None else run.step,
        due=found is not None and found.at <= now,
        due_at=None if found is None else found.at,
        next_at=max(row.next_at, now) if row.next_at and not gone else None,
        last_at=row.last_at or None,
        current_version=versions.current or None,
        failures=row.failures,
        reason=row.reason if row.failures else "",
        waits=_meanwhile(state, versions) + _words(row, run, found, rotator, now, gone=gone),
    )


def _meanwhile(state: State, versions: Versions) -> str:
    if state.run is None or not replaced(state, versions):
        return ""
    return f"version {versions.current} took the place of its version {state.run.version}; resume it to see to that; "


def _words(
    row: PolicyRow, run: RunRow | None, found: Due | None, rotator: Rotator | None, now: float, *, gone: bool
) -> str:
    if run is not None:
        return _run_waits(row, run, now)
    if gone:
        return "its current version is deleted"
    if rotator is None:
        return f"this service has no rotator '{row.kind}'"
    return "nothing: it is rotated on request only" if found is None else _waits(row, found, rotator, now)


def _run_waits(row: PolicyRow, run: RunRow, now: float) -> str:
    if machine.running(run, now):
        return f"step '{run.step}' is being carried out"
    again = _at(max(row.next_at, now))
    if run.step == machine.Step.FINISH and not row.failures:
        return f"{row.reason}; looked at again at {again}"
    if row.next_at:
        return f"stopped before step '{run.step}'; goes on by itself at {again}"
    return f"stopped before step '{run.step}'; resume or abandon it"


def _waits(row: PolicyRow, found: Due, rotator: Rotator, now: float) -> str:
    if found.at > now:
        return f"due at {_at(found.at)}"
    if not row.automatic:
        return "somebody to rotate it" if rotator.automatic else "somebody to get a new value and supply it"
    if row.next_at > now:
        return f"{'tried again' if row.failures else 'its hours begin'} at {_at(row.next_at)}"
    return "about to begin"


def _at(moment: float) -> str:
    return f"{rfc3339(moment)[:19]}Z"

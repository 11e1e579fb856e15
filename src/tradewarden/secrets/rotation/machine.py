"""What may happen to a rotation next: pure decisions over its rows, without keys, rotators or storage.

Always true here: the steps are carried out in their order and none is left out; only whoever holds the lease moves a
run on, and a lease that was lost moves nothing (its epoch is over); a run begins only when none is under way, and ends
only by its last step or by being abandoned. Which version is current changes between `test` and `finish` alone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from tradewarden.errors import ConflictError, InvalidInputError, NotFoundError
from tradewarden.secrets.rotation import policy
from tradewarden.secrets.rotation.store import PolicyRow, RunRow, State

if TYPE_CHECKING:
    from tradewarden.secrets.rotation.policy import Timing

LEASE_SECONDS: Final = 30.0
STEP_SECONDS: Final = 20.0
"""How long one step may take: less than a lease, so that nobody else begins it meanwhile."""
REST_SECONDS: Final = 3600.0
"""How long the service leaves a secret alone after its rotation was abandoned."""
MAX_REASON: Final = 400


class Step(StrEnum):
    """The steps in their order; `promote` is the engine's own: it makes the new value the current version."""

    CREATE = "create"
    SET = "set"
    TEST = "test"
    PROMOTE = "promote"
    FINISH = "finish"


ORDER: Final = tuple(Step)


class Hold(msgspec.Struct, frozen=True):
    """What proves that a worker may move a run on."""

    id: str
    holder: str
    epoch: int


class Result(msgspec.Struct, frozen=True):
    """What a step left behind: the envelope of the new value (`create`), the version that it became (`promote`)."""

    pending: bytes = b""
    version: int = 0


def following(step: str) -> Step | None:
    """Return the step after this one; None after the last."""
    at = ORDER.index(Step(step)) + 1
    return ORDER[at] if at < len(ORDER) else None


def standing(state: State, path: str) -> PolicyRow:
    """Return the policy; raises `NotFoundError` saying how to write one."""
    if state.policy is None:
        raise NotFoundError(
            f"Secret '{path}' has no rotation policy; write one with 'tradewarden secrets policy set {path}'"
        )
    return state.policy


def waits(state: State) -> bool:
    """Tell whether the last step of a run is well and waits for a time to pass."""
    run, row = state.run, state.policy
    at_the_end = run is not None and run.step == Step.FINISH and not run.holder
    return at_the_end and row is not None and bool(row.reason) and not row.failures


def overtake(state: State, waiting: RunRow, fresh: RunRow, now: float) -> State:
    """Decide to begin a run in the place of one whose last step waits; raises `ConflictError` when it went on."""
    if state.run != waiting or not waits(state):
        raise ConflictError(f"The rotation of secret '{fresh.path}' went on meanwhile; try again")
    return begin(State(replace(standing(state, fresh.path), reason=""), None), fresh, now)


def running(run: RunRow, now: float) -> bool:
    """Tell whether somebody works on a run now. A lease longer than any is from before a clock was set back."""
    return bool(run.holder) and now < run.lease_until <= now + 2 * LEASE_SECONDS


def begin(state: State, fresh: RunRow, now: float) -> State:
    """Decide to begin a run; raises `ConflictError` when one is under way."""
    policy_row = standing(state, fresh.path)
    if state.run is not None:
        raise ConflictError(f"A rotation of secret '{fresh.path}' is under way already; resume or abandon it")
    if (policy_row.kind, policy_row.parameters) != (fresh.kind, fresh.parameters):
        raise ConflictError(f"The rotation policy of secret '{fresh.path}' was changed just now; try again")
    return _leased(State(policy_row, fresh), fresh, now)


class Taking(msgspec.Struct, frozen=True):
    """Who takes a run up, and what is new: supplied values (an envelope, empty for none), and whether it is urgent."""

    holder: str
    supplied: bytes = b""
    urgent: bool = False


def take(state: State, path: str, by: Taking, now: float) -> State:
    """Decide to go on with a run that nobody works on; raises `ConflictError` when somebody does.

    What is supplied takes the place of what was supplied before, as long as nothing was made of that.
    """
    run, supplied = _under_way(state, path), by.supplied
    if running(run, now):
        raise ConflictError(f"Secret '{path}' is being rotated by another process just now; wait until it is done")
    if supplied and run.step != Step.CREATE:
        raise ConflictError(
            f"The rotation of secret '{path}' has its new value already and is before step '{run.step}'; resume it "
            "without supplying one, or abandon it and begin anew"
        )
    taken = replace(
        run,
        holder=by.holder,
        epoch=run.epoch + 1,
        supplied=supplied or run.supplied,
        urgent=int(by.urgent or run.urgent),
    )
    return _leased(state, taken, now)


def advance(state: State, path: str, hold: Hold, result: Result, now: float) -> State:
    """Decide that the step of a run was carried out, and what of it is kept. Raises `ConflictError`."""
    run = _held(state, path, hold)
    step = following(run.step)
    if step is None:
        raise ConflictError(f"The rotation of secret '{path}' has no step left; finish it")
    moved = replace(run, step=step, pending=result.pending or run.pending, version=result.version or run.version)
    return _leased(state, moved, now)


def complete(state: State, path: str, hold: Hold, timing: Timing, now: float, renews_at: float = 0.0) -> State:
    """Decide that a run's last step was carried out: what stays is when it was, and which version it wrote.

    The age of the new value counts from when it took the place of the old one, also when the end of that had to wait.
    """
    run = _held(state, path, hold)
    if run.step != Step.FINISH:
        raise ConflictError(f"The rotation of secret '{path}' is before step '{run.step}'")
    row = standing(state, path)
    last_at = row.last_at if row.last_at >= run.started_at else now
    found = policy.due(timing, last_at, last_at, renews_at)
    at = 0.0 if found is None else found.opens
    done = replace(
        row,
        last_at=last_at,
        last_version=run.version,
        due_at=at,
        next_at=at if row.automatic else 0.0,
        failures=0,
        reason="",
    )
    return State(done, None)


def stick(state: State, path: str, hold: Hold, reason: str) -> State:
    """Decide that a run cannot go on as things are: let it go, and leave it to a person."""
    run, row = _held(state, path, hold), standing(state, path)
    stuck = replace(row, failures=row.failures + 1, reason=reason[:MAX_REASON], next_at=0.0)
    return State(stuck, replace(run, holder="", lease_until=0.0))


def fail(state: State, path: str, hold: Hold, reason: str, timing: Timing, now: float) -> State:
    """Decide that a step did not work this time: let the run go, and say when it may be tried again."""
    run = _held(state, path, hold)
    row = standing(state, path)
    failures = row.failures + 1
    again = now + policy.delay(failures)
    if run.step == Step.CREATE and timing.window is not None:  # nothing has begun outside yet
        again = timing.window.opens(again)
    return _let_go(replace(row, failures=failures, reason=reason[:MAX_REASON]), run, again)


def wait(state: State, path: str, hold: Hold, reason: str, wait_for: tuple[float, float]) -> State:
    """Decide that the last step is well and has to wait, for what `reason` says: let the run go.

    `wait_for` is now, and when it is to be taken up again.
    """
    run, row = _held(state, path, hold), standing(state, path)
    now, again = wait_for
    last_at = row.last_at if row.last_at >= run.started_at else now
    waiting = replace(row, failures=0, reason=reason[:MAX_REASON], last_at=last_at, last_version=run.version)
    return _let_go(waiting, run, again)


def release(state: State, path: str, holder: str, now: float) -> State:
    """Decide to let a run go, to be taken up at the same step by whoever comes next. No two takings have one holder."""
    run = _under_way(state, path)
    if run.holder != holder:
        raise _lost(path)
    return _let_go(standing(state, path), run, now)


def abandon(state: State, path: str, now: float) -> State:
    """Decide to give a run up; the current version stays what it is. Raises `ConflictError` while somebody works."""
    run = _under_way(state, path)
    if running(run, now):
        raise ConflictError(f"Secret '{path}' is being rotated by another process just now; wait until it is done")
    row = standing(state, path)
    rested = replace(row, failures=0, reason="", next_at=now + REST_SECONDS if row.automatic else 0.0)
    return State(rested, None)


def remove(state: State, path: str) -> State:
    """Decide to remove a policy; raises `ConflictError` while a run is under way."""
    standing(state, path)
    if state.run is not None:
        raise ConflictError(f"A rotation of secret '{path}' is under way; resume or abandon it first")
    return State()


def rewrite(state: State, fresh: PolicyRow) -> State:
    """Decide to write a policy; what is known of the last rotation stays. A run under way goes on as it began."""
    before = state.policy
    if before is not None:
        fresh = replace(fresh, last_at=before.last_at, last_version=before.last_version)
    if state.run is not None:
        fresh = replace(fresh, next_at=before.next_at if before is not None else 0.0)
    return State(fresh, state.run)


def hold_of(state: State) -> Hold:
    """Return what a worker that has just taken a run proves itself with."""
    run = state.run
    if run is None:
        raise InvalidInputError("There is no run to hold")
    return Hold(run.id, run.holder, run.epoch)


def _leased(state: State, run: RunRow, now: float) -> State:
    until = now + LEASE_SECONDS
    row = standing(state, run.path)
    return State(replace(row, next_at=until if _goes_on(row, run) else 0.0), replace(run, lease_until=until))


def _let_go(row: PolicyRow, run: RunRow, again: float) -> State:
    return State(replace(row, next_at=again if _goes_on(row, run) else 0.0), replace(run, holder="", lease_until=0.0))


def _goes_on(row: PolicyRow, run: RunRow) -> bool:
    """Tell whether the service goes on with a run by itself: what is automatic, and the end of what is current."""
    return bool(row.automatic) or run.step == Step.FINISH


def _under_way(state: State, path: str) -> RunRow:
    if state.run is None:
        raise NotFoundError(f"No rotation of secret '{path}' is under way")
    return state.run


def _held(state: State, path: str, hold: Hold) -> RunRow:
    run = state.run
    if run is None or (run.id, run.holder, run.epoch) != (hold.id, hold.holder, hold.epoch):
        raise _lost(path)
    return run


def _lost(path: str) -> ConflictError:
    return ConflictError(
        f"The rotation of secret '{path}' went on in another process; look with 'tradewarden secrets due'",
        reason="the lease of the rotation was lost",
    )

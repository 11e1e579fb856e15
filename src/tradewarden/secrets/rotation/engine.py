"""Carries out the steps of a rotation, one after the other, each recorded durably before the next begins.

Always true here: whoever dies at any point leaves a run that goes on at the step it was before. A step that was carried
out and not recorded is carried out again; the one that writes the new version looks first whether it stands already. A
version that somebody else wrote meanwhile is never written over, and the new value stays in the run until an operator
has looked.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from tradewarden.errors import (
    ConflictError,
    RotationFailedError,
    RotationWaitsError,
    TradewardenError,
    UnavailableError,
)
from tradewarden.secrets.commands import PutSecret
from tradewarden.secrets.rotation import machine
from tradewarden.secrets.rotation.commands import Rotated
from tradewarden.secrets.rotation.machine import Result, Step
from tradewarden.secrets.rotation.policy import timing_of
from tradewarden.secrets.rotation.reading import same, step_entry
from tradewarden.secrets.rotation.rotator import Job
from tradewarden.secrets.rotation.sealed import PENDING, SUPPLIED
from tradewarden.secrets.rotation.untouched import untouched
from tradewarden.secrets.value import parse_object, raw_object

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock
    from tradewarden.secrets.rotation.machine import Hold
    from tradewarden.secrets.rotation.policy import Timing
    from tradewarden.secrets.rotation.reading import Reader
    from tradewarden.secrets.rotation.rotator import Rotator
    from tradewarden.secrets.rotation.sealed import Sealed
    from tradewarden.secrets.rotation.store import Change, PolicyRow, RotationStore, RunRow, State

T = TypeVar("T")
_decode_parameters = msgspec.json.Decoder(dict[str, str]).decode


class WrittenMeanwhileError(RotationFailedError):
    """Somebody else wrote the secret while it was rotated: which value is to stay only a person can say."""


class Work(NamedTuple):
    """One taken run with all that its steps need. `entry` is that of whoever asked for it."""

    hold: Hold
    rotator: Rotator
    reader: Reader
    entry: Entry
    resumed: bool


class Engine:
    """Moves taken runs on to their end."""

    def __init__(self, store: RotationStore, sealed: Sealed, clock: Clock) -> None:
        self._store = store
        self._sealed = sealed
        self._clock = clock

    async def state(self, path: str) -> State:
        """Return what stands of a path, verified."""
        return self._sealed.checked(await self._store.read(path), path)

    async def change(self, path: str, rule: Callable[[State], State], entry: Entry, reason: str = "") -> State:
        """Write what a rule makes of a path's rows, with the entry; return how they stand then."""
        if reason:
            entry.reason = reason

        def decide(found: State) -> Change[State]:
            before = self._sealed.checked(found, path)
            after = rule(before)
            return self._sealed.change(before, after, after, entry.draft)

        after = await self._store.change(path, decide)
        entry.commit()
        return after

    async def carry_out(self, state: State, work: Work) -> Rotated:
        """Carry out every step that is left of a run that was just taken. Raises what the step raised.

        A step that did not work is noted, and the run let go.
        """
        try:
            while _run(state).step != Step.FINISH:
                state = await self._step(state, work)
            return await self._finish(state, work)
        except TradewardenError as error:
            if isinstance(error, RotationWaitsError) and _run(state).step == Step.FINISH:
                return await self._wait(_run(state), work, error)
            await self._note_failure(state, work, error)
            if _run(state).step == Step.FINISH:
                raise _after_promotion(_run(state), error) from error
            raise

    async def _step(self, state: State, work: Work) -> State:
        run = _run(state)
        step = Step(run.step)
        result = await self._limited(step, work, self._carry_out_one(step, run, work))
        made = f", version {result.version}" if result.version else ""
        return await self.change(
            run.path,
            lambda found: machine.advance(found, run.path, work.hold, result, self._clock.now()),
            step_entry(work.entry),
            f"rotation {run.id}: {step} is done{made}",
        )

    async def _carry_out_one(self, step: Step, run: RunRow, work: Work) -> Result:
        if step is Step.PROMOTE:
            return Result(version=await self._promote(run, work))
        job, read = await self._job(run, work.reader), work.reader.other
        if step is Step.CREATE:
            made = parse_object(bytes(raw_object(await work.rotator.create(job, read))), name="the new value")
            return Result(await self._sealed.encrypt(run, PENDING, made))
        await (work.rotator.set if step is Step.SET else work.rotator.test)(job, read)
        return Result()

    async def _finish(self, state: State, work: Work) -> Rotated:
        run, when = _run(state), timing(_policy(state))
        left = await self._limited(Step.FINISH, work, self._end_old(run, work))
        pending = self._sealed.open(run, PENDING) or {}
        renews_at = work.rotator.renews_at(pending)
        await self.change(
            run.path,
            lambda found: machine.complete(found, run.path, work.hold, when, self._clock.now(), renews_at),
            work.entry,
            f"rotation {run.id}: finished, version {run.version} in the place of {run.base}{left and f'; {left}'}",
        )
        return Rotated(
            run.path, run.id, run.version, run.base or None, work.resumed, "", await self._same_as(run, work)
        )

    async def _same_as(self, run: RunRow, work: Work) -> tuple[str, ...]:
        """Return the fields that may hold a secret and are in the new value what they were in the old one."""
        before = await work.reader.value(run.base) if run.base else None
        return untouched(before or {}, self._sealed.open(run, PENDING) or {})

    async def _wait(self, run: RunRow, work: Work, error: RotationWaitsError) -> Rotated:
        """Let a run go until its last step is to be tried again."""
        again = self._clock.now() + error.seconds
        await self.change(
            run.path,
            lambda found: machine.wait(found, run.path, work.hold, error.detail, (self._clock.now(), again)),
            work.entry,
            f"rotation {run.id}: version {run.version} is current, the end of {run.base} waits {error.seconds:.0f} s",
        )
        same_as = await self._same_as(run, work)
        return Rotated(run.path, run.id, run.version, run.base or None, work.resumed, error.detail, same_as)

    async def _end_old(self, run: RunRow, work: Work) -> str:
        """Have the old value ended, with a look at which one is current by now; return what was left, in words."""
        job, versions = await self._job(run, work.reader), await work.reader.versions()
        standing = await work.reader.value(versions.current) if versions.current and not versions.gone else None
        return await work.rotator.finish(msgspec.structs.replace(job, standing=standing), work.reader.other) or ""

    async def _limited(self, step: Step, work: Work, doing: Awaitable[T]) -> T:
        """Await a step for as long as it may take; what is not one of our errors becomes one, without its text."""
        kind = work.rotator.kind
        try:
            async with asyncio.timeout(machine.STEP_SECONDS):
                return await doing
        except TradewardenError:
            raise
        except TimeoutError as error:
            raise UnavailableError(
                f"Step '{step}' of rotator '{kind}' did not end in time; see whether what it talks to is well, then "
                "resume the rotation"
            ) from error
        except Exception as error:
            raise RotationFailedError(
                f"Step '{step}' of rotator '{kind}' failed: {type(error).__name__}; look at what it talks to"
            ) from error

    async def _job(self, run: RunRow, reader: Reader) -> Job:
        """Return the job, the same at every step: `current` is what was in use when the run began."""
        versions = await reader.versions()
        before = [each for each in versions.readable if each < run.base]
        return Job(
            run.id,
            run.path,
            _decode_parameters(run.parameters),
            await reader.value(run.base) if run.base else None,
            await reader.value(before[-1]) if before else None,
            self._sealed.open(run, PENDING),
            self._sealed.open(run, SUPPLIED),
            bool(run.urgent),
        )

    async def _promote(self, run: RunRow, work: Work) -> int:
        """Make the pending value the current version; one that stands already is found, and not written twice."""
        pending = self._sealed.open(run, PENDING)
        assert pending is not None  # noqa: S101  (`create` is recorded with its value)
        standing = await self._promoted(run, pending, work.reader)
        if standing:
            return standing
        try:
            command = PutSecret(run.path, raw_object(pending), cas=run.base)
            return await work.reader.write(command, f"rotation {run.id}")
        except ConflictError:
            standing = await self._promoted(run, pending, work.reader)
            if not standing:
                raise
            return standing

    @staticmethod
    async def _promoted(run: RunRow, pending: dict[str, object], reader: Reader) -> int:
        """Return the version that the pending value is already; 0 when the one before it is still current."""
        versions = await reader.versions()
        if versions.current == run.base and not (run.base and versions.gone):
            return 0
        if same(pending, await reader.value(versions.current)):
            return versions.current
        raise WrittenMeanwhileError(
            f"Secret '{run.path}' was written or deleted by somebody else while it was rotated: it is at version "
            f"{versions.current} now, the rotation began at {run.base}. Nothing was written over; see which value the "
            "other side takes, then abandon the rotation and begin it anew"
        )

    async def _note_failure(self, state: State, work: Work, error: TradewardenError) -> None:
        run, when = _run(state), timing(_policy(state))
        entry = step_entry(work.entry)
        entry.fail(error)
        reason = f"rotation {run.id}: step {run.step}: {entry.reason}"

        def rule(found: State) -> State:
            if isinstance(error, WrittenMeanwhileError):
                return machine.stick(found, run.path, work.hold, error.detail)
            return machine.fail(found, run.path, work.hold, error.detail, when, self._clock.now())

        with suppress(TradewardenError):  # somebody else has it, or its lease ends by itself
            await self.change(run.path, rule, entry, reason)

    async def let_go(self, path: str, holder: str, entry: Entry) -> None:
        """Let a run go that its caller went away from, wherever that was: also while it was being taken."""

        def rule(found: State) -> State:
            return machine.release(found, path, holder, self._clock.now())

        with suppress(TradewardenError):  # it had ended, or was never taken
            await asyncio.shield(self.change(path, rule, entry, "rotation let go: its caller went away"))


def _after_promotion(run: RunRow, error: TradewardenError) -> TradewardenError:
    """Return the error of a last step, which says that the new value is current already."""
    family = UnavailableError if isinstance(error, UnavailableError) else RotationFailedError
    if isinstance(error, ConflictError):
        return error
    told = f"Secret '{run.path}' has its new value already, version {run.version}; the old one was not ended yet"
    return family(f"{told}: {error.detail}", reason=error.reason)


def timing(row: PolicyRow) -> Timing:
    """Return when a policy asks for a rotation."""
    return timing_of(row.every_seconds, row.schedule, row.created_at)


def _run(state: State) -> RunRow:
    assert state.run is not None  # noqa: S101  (for the type checker: a taken run is there)
    return state.run


def _policy(state: State) -> PolicyRow:
    assert state.policy is not None  # noqa: S101  (for the type checker: a run has a policy)
    return state.policy

"""The rotation of secrets: policies, what is due, running, resuming, abandoning.

Every method takes the grant first, checks it first, and says why not. Values are in no answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tradewarden.access.grant import authorize
from tradewarden.access.permission import Permission, PermissionSet
from tradewarden.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    PermissionDeniedError,
    RotationFailedError,
    SecretNotFoundError,
)
from tradewarden.secrets.listing import MAX_PAGE, visible_parts
from tradewarden.secrets.path import path_prefix, secret_path
from tradewarden.secrets.rotation import machine, policy
from tradewarden.secrets.rotation.commands import Abandoned, Policy, Rotated, Rotation, RotationPage, RunRotation
from tradewarden.secrets.rotation.engine import Engine, Work
from tradewarden.secrets.rotation.machine import Step, Taking
from tradewarden.secrets.rotation.reading import Reader, Versions, same, step_entry, versions_of
from tradewarden.secrets.rotation.sealed import PENDING, SUPPLIED, Sealed
from tradewarden.secrets.rotation.shown import policy_shown, shown
from tradewarden.secrets.rotation.store import PolicyRow, RunRow, State
from tradewarden.secrets.rotation.tending import Tending
from tradewarden.secrets.value import parse_object, raw_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableSequence, Sequence

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.keys.port import Keys
    from tradewarden.secrets.rotation.commands import ListRotations, SetPolicy
    from tradewarden.secrets.rotation.policy import Timing
    from tradewarden.secrets.rotation.reading import SecretsRoom
    from tradewarden.secrets.rotation.rotator import Rotator
    from tradewarden.secrets.rotation.store import RotationStore

ROTATE: Final = "secrets:rotate"
_ID_BYTES: Final = 16
_encode = msgspec.json.Encoder(order="sorted").encode
_decode_names = msgspec.json.Decoder(tuple[str, ...]).decode


class Rule(NamedTuple):
    """How a run is taken, and how its entry tells of that."""

    reason: str
    decide: Callable[[State], State]


class Rotations:
    """Rotation of secrets, by the rotators that there are."""

    def __init__(
        self,
        store: RotationStore,
        secrets: SecretsRoom,
        keys: Keys,
        rotators: Mapping[str, Rotator],
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._sealed = Sealed(keys)
        self._rotators = rotators
        self._clock = clock
        self._randomness = randomness
        self._engine = Engine(store, self._sealed, clock)
        self.tending = Tending(store, self._engine, self.run, (self._versions, self._renews_at), clock)

    async def set_policy(self, grant: Grant, command: SetPolicy, entry: Entry) -> Policy:
        """Write the policy of a secret, or write it anew; raises `InvalidInputError` naming what is wrong."""
        grant.require(ROTATE, command.path)
        path, rotator = secret_path(command.path), self._rotator(command.kind)
        policy.check_parameters(command.parameters)
        rotator.check(command.parameters)
        automatic = rotator.automatic if command.automatic is None else command.automatic
        if automatic and not rotator.automatic:
            raise InvalidInputError(f"Rotator '{rotator.kind}' needs a person each time; leave automatic out")
        now = self._clock.now()
        when = policy.timing_of(command.every_seconds, command.schedule, now)
        versions = await self._versions(grant, path)
        value = await self._require_fit(grant, command, when, versions, entry)
        renews_at = 0.0 if value is None else rotator.renews_at(value)
        fresh = PolicyRow(
            path,
            rotator.kind,
            _encode(command.parameters).decode(),
            command.every_seconds,
            command.schedule,
            int(automatic),
            _encode(grant.permissions.narrowed([Permission("secrets:read")])).decode(),
            now,
            str(grant.principal),
        )

        def rule(found: State) -> State:
            before = found.policy
            at = policy.due(when, versions.created_at, before.last_at if before else 0.0, renews_at)
            moment = 0.0 if at is None else at.opens
            next_at = moment if automatic else 0.0
            return machine.rewrite(found, msgspec.structs.replace(fresh, due_at=moment, next_at=next_at))

        after = await self._engine.change(path, rule, entry)
        return policy_shown(machine.standing(after, path))

    async def _require_fit(
        self, grant: Grant, command: SetPolicy, when: Timing, versions: Versions, entry: Entry
    ) -> dict[str, object] | None:
        """Raise `InvalidInputError` for a policy that could only fail later; return the value in use (None: none)."""
        path, rotator = command.path, self._rotator(command.kind)
        if versions.current and versions.kept == 1:
            raise InvalidInputError(_ONE_VERSION.format(path=path))
        for name in rotator.needs(command.parameters):
            await self._require_readable(grant, name)
        reader = Reader(self._secrets, grant.principal, path, (), entry)
        value = await reader.value(versions.current) if versions.current and not versions.gone else None
        rotator.suits(command.parameters, value, policy.longest(when))
        return value

    async def _require_readable(self, grant: Grant, name: str) -> None:
        try:
            reading = authorize(grant.principal, grant.permissions, "secrets:read", name, grant.credential)
        except PermissionDeniedError as error:
            raise InvalidInputError(
                f"This policy has secret '{name}' read, which whoever writes it must be able to read",
                reason=f"{error.reason} (needed by a rotation policy)",
            ) from error
        found = await versions_of(self._secrets, reading, name)
        if not found.current or found.gone:
            raise InvalidInputError(f"This policy has secret '{name}' read, which is not there; write it first")

    async def _renews_at(self, grant: Grant, row: PolicyRow, versions: Versions) -> float:
        """Return when the value in use has to be replaced because it ends by itself; 0: never."""
        rotator = self._rotators.get(row.kind)
        if rotator is None or not rotator.ends or versions.gone or not versions.current:
            return 0.0
        own = authorize(grant.principal, PermissionSet((f"secrets:read:{row.path}",)), "secrets:read", row.path)
        try:
            return rotator.renews_at((await self._secrets.get(own, row.path)).value())
        except SecretNotFoundError:
            return 0.0

    async def written_by(self, grant: Grant, author: str) -> Sequence[str]:
        """Return the paths of all policies that somebody (`service:bot`) wrote."""
        grant.require(ROTATE, grant.resource)
        found, after = [], ""
        while states := await self._store.page("", after, MAX_PAGE):
            rows = {each.policy.path: each for each in states if each.policy is not None}
            found += [path for path, state in rows.items() if self._written_by(state, path, author)]
            after = max(rows)
        return found

    def _written_by(self, state: State, path: str, author: str) -> bool:
        """Tell whether somebody wrote a policy, or may have: who wrote one that does not verify is not known."""
        try:
            row = self._sealed.checked(state, path).policy
        except IntegrityError:
            return True
        return row is not None and row.created_by == author

    async def remove_policy(self, grant: Grant, path: str, entry: Entry) -> None:
        """Remove a policy; the secret stays. Raises `NotFoundError`, `ConflictError` while a rotation is under way."""
        grant.require(ROTATE, path)
        await self._engine.change(secret_path(path), lambda found: machine.remove(found, path), entry)

    async def list(self, grant: Grant, command: ListRotations) -> RotationPage:
        """Return one page of policies in the order of their paths, those that the grant may rotate."""
        grant.require(ROTATE, grant.resource)
        if not 1 <= command.limit <= MAX_PAGE:
            raise InvalidInputError(f"limit must be 1 to {MAX_PAGE}")
        path_prefix(command.prefix)
        states = await self._page(grant, command)
        following = states[-1].policy if len(states) == command.limit else None
        described = [await self._described(grant, state) for state in states]
        found = [
            each for state, each in zip(states, described, strict=True) if not command.due or self._asks(state, each)
        ]
        return RotationPage(tuple(found), None if following is None else following.path)

    def _asks(self, state: State, found: Rotation) -> bool:
        """Tell whether a secret is due, its rotation stopped or waits for a person, or its new value was replaced."""
        rotator = self._rotators.get(found.policy.kind)
        waits = found.state == "waiting" and rotator is not None and not rotator.automatic
        run = state.run
        replaced = found.state == "waiting" and run is not None and found.current_version != run.version
        return found.due or found.state == "stopped" or waits or replaced

    async def _page(self, grant: Grant, command: ListRotations) -> Sequence[State]:
        states: MutableSequence[State] = []
        for part in visible_parts(grant, command.prefix):
            left = command.limit - len(states)
            found = await self._store.page(part.text, command.after, 1 if part.whole else left) if left else []
            for state in found:
                path = "" if state.policy is None else state.policy.path
                if grant.sees(path) and (not part.whole or path == part.text):
                    states.append(self._sealed.checked(state, path))
        return states

    async def _described(self, grant: Grant, state: State) -> Rotation:
        row = machine.standing(state, "")
        versions = await self._versions(grant, row.path)
        renews_at = await self._renews_at(grant, row, versions)
        return shown(state, versions, self._rotators.get(row.kind), self._clock.now(), renews_at)

    async def run(self, grant: Grant, command: RunRotation, entry: Entry) -> Rotated:
        """Rotate a secret now, or go on with its rotation under way, to the end.

        Raises `NotFoundError` without a policy, `InvalidInputError` for a guided rotation without what it needs,
        `ConflictError` while another process works on it, `RotationFailedError` for what an operator must look at,
        `UnavailableError` for what can be tried again; the rotation then waits at its step.
        """
        grant.require(ROTATE, command.path)
        path = secret_path(command.path)
        state = await self._engine.state(path)
        row = machine.standing(state, path)
        rotator = self._rotator(row.kind if state.run is None else state.run.kind)
        reader = Reader(self._secrets, grant.principal, path, _decode_names(row.reads), entry)
        overtaken = state.run if await self._overtakes(state, rotator, reader, command) else None
        resumed = state.run is not None and overtaken is None
        if not (resumed or rotator.automatic) and command.supplied is None:
            raise InvalidInputError(
                f"Secret '{path}' is rotated by hand-over ('{rotator.kind}'): supply its new values"
            )
        holder = self._randomness(_ID_BYTES).hex()
        try:
            if state.run is None or overtaken is not None:
                reason, rule = await self._begin(row, reader, command, holder, overtaken)
            else:
                reason, rule = await self._resume(state.run, command, holder)
            taken = await self._engine.change(path, rule, step_entry(entry), reason)
            work = Work(machine.hold_of(taken), rotator, reader, entry, resumed)
            return await self._engine.carry_out(taken, work)
        except asyncio.CancelledError:
            await self._engine.let_go(path, holder, step_entry(entry))
            raise

    async def _overtakes(self, state: State, rotator: Rotator, reader: Reader, command: RunRotation) -> bool:
        """Tell whether a new rotation begins in the place of one whose last step waits.

        Not when somebody gave the secret another value meanwhile: then the last step has to look at that first.
        """
        run, row = state.run, state.policy
        if run is None or row is None or command.resume or not rotator.overtakes or not machine.waits(state):
            return False
        return row.kind == run.kind and (await reader.versions()).current == run.version

    async def _begin(
        self, row: PolicyRow, reader: Reader, command: RunRotation, holder: str, overtaken: RunRow | None = None
    ) -> Rule:
        versions = await reader.versions()
        _require_rotatable(command.path, versions)
        now = self._clock.now()
        fresh = RunRow(
            command.path,
            self._randomness(_ID_BYTES).hex(),
            row.kind,
            row.parameters,
            Step.CREATE.value,
            versions.current,
            0,
            b"",
            b"",
            now,
            str(reader.principal),
            int(command.urgent),
            holder,
            1,
            0.0,
        )
        fresh = msgspec.structs.replace(fresh, supplied=await self._supplied(fresh, command))

        def rule(found: State) -> State:
            if overtaken is None:
                return machine.begin(found, fresh, now)
            return machine.overtake(found, overtaken, fresh, now)

        more = f" in the place of {overtaken.id}, whose end waited" if overtaken is not None else ""
        return Rule(f"rotation {fresh.id}: begun at version {fresh.base}{more}", rule)

    async def _resume(self, run: RunRow, command: RunRotation, holder: str) -> Rule:
        taking = Taking(holder, await self._supplied(run, command), command.urgent)

        def rule(found: State) -> State:
            if found.run is None or found.run.id != run.id:
                raise ConflictError(f"The rotation of secret '{command.path}' has ended meanwhile")
            return machine.take(found, command.path, taking, self._clock.now())

        return Rule(f"rotation {run.id}: resumed before {run.step}", rule)

    async def _supplied(self, run: RunRow, command: RunRotation) -> bytes:
        if command.supplied is None:
            return b""
        return await self._sealed.encrypt(
            run, SUPPLIED, parse_object(bytes(raw_object(command.supplied)), name="supplied")
        )

    async def abandon(self, grant: Grant, path: str, entry: Entry) -> Abandoned:
        """Give up the rotation under way; the current version stays. Raises `NotFoundError`, `ConflictError`.

        The answer says what may be left at the other side. A rotation whose new value is current already is not given
        up before its last step.
        """
        grant.require(ROTATE, path)
        state = await self._engine.state(secret_path(path))
        versions = await self._versions(grant, path)
        if state.run is not None and state.run.step == Step.PROMOTE:
            await self._require_not_promoted(grant, state.run, versions, entry)
        before = state.run

        def rule(found: State) -> State:
            if before is None or found.run is None or found.run != before:
                machine.abandon(found, path, self._clock.now())  # says why it cannot be
                raise ConflictError(f"The rotation of secret '{path}' went on meanwhile; look again")
            return machine.abandon(found, path, self._clock.now())

        step = "" if before is None else before.step
        await self._engine.change(path, rule, entry, f"rotation abandoned before {step}")
        advice = _ADVICE[Step(step)]
        if before is not None and before.step != Step.FINISH and versions.current != before.base:
            advice = (
                f"Somebody else wrote version {versions.current} meanwhile, which is current; see by yourself that the "
                "other side takes it: it may take the one before it, or the new value of this rotation, instead."
            )
        return Abandoned(path, step, versions.current or None, advice)

    async def _require_not_promoted(self, grant: Grant, run: RunRow, versions: Versions, entry: Entry) -> None:
        reader = Reader(self._secrets, grant.principal, run.path, (), entry)
        if versions.current != run.base and same(self._sealed.open(run, PENDING), await reader.value(versions.current)):
            raise ConflictError(
                f"The new value of secret '{run.path}' is current already (version {versions.current}); resume its "
                "rotation instead"
            )

    def _rotator(self, kind: str) -> Rotator:
        found = self._rotators.get(kind)
        if found is None:
            known = ", ".join(sorted(self._rotators)) or "none"
            raise InvalidInputError(f"There is no rotator {kind[:40]!r}; there are {known}")
        return found

    async def way(self, path: str) -> str:
        """Return why a secret cannot be rotated without a person, in words; empty when it can be."""
        state = await self._engine.state(path)
        if state.policy is None:
            return "it has no rotation policy"
        kind = state.policy.kind if state.run is None else state.run.kind
        rotator = self._rotators.get(kind)
        if rotator is None:
            return f"this service has no rotator '{kind}'"
        return "" if rotator.automatic else f"'{kind}' is rotated by hand-over: get a new value, then supply it"

    async def _versions(self, grant: Grant, path: str) -> Versions:
        own = authorize(grant.principal, PermissionSet((f"secrets:read:{path}",)), "secrets:read", path)
        return await versions_of(self._secrets, own, path)


_ONE_VERSION: Final = (
    "Secret '{path}' keeps one version only, and a rotation needs the one before it; let it keep two or more"
)
_STILL_GOOD: Final = "The other side may know the new value already; the current one is still good."
_ADVICE: Final = {
    Step.CREATE: "Nothing was changed anywhere.",
    Step.SET: _STILL_GOOD,
    Step.TEST: _STILL_GOOD,
    Step.PROMOTE: _STILL_GOOD,
    Step.FINISH: "The new value is current; what the one before it could do may not have been ended: see to that.",
}


def _require_rotatable(path: str, versions: Versions) -> None:
    if versions.current and versions.gone:
        raise RotationFailedError(
            f"The current version of secret '{path}' is deleted; undelete it or write a new one, then rotate it"
        )
    if versions.current and versions.kept == 1:
        raise RotationFailedError(_ONE_VERSION.format(path=path))

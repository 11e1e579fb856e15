"""What is rotated without a person: secrets that are due, and rotations that stopped; and those that are overdue.

Always true here: the secret itself is looked at before a rotation begins, so one that somebody has just written waits;
a path that cannot even be looked at keeps no other back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tradewarden.errors import TradewardenError
from tradewarden.secrets.rotation import machine, policy
from tradewarden.secrets.rotation.commands import RunRotation
from tradewarden.secrets.rotation.engine import timing
from tradewarden.secrets.rotation.store import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock
    from tradewarden.secrets.rotation.commands import Rotated
    from tradewarden.secrets.rotation.engine import Engine
    from tradewarden.secrets.rotation.reading import Versions
    from tradewarden.secrets.rotation.store import PolicyRow, RotationStore

    Run = Callable[[Grant, RunRotation, Entry], Awaitable[Rotated]]
    VersionsOf = Callable[[Grant, str], Awaitable[Versions]]
    RenewsAt = Callable[[Grant, PolicyRow, Versions], Awaitable[float]]

AT_ONCE: Final = 8
_MOST_OVERDUE: Final = 1000


class Tending:
    """Looks after what is automatic.

    `run` rotates one secret; `looks` tell of its versions, and when its value has to be replaced because it ends.
    """

    def __init__(
        self, store: RotationStore, engine: Engine, run: Run, looks: tuple[VersionsOf, RenewsAt], clock: Clock
    ) -> None:
        self._store = store
        self._engine = engine
        self._run = run
        self._versions, self._renews_at = looks
        self._clock = clock
        self._rest: dict[str, float] = {}
        self.late = 0
        """How many secrets were overdue at the last look of `overdue`."""

    async def tend(self, act: Callable[[str], tuple[Grant, Entry]]) -> tuple[str, ...]:
        """Rotate what is due by itself now, and go on with what stopped; return what did not work, in words.

        `act` gives the grant and the entry under which this process rotates a path.
        """
        now = self._clock.now()
        self._rest = {path: until for path, until in self._rest.items() if until > now}
        waiting = await self._store.waiting(now, AT_ONCE + len(self._rest))
        paths = [path for path in waiting if path not in self._rest][:AT_ONCE]
        outcomes = await asyncio.gather(*(self._tend_one(path, *act(path)) for path in paths))
        self._rest |= {path: now + policy.FIRST_DELAY for path, why in zip(paths, outcomes, strict=True) if why}
        return tuple(filter(None, outcomes))

    async def _tend_one(self, path: str, grant: Grant, entry: Entry) -> str:
        try:
            state = await self._engine.state(path)
            if state.run is not None and machine.running(state.run, self._clock.now()):
                return ""
            if state.run is None and not await self._is_due(grant, state, path, entry):
                return ""
            async with entry:
                await self._run(grant, RunRotation(path, resume=state.run is not None), entry)
        except TradewardenError as error:
            return f"{path}: {error.detail}"
        return ""

    async def _is_due(self, grant: Grant, state: State, path: str, entry: Entry) -> bool:
        """Tell whether a rotation is to begin now; when not, note when to look again."""
        row, now = machine.standing(state, path), self._clock.now()
        versions = await self._versions(grant, path)
        renews_at = await self._renews_at(grant, row, versions)
        found = policy.due(timing(row), versions.created_at, row.last_at, renews_at)
        moment = again = 0.0
        if found is not None and versions.gone:
            again = now + machine.REST_SECONDS  # it may be undeleted
        elif found is not None:
            moment, again = found.opens, policy.opens(timing(row), found, now)
            if found.at <= now and again <= now and row.automatic:
                return True

        def rule(standing: State) -> State:
            row = machine.standing(standing, path)
            return State(replace(row, due_at=moment, next_at=again if row.automatic else 0.0), standing.run)

        await self._engine.change(path, rule, entry, "rotation is not due yet; looked at again later")
        return False

    async def overdue(self) -> Sequence[str]:
        """Return the paths of secrets that should have been rotated by themselves over an hour ago."""
        found = await self._store.overdue(self._clock.now() - policy.OVERDUE_SECONDS, _MOST_OVERDUE)
        self.late = len(found)
        return found

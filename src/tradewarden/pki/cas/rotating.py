"""Carries out what `pki.cas.rotation` plans: stage files, commit rows with their audit entry, move files in place.

One process of a host at a time, and only over the rows that it planned with: a plan over old rows is a `ConflictError`
and leaves nothing that counts.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from tradewarden.pki.cas.making import CaMaker, certificate_name
from tradewarden.pki.cas.rotation import Plan, Planner
from tradewarden.pki.store import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.pki.cas.authorities import Authorities
    from tradewarden.pki.cas.custody import Custody


class What(StrEnum):
    """Which CA to rotate."""

    ISSUING = "issuing"
    ROOT = "root"


class Rotation:
    """Rotates the CAs of one installation, when asked or when it is time; a rotation that has begun ends."""

    def __init__(self, custody: Custody, clock: Clock, randomness: Randomness) -> None:
        self._custody = custody
        self._clock = clock
        self._randomness = randomness
        self._work: set[asyncio.Task[Authorities]] = set()

    async def rotate(self, what: What, entry: Entry, *, compromised: bool = False) -> Authorities:
        """Rotate now and return the CAs as they stand then; raises `ConflictError` saying what is in the way."""
        if what is What.ISSUING:
            return await self._keep(self._carry_out(lambda planner: planner.issuing(compromised=compromised), entry))
        return await self._keep(self._carry_out(Planner.compromised_root if compromised else Planner.root, entry))

    async def finish(self, entry: Entry) -> Authorities:
        """End the overlap of two roots; raises `ConflictError` when there is none."""
        return await self._keep(self._carry_out(Planner.finish, entry))

    async def look(self, known: Authorities) -> Authorities:
        """Return the CAs as they stand, because another process changed them."""
        return await self._keep(self._look(known))

    async def tend(self, known: Authorities, entry: Callable[[str], Entry]) -> Authorities | None:
        """Do what is due: end an overlap of roots, issue below a new one, rotate an ageing CA, prepare the next.

        `entry` makes the audit entry of what is done to the CA it is given. Nothing is done twice when several
        processes tend: each looks anew once it has the lock. None: nothing was due.
        """
        overlap = self._custody.policy.overlap_seconds
        duties: list[tuple[What, Callable[[Planner], bool], Callable[[Planner], Plan | None]]] = [
            (What.ROOT, lambda planner: planner.overlap_is_over(overlap), Planner.finish),
            (What.ISSUING, Planner.root_is_known, Planner.below_new_root),
            (What.ISSUING, Planner.due, lambda planner: planner.issuing(compromised=False)),
            (What.ISSUING, Planner.lacks_next, Planner.prepare),
        ]
        done = None
        for what, is_due, plan in duties:
            if await asyncio.to_thread(is_due, self._planner(done or known)):
                done = await self._keep(self._carry_out(partial(_when, is_due, plan), entry(what)))
        return done

    async def close(self) -> None:
        """Wait for rotations under way."""
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _look(self, known: Authorities) -> Authorities:
        async with self._custody.files.locked():
            return await self._custody.load(strict=False, held=known.keys)

    async def _carry_out(self, look: Callable[[Planner], Plan | None], entry: Entry) -> Authorities:
        custody = self._custody
        async with custody.files.locked():
            known = await custody.load(strict=False)
            plan = await asyncio.to_thread(look, self._planner(known))
            if plan is None:
                return known
            await asyncio.to_thread(self._stage, plan)
            rows = [custody.sealer.seal(row) for row in (*plan.changed, *(ca.row for ca in plan.made))]
            digests = [sha256(row.seal).hexdigest() for row in rows]
            await custody.store.change_authorities(known.rows, rows, entry.draft(*digests))
            entry.commit()
            return await custody.load(strict=False, held=known.keys)

    def _planner(self, known: Authorities) -> Planner:
        now = self._clock.now()
        maker = CaMaker(self._custody.keys, self._custody.policy.algorithm, now, self._randomness)
        return Planner(known, self._custody, maker, now)

    def _stage(self, plan: Plan) -> None:
        for ca in plan.made:
            if ca.row.role is not Role.CROSS:
                self._custody.files.stage(certificate_name(ca.row), ca.certificate)

    async def _keep(self, work: Coroutine[None, None, Authorities]) -> Authorities:
        """Let work go on to its end, whatever becomes of the request that began it."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return await asyncio.shield(task)


def _when(is_due: Callable[[Planner], bool], plan: Callable[[Planner], Plan | None], planner: Planner) -> Plan | None:
    return plan(planner) if is_due(planner) else None

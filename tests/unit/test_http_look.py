"""One look at the revisions for all requests of a turn, and none that is older than its request."""

from __future__ import annotations

import asyncio

from tradewarden.http.look import Look
from tradewarden.storage.database import Revisions


async def test_requests_of_one_turn_share_a_look() -> None:
    """Tasks that were ready together look once; a task that is made afterwards looks anew, even in the same turn."""
    looks = 0

    async def revisions() -> Revisions:
        nonlocal looks
        looks += 1
        return Revisions(tokens=looks)

    look = Look(revisions)
    later: list[asyncio.Task[Revisions]] = []

    async def request() -> Revisions:
        found = await look.revisions()
        if not later:
            later.append(asyncio.create_task(look.revisions()))
        return found

    first = await asyncio.gather(*[request() for _ in range(5)])
    assert {each.tokens for each in first} == {1}
    assert (await later[0]).tokens == 2


async def test_a_look_that_waited_is_not_shared() -> None:
    """A look that took longer than its turn may be older than the next request, which then looks for itself."""
    gates = [asyncio.Event(), asyncio.Event()]
    begun = 0

    async def revisions() -> Revisions:
        nonlocal begun
        number, begun = begun, begun + 1
        await gates[number].wait()
        return Revisions(tokens=number)

    look = Look(revisions)
    first = asyncio.create_task(look.revisions())
    await asyncio.sleep(0)
    gates[0].set()
    await first
    second = asyncio.create_task(look.revisions())
    await asyncio.sleep(0)
    assert begun == 2
    gates[1].set()
    assert (await second).tokens == 1

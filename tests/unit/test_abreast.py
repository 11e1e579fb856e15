"""`abreast`: requests that arrived together take a step together."""

from __future__ import annotations

import asyncio

from tradewarden.abreast import abreast


async def test_tasks_of_one_turn_wait_for_each_other_at_each_step() -> None:
    """Every task has taken a step before any takes the next, in the order in which they came."""
    taken: list[str] = []

    async def request(name: str) -> None:
        for step in "12":
            taken.append(name + step)
            await abreast()
        taken.append(f"{name}3")

    await asyncio.gather(*map(request, "abc"))
    assert taken == [name + step for step in "123" for name in "abc"]

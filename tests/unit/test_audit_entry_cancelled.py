"""The entry of a request that is cut off while the change that it asked for is still under way."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec
import pytest

from tests.support.audit import TestClock
from tests.support.secrets import Journal
from tradewarden.audit.entry import Auditor, Entry, EventType, Origin, Result
from tradewarden.errors import InvalidInputError


def opened(journal: Journal) -> Entry:
    """Return an entry of a request."""
    return Auditor(journal, TestClock()).entry(EventType.SECRET_ACCESS, "write", Origin(request_id="r-1"))


async def test_a_change_that_outlives_its_request_tells_of_itself() -> None:
    """The request's end is recorded as a failure; the change that commits after it drafts a success."""
    journal, may_commit = Journal(), asyncio.Event()
    entry = opened(journal)
    drafts: list[bytes] = []

    async def change() -> None:
        await may_commit.wait()
        drafts.append(entry.draft("ab" * 32))
        entry.commit()

    async def request() -> None:
        async with entry:
            await asyncio.shield(under_way)

    under_way = asyncio.create_task(change())
    task = asyncio.create_task(request())
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    may_commit.set()
    await under_way
    (recorded,) = map(msgspec.json.decode, journal.events)
    assert (recorded["result"], recorded["reason"], "rows" in recorded) == (Result.FAILURE, "CancelledError", False)
    (written,) = map(msgspec.json.decode, drafts)
    assert written["result"] == Result.SUCCESS
    assert "reason" not in written
    assert written["rows"] == ["ab" * 32]


async def test_an_entry_is_as_it_was_after_its_action_failed() -> None:
    """Whatever raised: only the line in the journal tells of it."""
    journal = Journal()
    entry = opened(journal)
    with pytest.raises(InvalidInputError):
        async with entry:
            raise InvalidInputError("no such thing")
    assert (entry.result, entry.reason) == (Result.SUCCESS, "")
    assert msgspec.json.decode(journal.events[0])["result"] == Result.FAILURE

"""One loop in one thread for callers that cannot await, and Tradewarden in process behind it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tradewarden.errors import (
    FeatureDisabledError,
    PermissionDeniedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
    StorageUnavailableError,
    TradewardenError,
)
from tradewarden.secrets.providers.local import LocalProvider, StoredSecrets
from tradewarden.secrets.providers.portal import Portal


async def where() -> tuple[int, asyncio.AbstractEventLoop]:
    """Return this thread and this loop."""
    return threading.get_ident(), asyncio.get_running_loop()


def test_every_call_is_made_in_one_loop_of_one_thread() -> None:
    """Whoever asks, from whatever thread; so what belongs to a loop survives the call."""
    portal = Portal()
    seen = {portal.run(where())}
    asker = threading.Thread(target=lambda: seen.add(portal.run(where())))
    asker.start()
    asker.join()
    portal.close()
    portal.close()
    assert len(seen) == 1
    assert next(iter(seen))[0] != threading.get_ident()
    assert next(iter(seen))[1].is_closed()


def test_what_is_opened_is_closed_by_the_task_that_opened_it() -> None:
    """Once, the last first, when it is left or the portal closes."""
    portal = Portal()
    log: list[tuple[str, object]] = []

    @asynccontextmanager
    async def opened(name: str) -> AsyncIterator[str]:
        task = asyncio.current_task()
        yield name
        log.append((name, asyncio.current_task() is task))

    first, second = portal.enter(opened("first")), portal.enter(opened("second"))
    third = portal.enter(opened("third"))
    assert (first.value, second.value, third.value) == ("first", "second", "third")
    second.leave()
    second.leave()
    portal.close()
    assert log == [("second", True), ("third", True), ("first", True)]


def test_what_cannot_be_opened_says_why() -> None:
    """The failure reaches the caller, and the portal goes on."""
    portal = Portal()

    @asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        for error in (StorageUnavailableError("no disk"),):
            raise error
        yield

    with pytest.raises(StorageUnavailableError, match="no disk"):
        portal.enter(broken())
    assert portal.run(where())
    portal.close()


def test_a_call_has_an_end() -> None:
    """What hangs is given up and cancelled; a failure of its own is no time-out."""
    portal = Portal(seconds=0.05)
    ended = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def late() -> None:
        raise TimeoutError("its own")

    with pytest.raises(ProviderUnavailableError, match=r"0\.05 seconds"):
        portal.run(hang())
    assert ended.wait(5)
    with pytest.raises(TimeoutError, match="its own"):
        portal.run(late())
    portal.close()


def test_a_portal_does_not_wait_for_itself() -> None:
    """A call from inside would never return; it is refused."""
    portal = Portal()

    async def inside() -> None:
        portal.run(where())

    with pytest.raises(RuntimeError, match="from inside"):
        portal.run(inside())
    portal.close()


def test_a_portal_does_not_survive_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the child its thread is not there."""
    portal = Portal()
    portal.run(where())
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(ProviderUnavailableError, match="fork"):
        portal.run(where())
    portal.close()
    monkeypatch.undo()
    portal.close()


class Refusing:
    """Secrets that answer with an error."""

    def __init__(self, error: TradewardenError) -> None:
        self.error = error

    async def get(self, path: str, version: int | None = None) -> None:
        """Fail."""
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PermissionDeniedError("missing secrets:read"), ProviderRefusedError),
        (StorageUnavailableError("the disk is full"), ProviderUnavailableError),
        (FeatureDisabledError("off"), ProviderUnavailableError),
        (SecretNotFoundError("key"), SecretNotFoundError),
    ],
)
def test_the_rooms_errors_are_told_as_a_providers(error: TradewardenError, kind: type[TradewardenError]) -> None:
    """Not found, not allowed and not reachable, with the reason kept; what was opened is closed with the provider."""
    closed: list[bool] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[StoredSecrets]:
        yield Refusing(error)  # type: ignore[misc]
        closed.append(True)

    provider = LocalProvider(opened)
    with pytest.raises(kind) as raised:
        provider.get("key")
    assert type(raised.value) is kind
    assert raised.value.reason == error.reason
    provider.close()
    assert closed == [True]

"""The chain's face for async callers: `chain.aio`. Any event loop, any number of them, beside sync callers.

Always true here: a cached answer is given without suspending; the loop never waits for a provider, a file or a lock
that is held for long; cancelling one who waits leaves the reading to the others.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self, TypeVar

from tradewarden.errors import SecretNotFoundError, TradewardenError
from tradewarden.secrets.chain.decision import fresh
from tradewarden.secrets.chain.flight import Flight

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable
    from types import TracebackType

    from tradewarden.secrets.chain.answer import Answer
    from tradewarden.secrets.chain.chain import Chain
    from tradewarden.secrets.chain.changes import Changes
    from tradewarden.secrets.chain.readings import Readings
    from tradewarden.secrets.providers.provider import Content

T = TypeVar("T")


class AsyncChain:
    """As `Chain`, with `await`; the same errors."""

    def __init__(self, chain: Chain, readings: Readings, changes: Changes) -> None:
        self._chain = chain
        self._readings = readings
        self._changes = changes

    async def get(self, name: str) -> Answer:
        """Return a secret, from what is kept or from the first provider that has it."""
        return self._readings.cache.hot(name) or await _landed(self._readings.begin((name,))[name])

    async def get_many(self, names: Iterable[str]) -> dict[str, Answer]:
        """Return those of `names` that exist, asking each provider once; any error but *not found* is raised."""
        found: dict[str, Answer] = {}
        for name, landing in self._readings.begin(names).items():
            try:
                found[name] = await _landed(landing)
            except SecretNotFoundError:
                continue
        return found

    async def names(self, prefix: str = "") -> list[str]:
        """Return every name that any provider has and that starts with `prefix`, sorted."""
        return await self._do(lambda: self._changes.names(prefix))

    async def put(self, name: str, content: Content) -> str:
        """Write a secret to the first provider; returns the version. It is written even when the caller is gone."""
        return await self._do(lambda: self._changes.put(name, content))

    async def delete(self, name: str) -> None:
        """Delete a secret at the first provider only."""
        await self._do(lambda: self._changes.delete(name))

    async def _do(self, work: Callable[[], T]) -> T:
        errand = self._readings.employ(work)
        await _wait(lambda call: errand.add_done_callback(lambda _: call()))
        return errand.result()

    async def watch(self, name: str) -> AsyncGenerator[Answer, None]:
        """Yield the current value, then every changed one; raises `SecretNotFoundError` when it is or gets lost.

        It ends when the chain is closed. Who is slow gets the newest and misses those between. Leave by `break`, or
        close it (`contextlib.aclosing`).
        """
        news = _News(name)
        with self._chain.subscribe(name, news.tell, gone=news.tell_gone) as subscription:
            subscription.on_end = news.tell_end
            known = await self.get(name)
            yield known
            async for newest in news:
                if not newest.same(known):
                    known = newest
                    yield known

    async def close(self) -> None:
        """Close the chain, without holding up the loop."""
        await asyncio.to_thread(self._chain.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _News:
    """The newest that a watcher was told, handed over to its event loop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()
        self._newest: Answer | None = None
        self._ended = False

    def tell(self, answer: Answer) -> None:
        """Take a changed value; any thread."""
        self._hand_over(answer)

    def tell_gone(self) -> None:
        """Take note that it is gone; any thread."""
        self._hand_over(None)

    def tell_end(self) -> None:
        """Take note that nothing more will come; any thread."""
        self._ended = True
        _call_in(self._loop, self._told.set)

    def _hand_over(self, newest: Answer | None) -> None:
        _call_in(self._loop, lambda: self._set(newest))

    def _set(self, newest: Answer | None) -> None:
        self._newest = newest
        self._told.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Answer:
        await self._told.wait()
        if self._ended:
            raise StopAsyncIteration
        self._told.clear()
        if self._newest is None:
            raise SecretNotFoundError(self._name)
        return self._newest


async def _landed(landing: Answer | TradewardenError | Flight) -> Answer:
    if isinstance(landing, Flight):
        await _wait(landing.on_landing)
        return landing.wait()
    if isinstance(landing, TradewardenError):
        raise fresh(landing)
    return landing


async def _wait(register: Callable[[Callable[[], None]], None]) -> None:
    """Suspend until what `register` was given is called, in whatever thread."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not waiter.done():
            waiter.set_result(None)

    register(lambda: _call_in(loop, settle))
    await waiter


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        return  # the loop has ended, and with it whoever waited there

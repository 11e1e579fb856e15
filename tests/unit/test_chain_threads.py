"""The chain under real threads and event loops: one call for many, nobody cancels another, nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.chain import HandClock, Notes, ToldProvider, broken, unreachable
from tradewarden.errors import DecryptionError, SecretNotFoundError, UnavailableError
from tradewarden.secrets.chain.access import Action
from tradewarden.secrets.chain.chain import Chain
from tradewarden.secrets.chain.policy import ChainPolicy
from tradewarden.secrets.chain.threads import ChainThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tradewarden.secrets.chain.answer import Answer

NAME = "binance_credentials"


def mine() -> list[str]:
    """Return the names of the chain's living threads."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tradewarden-chain")]


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds that another thread brings about."""
    step = threading.Event()
    for _ in range(5000):
        if condition():
            return
        step.wait(0.002)
    raise AssertionError("it never came")


@pytest.fixture
def gated() -> Iterator[tuple[Chain, ToldProvider, threading.Event]]:
    """Yield a chain whose provider waits at a gate in every call."""
    provider = ToldProvider("vault", {NAME: {"api_key": "k"}})
    provider.gate = threading.Event()
    chain = Chain([provider], record=Notes())
    yield chain, provider, provider.gate
    provider.gate.set()
    chain.close()
    assert mine() == []


def test_one_call_for_many_threads_and_tasks(gated: tuple[Chain, ToldProvider, threading.Event]) -> None:
    """Sync callers and tasks of two event loops that want one name at a time make one provider call together."""
    chain, provider, gate = gated
    waiting = threading.Semaphore(0)
    got: list[Answer] = []

    def ask() -> None:
        waiting.release()
        got.append(chain.get(NAME))

    async def ask_many() -> None:
        tasks = [asyncio.create_task(chain.aio.get(NAME)) for _ in range(20)]
        await asyncio.sleep(0)
        waiting.release()
        got.extend(await asyncio.gather(*tasks))

    threads = [threading.Thread(target=ask) for _ in range(10)]
    threads += [threading.Thread(target=asyncio.run, args=(ask_many(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in threads:
        waiting.acquire()
    gate.set()
    for thread in threads:
        thread.join()
    chain.flush()
    assert isinstance(chain.record, Notes)
    assert len(chain.record.outcomes(NAME)) == len(got) == 50
    assert len({id(answer) for answer in got}) == 1
    assert provider.calls == [f"get {NAME}"]


async def test_cancelling_one_leaves_the_reading_to_the_others(
    gated: tuple[Chain, ToldProvider, threading.Event],
) -> None:
    """The one who started it goes; who waits with it gets the answer of the same call."""
    chain, provider, gate = gated
    first, second = (asyncio.create_task(chain.aio.get(NAME)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.set()
    assert (await second).content == {"api_key": "k"}
    assert provider.calls == [f"get {NAME}"]


def test_an_event_loop_that_ended_meanwhile_disturbs_nobody(
    gated: tuple[Chain, ToldProvider, threading.Event], caplog: pytest.LogCaptureFixture
) -> None:
    """A task waited there and its loop is gone: the reading ends, and is there for the next who asks."""
    chain, provider, gate = gated

    async def ask_and_leave() -> None:
        asyncio.create_task(chain.aio.get(NAME))  # noqa: RUF006 - left alone on purpose
        await asyncio.sleep(0)

    asyncio.run(ask_and_leave())
    gate.set()
    assert chain.get(NAME).content == {"api_key": "k"}
    assert provider.calls == [f"get {NAME}"]
    assert caplog.text == ""


async def test_a_cached_answer_comes_without_suspending() -> None:
    """No thread, no turn of the loop: the coroutine ends at its first step."""
    chain = Chain([ToldProvider("vault", {NAME: "x"})])
    await chain.aio.get(NAME)
    coroutine = chain.aio.get(NAME)
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    assert ended.value.value.content == "x"
    await chain.aio.close()
    assert mine() == []


async def test_the_async_face_does_all_that_the_sync_one_does() -> None:
    """Many, names, put, delete; the same errors."""
    async with Chain([ToldProvider("vault", {NAME: "x"})]).aio as chain:
        assert list(await chain.get_many([NAME, "missing"])) == [NAME]
        assert await chain.put("other", {"a": 1}) == "2"
        assert await chain.names() == [NAME, "other"]
        await chain.delete("other")
        with pytest.raises(SecretNotFoundError):
            await chain.get("other")
        with pytest.raises(SecretNotFoundError):
            await chain.delete("other")
    with pytest.raises(UnavailableError, match="closed"):
        await chain.get(NAME)


def test_everybody_gets_an_error_of_their_own() -> None:
    """Threads that share a failed reading do not share the exception: its traceback would grow and cross over."""
    provider = ToldProvider("vault")
    provider.failing, provider.gate = broken, threading.Event()
    errors: list[DecryptionError] = []

    def ask() -> None:
        try:
            chain.get(NAME)
        except DecryptionError as error:
            errors.append(error)

    notes = Notes()
    with Chain([provider], record=notes) as chain:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert provider.entered.wait(10)
        until(lambda: chain._readings._flights[NAME].joined == 3)
        provider.gate.set()
        for thread in threads:
            thread.join()
    assert len({id(error) for error in errors}) == 4
    assert {error.reason for error in errors} == {"tag mismatch"}
    assert notes.outcomes(NAME) == ["vault broken"] * 4


def test_every_cached_answer_is_counted_under_a_hammer() -> None:
    """Eight threads read, two forget: accesses recorded equal answers given, to the last one."""
    notes = Notes()
    chain = Chain([ToldProvider("vault", {NAME: "x"})], ChainPolicy(ttl_seconds=3600), record=notes)
    given = [0] * 8

    def read(number: int) -> None:
        for _ in range(3000):
            assert chain.get(NAME).content == "x"
            given[number] += 1

    def forget() -> None:
        for _ in range(50):
            chain.forget(NAME)
            chain.flush()

    with ThreadPoolExecutor(10) as pool:
        work = [pool.submit(read, number) for number in range(8)] + [pool.submit(forget) for _ in range(2)]
        for each in work:
            each.result()
    chain.close()
    assert len(notes.outcomes(NAME)) == sum(given) == 24_000
    assert mine() == []


class Race:
    """One who writes numbers that go up, and many who read meanwhile."""

    LAST = 400

    def __init__(self) -> None:
        self.notes = Notes()
        policy = ChainPolicy(ttl_seconds=0.002, retry_seconds=0.001, workers=3)
        self.chain = Chain([ToldProvider("vault", {NAME: {"n": 0}})], policy, record=self.notes)
        self.written = 0
        self.reads: dict[str, int] = {}

    def write(self) -> None:
        """Write every number."""
        for number in range(1, self.LAST + 1):
            self.chain.put(NAME, {"n": number})
            self.written = number

    def read(self, who: str) -> None:
        """Read until the end."""
        while self.written < self.LAST:
            least = self.written
            self.check(who, least, self.chain.get(NAME))
            self.check(who, least, self.chain.get_many([NAME])[NAME])

    async def read_async(self, who: str) -> None:
        """Read until the end, in an event loop."""
        while self.written < self.LAST:
            self.check(who, self.written, await self.chain.aio.get(NAME))
            await asyncio.sleep(0)

    def check(self, who: str, least: int, answer: Answer) -> None:
        """Hold an answer against what had been written when it was asked for."""
        self.reads[who] = self.reads.get(who, 0) + 1
        assert isinstance(answer.content, dict)
        assert int(str(answer.content["n"])) >= least

    def forget(self) -> None:
        """Disturb."""
        while self.written < self.LAST:
            self.chain.forget()
            self.chain.names()


def test_who_reads_after_a_write_gets_it_whatever_else_happens() -> None:
    """While threads and tasks read, list, forget and read ahead: nobody gets less than was written when they asked.

    And every one of these reads is in the record.
    """
    race = Race()
    with ThreadPoolExecutor(6) as pool:
        work = [pool.submit(race.write), pool.submit(race.forget)]
        work += [pool.submit(race.read, f"thread {number}") for number in range(2)]
        work += [pool.submit(asyncio.run, race.read_async(f"loop {number}")) for number in range(2)]
        for each in work:
            each.result(60)
    race.check("end", race.LAST, race.chain.get(NAME))
    race.chain.close()
    recorded = sum(each.count for each in race.notes.all if each.final and each.action is Action.READ)
    assert recorded >= sum(race.reads.values())
    assert mine() == []


def test_closing_lets_nobody_wait_for_ever() -> None:
    """Who waits for a reading that is under way gets its answer; who comes later, that the chain is closed."""
    provider = ToldProvider("vault", {NAME: "x"})
    provider.gate = threading.Event()
    chain = Chain([provider], ChainPolicy(workers=1))
    with ThreadPoolExecutor(3) as pool:
        under_way = pool.submit(chain.get, NAME)
        assert provider.entered.wait(10)
        queued = pool.submit(chain.get, "queued")
        until(lambda: len(chain._readings._flights) == 2)
        closing = pool.submit(chain.close)
        until(lambda: chain._readings._closed)
        with pytest.raises(UnavailableError, match="closed"):
            chain.get(NAME)
        provider.gate.set()
        assert under_way.result(10).content == "x"
        with pytest.raises(UnavailableError, match="closed"):
            queued.result(10)
        closing.result(10)
    assert (provider.closed, mine()) == (1, [])


def test_closing_at_once_from_many_threads_closes_once() -> None:
    """Every caller returns when it is closed; the provider is closed once."""
    provider = ToldProvider("vault", {NAME: "x"})
    chain = Chain([provider])
    chain.get(NAME)
    with ThreadPoolExecutor(8) as pool:
        for each in [pool.submit(chain.close) for _ in range(8)]:
            each.result()
    assert (provider.closed, mine()) == (1, [])


def test_a_chain_that_nobody_closed_leaves_no_worker_behind() -> None:
    """Threads hold no chain: it is collected, and its threads end with it."""
    told = threading.Event()
    chain = Chain([ToldProvider("vault", {NAME: "x"})])
    chain.get(NAME)
    chain.subscribe(NAME, lambda _: told.set())
    chain.put(NAME, "y")
    assert told.wait(10)
    assert {name.rpartition("_")[0] or name for name in mine()} == {
        *("tradewarden-chain", "tradewarden-chain-tell", "tradewarden-chain-time")
    }
    threads = chain._readings._threads
    assert isinstance(threads, ChainThreads)
    soon = threads._soon
    del chain, threads

    def ended() -> bool:
        gc.collect()
        soon.set()
        return mine() == []

    until(ended)


def test_a_child_process_begins_anew() -> None:
    """After a fork nothing is kept and nobody subscribed, locks are free, and the child's own threads read again."""
    provider = ToldProvider("vault", {NAME: "x"})
    chain = Chain([provider], record=Notes())
    chain.get(NAME)
    subscription = chain.subscribe(NAME, lambda _: None)
    chain._readings._lock.acquire()  # as another thread of the parent may hold it just then
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        fine = chain._readings.cache.value(NAME) is None and subscription.closed
        fine = fine and chain.get(NAME).content == "x" and len(provider.calls) == 2
        chain.close()
        os._exit(0 if fine else 1)
    chain._readings._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not subscription.closed
    chain.close()


def test_a_probe_is_one_callers_alone() -> None:
    """While one tries a provider that was down, another is told at once that it is left alone."""
    clock = HandClock()
    provider = ToldProvider("vault", {NAME: "x"})
    provider.failing = unreachable
    chain = Chain([provider], ChainPolicy(breaker_failures=1), clock=clock)
    with pytest.raises(UnavailableError):
        chain.get(NAME)
    clock.seconds += 15
    provider.failing, provider.gate = None, threading.Event()
    provider.entered.clear()
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(chain.get, NAME)
        assert provider.entered.wait(10)
        with pytest.raises(UnavailableError, match="did not answer before"):
            chain.get("other")
        provider.gate.set()
        assert probe.result().content == "x"
    chain.close()

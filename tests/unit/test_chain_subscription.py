"""Subscriptions: a running program learns of a changed secret, and of nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from tests.support.chain import Bench, HandClock, Notes, ToldProvider, refused, unreachable
from tradewarden.errors import SecretNotFoundError
from tradewarden.secrets.chain.chain import Chain
from tradewarden.secrets.chain.policy import ChainPolicy

if TYPE_CHECKING:
    from tradewarden.secrets.chain.answer import Answer

NAME = "bybit_credentials"


class Watcher:
    """A subscriber that keeps what it is told."""

    def __init__(self, *, failing: bool = False) -> None:
        self.told: list[object] = []
        self._failing = failing

    def changed(self, answer: Answer) -> None:
        """Keep the value."""
        self.told.append(answer.content)
        if self._failing:
            raise ValueError(str(answer.content))

    def gone(self) -> None:
        """Keep that it is gone."""
        self.told.append("gone")


def bench() -> tuple[ToldProvider, Bench]:
    """Return a provider with one secret, and a chain over it."""
    provider = ToldProvider("vault", {NAME: {"api_key": "one"}})
    return provider, Bench(provider)


def poll(bench: Bench) -> None:
    """Let the time of one poll pass and do what is due."""
    bench.later(bench.chain.policy.watch_seconds)
    bench.chain.run_due()
    bench.threads.work()


def test_a_watched_name_is_read_again_though_nobody_asks() -> None:
    """A rotated key reaches its subscriber by the poll, once."""
    provider, own = bench()
    watcher = Watcher()
    own.chain.get(NAME)
    own.chain.subscribe(NAME, watcher.changed)
    poll(own)
    assert watcher.told == []
    provider.held[NAME] = {"api_key": "two"}
    poll(own)
    poll(own)
    assert watcher.told == [{"api_key": "two"}]
    assert len(provider.calls) == 4
    assert own.chain.get(NAME).content == {"api_key": "two"}


def test_without_a_kept_value_the_first_reading_is_what_is_known() -> None:
    """It is read at once, and not told: only changes are."""
    provider, own = bench()
    watcher = Watcher()
    own.chain.subscribe(NAME, watcher.changed)
    own.chain.run_due()
    own.threads.work()
    assert (provider.calls, watcher.told) == ([f"get {NAME}"], [])


def test_the_poll_has_its_own_interval_and_a_little_chance() -> None:
    """`poll_seconds` says how often; each time is up to a tenth early, so that processes spread."""
    provider = ToldProvider("vault", {NAME: "x"})
    own = Bench(provider, policy=ChainPolicy(poll_seconds=30))
    own.chain._readings._randomness = lambda size: b"\xff" * size
    own.chain.subscribe(NAME, lambda _: None)
    own.chain.run_due()
    assert own.chain.run_due() == pytest.approx(27, abs=0.1)


def test_a_watched_name_that_could_not_be_read_is_tried_soon() -> None:
    """The time-keeper, which may sleep for long, is woken to come again after the retry's time."""
    provider, own = bench()
    own.chain.get(NAME)
    own.chain.subscribe(NAME, lambda _: None)
    provider.failing = unreachable
    woken = own.threads.woken
    own.chain.forget(NAME)
    assert own.threads.woken > woken
    assert own.chain.run_due() == own.chain.policy.retry_seconds


def test_any_reading_that_finds_a_change_tells() -> None:
    """A read through the chain, and a write through it, are told like a poll; names in between stay still."""
    provider, own = bench()
    watcher, other = Watcher(), Watcher()
    own.chain.get(NAME)
    own.chain.subscribe(NAME, watcher.changed)
    own.chain.subscribe("other", other.changed, gone=other.gone)
    own.chain.put(NAME, "two")
    own.threads.work()
    provider.held[NAME] = "three"
    own.later(300)
    own.chain.get(NAME)
    own.threads.work()
    assert (watcher.told, other.told) == (["two", "three"], [])


def test_a_deleted_secret_is_told_as_gone_once_and_its_return_as_a_change() -> None:
    """The same value coming back is news too."""
    provider, own = bench()
    watcher = Watcher()
    own.chain.get(NAME)
    own.chain.subscribe(NAME, watcher.changed, gone=watcher.gone)
    own.chain.delete(NAME)
    own.threads.work()
    poll(own)
    provider.held[NAME] = {"api_key": "one"}
    poll(own)
    assert watcher.told == ["gone", {"api_key": "one"}]


def test_a_change_that_python_takes_for_none_is_one() -> None:
    """True is not 1, and 1 is not 1.0, in a secret."""
    provider, own = bench()
    provider.held[NAME] = {"sandbox": 1}
    watcher = Watcher()
    first = own.chain.get(NAME)
    own.chain.subscribe(NAME, watcher.changed)
    provider.held[NAME] = {"sandbox": True}
    poll(own)
    assert [str(told) for told in watcher.told] == ["{'sandbox': True}"]
    assert not first.same(own.chain.get(NAME))
    assert own.notes.outcomes(NAME)[-1] == "vault changed"


def test_an_outage_tells_nothing_and_a_change_behind_it_is_told() -> None:
    """Unreachable, stale and refused are no changes of value."""
    provider, own = bench()
    watcher = Watcher()
    own.chain.get(NAME)
    own.chain.subscribe(NAME, watcher.changed, gone=watcher.gone)
    for failing in (unreachable, refused):
        provider.failing = failing
        poll(own)
        poll(own)
    assert watcher.told == []
    provider.failing = None
    provider.held[NAME] = {"api_key": "two"}
    poll(own)
    assert watcher.told == [{"api_key": "two"}]


def test_a_failing_subscriber_is_logged_without_the_value_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Its error may quote the value: the log has its type only."""
    provider, own = bench()
    failing, watcher = Watcher(failing=True), Watcher()
    own.chain.get(NAME)
    own.chain.subscribe(NAME, failing.changed)
    own.chain.subscribe(NAME, watcher.changed)
    provider.held[NAME] = "rotated-value"
    with caplog.at_level(logging.DEBUG):
        poll(own)
    assert failing.told == watcher.told == ["rotated-value"]
    assert "ValueError" in caplog.text
    assert "rotated-value" not in caplog.text


def test_who_left_is_not_told() -> None:
    """By `close` or at the end of the block, also when a call for it waits already; then nothing is polled."""
    provider, own = bench()
    watcher = Watcher()
    own.chain.get(NAME)
    with own.chain.subscribe(NAME, watcher.changed) as subscription:
        provider.held[NAME] = "two"
        own.chain.forget(NAME)
    subscription.close()
    own.threads.work()
    assert watcher.told == []
    calls = len(provider.calls)
    poll(own)
    assert len(provider.calls) == calls


def test_digests_and_not_values_are_remembered() -> None:
    """What is kept to compare with tells nothing of the value."""
    _, own = bench()
    own.chain.get(NAME)
    own.chain.subscribe(NAME, lambda _: None)
    known = own.chain._readings._watchers._watched[NAME].known
    assert known is not None
    assert len(known) == 16
    assert known != hashlib.blake2b(b'{"api_key": "one"}', digest_size=16).digest()


async def test_watch_yields_the_value_and_then_every_change() -> None:
    """Through real threads: a write elsewhere in the program reaches the loop."""
    provider = ToldProvider("vault", {NAME: "one"})
    async with Chain([provider]).aio as chain, aclosing(chain.watch(NAME)) as answers:
        assert (await anext(answers)).content == "one"
        await chain.put(NAME, "two")
        assert (await anext(answers)).content == "two"
        await chain.delete(NAME)
        with pytest.raises(SecretNotFoundError):
            await anext(answers)


async def test_what_was_yielded_is_not_yielded_again() -> None:
    """A change that the watcher's own first read finds is told to it too, and is no news then."""
    clock, provider = HandClock(), ToldProvider("vault", {NAME: "one"})
    async with Chain([provider], clock=clock).aio as chain, aclosing(chain.watch(NAME)) as answers:
        await chain.get(NAME)
        provider.held[NAME] = "two"
        clock.seconds += 300
        assert (await anext(answers)).content == "two"
        await chain.put(NAME, "three")
        assert (await anext(answers)).content == "three"


async def test_who_leaves_the_loop_is_no_subscriber_any_more() -> None:
    """`break` and closing end the subscription."""
    chain = Chain([ToldProvider("vault", {NAME: "one"})])
    async with aclosing(chain.aio.watch(NAME)) as answers:
        async for _ in answers:
            assert chain._readings._watchers.has(NAME)
            break
    assert not chain._readings._watchers.has(NAME)
    await chain.aio.close()


async def test_closing_the_chain_ends_a_watch() -> None:
    """Nobody waits for news of a closed chain."""
    chain = Chain([ToldProvider("vault", {NAME: "one"})])
    seen: list[object] = []

    async def follow() -> None:
        async for answer in chain.aio.watch(NAME):
            seen.append(answer.content)  # noqa: PERF401 - it is the loop that is tested

    task = asyncio.create_task(follow())
    while not seen:  # noqa: ASYNC110 - its own first step
        await asyncio.sleep(0)
    await chain.aio.close()
    await asyncio.wait_for(task, 10)
    assert seen == ["one"]


def test_real_threads_poll_and_tell() -> None:
    """The time-keeper reads, the teller calls; closing inside a callback is allowed, and ends both."""
    provider = ToldProvider("vault", {NAME: "one"})
    chain = Chain([provider], ChainPolicy(poll_seconds=0.01), record=Notes())
    told = threading.Event()

    def changed(answer: Answer) -> None:
        assert answer.content == "two"
        chain.close()
        told.set()

    chain.get(NAME)
    chain.subscribe(NAME, changed)
    provider.held[NAME] = "two"
    assert told.wait(10)
    for thread in threading.enumerate():
        if thread.name.startswith("tradewarden-chain"):
            thread.join(10)
            assert not thread.is_alive()
    assert provider.closed == 1

"""The chain as a state machine, against a model that is a few dictionaries and the rules in words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.chain import Bench, ToldProvider, broken, refused, unreachable
from tradewarden.errors import (
    IntegrityError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
    TradewardenError,
)
from tradewarden.secrets.chain.policy import ChainPolicy
from tradewarden.secrets.naming import Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

TTL, AHEAD, STALE, NEGATIVE, RETRY, FAILURES = 100, 80, 500, 5, 15, 2
POLICY = ChainPolicy(
    ttl_seconds=TTL,
    refresh_ahead=AHEAD / TTL,
    stale_seconds=STALE,
    negative_seconds=NEGATIVE,
    retry_seconds=RETRY,
    breaker_failures=FAILURES,
)
NAMES = st.sampled_from(["api_token", "jwt_secret"])
PLACES = st.integers(0, 2)
MODES: dict[str, Callable[[str], TradewardenError] | None] = {
    "answering": None,
    "unreachable": unreachable,
    "refused": refused,
    "broken": broken,
}
ERRORS = {"refused": ProviderRefusedError, "broken": IntegrityError}


class Known(NamedTuple):
    """What the model keeps of a name. `stood_in` is the first provider that was unreachable when it was read."""

    value: object
    place: int
    stood_in: int | None
    read_at: float
    hot_until: float
    failed: bool = False


class Model:
    """The chain in words."""

    def __init__(self) -> None:
        self.now = 0.0
        self.modes = ["answering"] * 3
        self.held: list[dict[str, object]] = [{}, {}, {}]
        self.known: dict[str, Known] = {}
        self.missing: dict[str, float] = {}
        self.failures = [0, 0, 0]
        self.open_until = [0.0, 0.0, 0.0]
        self.gets = 0
        self.walks = 0

    def get(self, name: str) -> tuple[object, ...] | type[Exception]:
        """Return (value, provider, stale) or the error's type."""
        if self.missing.get(name, -1) > self.now:
            return SecretNotFoundError
        known = self.known.get(name)
        if known is not None:
            age = self.now - known.read_at
            if age < TTL or (known.failed and age < STALE):
                if self.now >= known.hot_until:
                    self.read(name)
                return (known.value, known.place, age >= TTL)
        return self.read(name)

    def say(self, place: int, name: str) -> str:
        """Return what a provider says, through its breaker."""
        if self.failures[place] >= FAILURES and self.now < self.open_until[place]:
            return "unreachable"
        mode = self.modes[place]
        if mode == "unreachable":
            self.failures[place] += 1
            self.open_until[place] = self.now + RETRY
            return mode
        self.failures[place] = 0
        return mode if mode != "answering" else "found" if name in self.held[place] else "missing"

    def read(self, name: str) -> tuple[object, ...] | type[Exception]:
        """Ask the providers in turn."""
        self.walks += 1
        down: int | None = None
        for place in range(3):
            said = self.say(place, name)
            if said == "found":
                hot = AHEAD if down is None else min(AHEAD, RETRY)
                value = self.held[place][name]
                self.keep(name, Known(value, place, down, self.now, self.now + hot))
                return (value, place, False)
            if said in ERRORS:
                self.forget(name)
                return ERRORS[said]
            if said == "unreachable":
                if self.may_stand_in(name, place):
                    return self.give_last_known(name)
                down = place if down is None else down
                if kind_of(name) is Kind.KEY:
                    break
        self.forget(name)
        if down is not None:
            return ProviderUnavailableError
        self.missing[name] = self.now + NEGATIVE
        return SecretNotFoundError

    def may_stand_in(self, name: str, place: int) -> bool:
        """Return whether the last known value may be given for the provider at `place`."""
        known = self.known.get(name)
        if known is None or self.now >= known.read_at + STALE:
            return False
        return known.place >= place and (known.stood_in is None or known.stood_in < place)

    def give_last_known(self, name: str) -> tuple[object, ...]:
        """Return it and try again later."""
        known = self.known[name]
        over = self.now >= known.read_at + TTL
        end = known.read_at + (STALE if over else TTL)
        self.known[name] = known._replace(failed=True, hot_until=min(self.now + RETRY, end))
        return (known.value, known.place, over)

    def keep(self, name: str, known: Known) -> None:
        """Keep a value."""
        self.forget(name)
        self.known[name] = known

    def forget(self, name: str) -> None:
        """Forget a name."""
        self.known.pop(name, None)
        self.missing.pop(name, None)


class ChainMachine(RuleBasedStateMachine):
    """Does the same to a chain of three providers and to the model, and compares what a caller sees."""

    @initialize()
    def open(self) -> None:
        """Open both."""
        self.providers = [ToldProvider(str(place)) for place in range(3)]
        self.bench = Bench(*self.providers, policy=POLICY)
        self.model = Model()
        self.values = 0

    @rule(place=PLACES, name=NAMES)
    def rotate(self, place: int, name: str) -> None:
        """Somebody else writes a new value into a provider."""
        self.values += 1
        self.providers[place].held[name] = self.model.held[place][name] = f"value {self.values}"

    @rule(place=PLACES, name=NAMES)
    def remove(self, place: int, name: str) -> None:
        """Somebody else deletes it there."""
        self.providers[place].held.pop(name, None)
        self.model.held[place].pop(name, None)

    @rule(place=PLACES, mode=st.sampled_from(list(MODES)))
    def turn(self, place: int, mode: str) -> None:
        """A provider goes down, comes back, refuses, or has damaged data."""
        self.providers[place].failing = MODES[mode]
        self.model.modes[place] = mode

    @rule(seconds=st.sampled_from([1, 5, 15, 20, 80, 100, 300, 500]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.bench.later(seconds)
        self.model.now += seconds

    @rule(name=NAMES)
    def get(self, name: str) -> None:
        """Read."""
        self.model.gets += 1
        expected = self.model.get(name)
        if isinstance(expected, type):
            with pytest.raises(expected):
                self.bench.chain.get(name)
        else:
            answer = self.bench.chain.get(name)
            assert (answer.content, int(answer.provider), answer.stale) == expected

    @rule(name=NAMES)
    def forget(self, name: str) -> None:
        """Forget what is kept."""
        self.bench.chain.forget(name)
        self.model.forget(name)

    @rule(name=NAMES)
    def put(self, name: str) -> None:
        """Write through the chain."""
        self.values += 1
        mode = self.model.modes[0]
        try:
            self.bench.chain.put(name, f"value {self.values}")
        except TradewardenError:
            assert mode != "answering"
            self.note_change(mode)
        else:
            self.model.held[0][name] = f"value {self.values}"
            self.note_change(mode)
        self.model.forget(name)

    def note_change(self, mode: str) -> None:
        """Let the model's breaker know; a change is tried whatever it says."""
        if mode == "unreachable":
            self.model.failures[0] += 1
            self.model.open_until[0] = self.model.now + RETRY
        else:
            self.model.failures[0] = 0

    @invariant()
    def every_answer_is_in_the_record(self) -> None:
        """Reads that ended, from a provider or the cache, are recorded as many as they were."""
        if not hasattr(self, "bench"):
            return
        self.bench.chain.flush()
        recorded = Counter(a.action.value for a in self.bench.notes.all if a.final for _ in range(a.count))
        in_background = sum(len(p.calls) for p in self.providers[:1])  # a walk begins there, breaker permitting
        assert recorded["read"] >= self.model.gets
        assert recorded["read"] <= self.model.gets + self.model.walks
        assert in_background <= self.model.walks + recorded["write"]


TestChainMachine = ChainMachine.TestCase
TestChainMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

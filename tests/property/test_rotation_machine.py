"""The state machine of a rotation against a plain model, with several workers, kills and a clock that moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from tradewarden.errors import ConflictError, NotFoundError
from tradewarden.secrets.rotation import machine
from tradewarden.secrets.rotation.machine import LEASE_SECONDS, ORDER, Hold, Result, Step, Taking
from tradewarden.secrets.rotation.policy import Timing
from tradewarden.secrets.rotation.store import PolicyRow, RunRow, State

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "a"
TIMING = Timing(3600, None, 0.0)


def policy() -> PolicyRow:
    """Return a policy."""
    return PolicyRow(PATH, "random", "{}", 3600, "", 1, "[]", 1.0, "user:admin", next_at=1.0)


class Rotation(RuleBasedStateMachine):
    """Workers begin, take, move on, fail, finish and abandon; the model knows who may."""

    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.now = 1000.0
        self.runs = 0
        self.step: Step | None = None
        self.holder: Hold | None = None
        self.until = 0.0
        self.finished = 0

    @initialize()
    def write_policy(self) -> None:
        """A policy stands from the beginning."""
        self.state = machine.rewrite(State(), policy())

    def may_move(self, hold: Hold) -> bool:
        """Tell whether a worker is the one whose epoch counts."""
        return self.step is not None and hold == self.holder

    def at_work(self) -> bool:
        """Tell whether somebody works now."""
        return self.holder is not None and self.now < self.until

    def attempt(self, allowed: bool, change: Callable[[], State]) -> bool:
        """Make a change, or see it refused with nothing changed."""
        try:
            self.state = change()
        except (ConflictError, NotFoundError):
            assert not allowed
            return False
        assert allowed
        return True

    @rule(target=holds)
    def begin(self) -> Hold:
        """Begin a run."""
        fresh = RunRow(
            PATH, f"run{self.runs}", "random", "{}", "create", 1, 0, b"", b"", self.now, "x", 0, f"h{self.runs}", 1, 0.0
        )
        self.runs += 1
        if self.attempt(self.step is None, lambda: machine.begin(self.state, fresh, self.now)):
            self.step, self.until = Step.CREATE, self.now + LEASE_SECONDS
            self.holder = machine.hold_of(self.state)
            return self.holder
        return Hold(fresh.id, fresh.holder, 1)

    @rule(target=holds, supplied=st.booleans())
    def take(self, supplied: bool) -> Hold:
        """Go on with a run."""
        self.runs += 1
        allowed = self.step is not None and not self.at_work() and (not supplied or self.step is Step.CREATE)
        given = b"given" if supplied else b""
        if self.attempt(allowed, lambda: machine.take(self.state, PATH, Taking(f"t{self.runs}", given), self.now)):
            self.until = self.now + LEASE_SECONDS
            self.holder = machine.hold_of(self.state)
            return self.holder
        return Hold("none", "none", 1)

    @rule(hold=holds)
    def advance(self, hold: Hold) -> None:
        """Record a step."""
        allowed = self.may_move(hold) and self.step is not Step.FINISH
        result = Result(b"pending", 2)
        if self.attempt(allowed, lambda: machine.advance(self.state, PATH, hold, result, self.now)):
            assert self.step is not None
            self.step, self.until = ORDER[ORDER.index(self.step) + 1], self.now + LEASE_SECONDS

    @rule(hold=holds)
    def complete(self, hold: Hold) -> None:
        """End a run."""
        allowed = self.may_move(hold) and self.step is Step.FINISH
        if self.attempt(allowed, lambda: machine.complete(self.state, PATH, hold, TIMING, self.now)):
            self.step, self.holder, self.finished = None, None, self.finished + 1
            assert self.state.policy is not None
            assert self.state.policy.next_at == self.now + 3600

    @rule(hold=holds)
    def fail(self, hold: Hold) -> None:
        """Note a failure."""
        if self.attempt(self.may_move(hold), lambda: machine.fail(self.state, PATH, hold, "why", TIMING, self.now)):
            self.holder = None
            assert self.state.policy is not None
            assert self.state.policy.next_at > self.now

    @rule(hold=holds)
    def wait_for_the_grace(self, hold: Hold) -> None:
        """Let a run go that only waits."""
        if self.attempt(
            self.may_move(hold), lambda: machine.wait(self.state, PATH, hold, "", (self.now, self.now + 50.0))
        ):
            self.holder = None
            assert self.state.policy is not None
            assert self.state.policy.next_at == self.now + 50.0

    @rule(hold=holds)
    def release(self, hold: Hold) -> None:
        """Let a run go."""
        if self.attempt(self.may_move(hold), lambda: machine.release(self.state, PATH, hold.holder, self.now)):
            self.holder = None

    @rule()
    def abandon(self) -> None:
        """Give a run up."""
        allowed = self.step is not None and not self.at_work()
        if self.attempt(allowed, lambda: machine.abandon(self.state, PATH, self.now)):
            self.step, self.holder = None, None

    @rule()
    def remove(self) -> None:
        """Remove the policy, and write it again."""
        if self.attempt(self.step is None, lambda: machine.remove(self.state, PATH)):
            assert self.state == State()
            self.state = machine.rewrite(State(), policy())

    @rule(seconds=st.sampled_from([1.0, LEASE_SECONDS - 1, LEASE_SECONDS, 5000.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @invariant()
    def the_run_is_where_the_model_is(self) -> None:
        """The step is the model's, and someone works when it says so."""
        run = self.state.run
        assert (run.step if run else None) == self.step
        if run is not None:
            assert machine.running(run, self.now) == self.at_work()
            assert bool(run.pending) == (self.step is not Step.CREATE)


TestRotation = Rotation.TestCase
TestRotation.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

"""What tests of the chain own: the clock, the threads, and providers that do as they are told."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tradewarden.errors import (
    AuditUnavailableError,
    DecryptionError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SecretNotFoundError,
)
from tradewarden.secrets.chain.chain import Chain
from tradewarden.secrets.providers.provider import Held

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from weakref import WeakMethod

    from tradewarden.errors import TradewardenError
    from tradewarden.secrets.chain.access import Access, Recorder
    from tradewarden.secrets.chain.policy import ChainPolicy
    from tradewarden.secrets.providers.provider import Content, Provider


class HandClock:
    """Time that only moves by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return 1_700_000_000.0 + self.seconds

    def monotonic(self) -> float:
        """Seconds."""
        return self.seconds


class HandThreads:
    """Does the work in the caller's thread: at once, or (`at_once` False) when `work` is called."""

    def __init__(self) -> None:
        self.at_once = True
        self.waiting: list[Callable[[], None]] = []
        self.keeps_time = False
        self.woken = 0
        self.closed = False

    def submit(self, call: Callable[[], None]) -> None:
        """Do it, or keep it."""
        if self.closed:
            raise RuntimeError("closed")
        if self.at_once:
            call()
        else:
            self.waiting.append(call)

    def post(self, call: Callable[[], None]) -> None:
        """Keep it: it may be posted under the chain's lock."""
        self.waiting.append(call)

    def work(self) -> None:
        """Do what waits, and what comes of it."""
        while self.waiting:
            self.waiting.pop(0)()

    def keep_time(self, work: WeakMethod[Callable[[], float]]) -> None:
        """Note that somebody should."""
        self.keeps_time = True

    def wake(self) -> None:
        """Count."""
        self.woken += 1

    def close(self) -> None:
        """Do what waits, then nothing any more."""
        self.work()
        self.closed = True


class ToldProvider:
    """Holds secrets in a dict; fails when it is told to; counts its calls; can be held at a gate."""

    def __init__(self, name: str, held: dict[str, Content] | None = None) -> None:
        self.name = name
        self.held: dict[str, Content] = dict(held or {})
        self.failing: Callable[[str], TradewardenError] | None = None
        self.calls: list[str] = []
        self.gate: threading.Event | None = None
        self.entered = threading.Event()
        self.closed = 0

    def _call(self, call: str, name: str = "") -> None:
        self.calls.append(f"{call} {name}".strip())
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        if self.failing is not None:
            raise self.failing(name)

    def get(self, name: str, version: str = "") -> Held:
        """Return the secret."""
        self._call("get", name)
        if name not in self.held:
            raise SecretNotFoundError(name)
        return Held(name, self.held[name], "1")

    def get_many(self, names: Sequence[str]) -> dict[str, Held]:
        """Return those that exist."""
        self._call("get_many", ",".join(names))
        return {name: Held(name, self.held[name], "1") for name in names if name in self.held}

    def put(self, name: str, content: Content) -> str:
        """Keep the secret."""
        self._call("put", name)
        self.held[name] = content
        return "2"

    def delete(self, name: str) -> None:
        """Forget the secret."""
        self._call("delete", name)
        if name not in self.held:
            raise SecretNotFoundError(name)
        del self.held[name]

    def names(self, prefix: str = "") -> list[str]:
        """Return the names."""
        self._call("names", prefix)
        return sorted(name for name in self.held if name.startswith(prefix))

    def close(self) -> None:
        """Count."""
        self.closed += 1


def unreachable(name: str) -> ProviderUnavailableError:
    """Return what a provider raises that does not answer."""
    return ProviderUnavailableError("nobody answered within 2 s")


def refused(name: str) -> ProviderRefusedError:
    """Return what a provider raises that does not allow it."""
    return ProviderRefusedError(f"the provider does not let us read '{name}'", reason="403")


def broken(name: str) -> DecryptionError:
    """Return what a provider raises for damaged material."""
    return DecryptionError("tag mismatch")


class Notes:
    """A recorder that keeps all it gets, and refuses when it is told to."""

    def __init__(self) -> None:
        self.all: list[Access] = []
        self.full = False
        self.closed = 0

    def ready(self) -> None:
        """Refuse when told to."""
        if self.full:
            raise AuditUnavailableError("no room")

    def record(self, access: Access) -> None:
        """Keep it."""
        self.ready()
        self.all.append(access)

    def close(self) -> None:
        """Count."""
        self.closed += 1

    def outcomes(self, name: str) -> list[str]:
        """Return `provider outcome`, for those that ended a call, once for each time."""
        return [
            f"{a.provider} {a.outcome.value}" for a in self.all if a.name == name and a.final for _ in range(a.count)
        ]


class Bench:
    """A chain over told providers, with everything that a test turns by hand."""

    def __init__(self, *providers: Provider, policy: ChainPolicy | None = None, record: Recorder | None = None) -> None:
        self.clock = HandClock()
        self.threads = HandThreads()
        self.notes = Notes()
        self.chain = Chain(
            providers,
            policy,
            clock=self.clock,
            record=record or self.notes,
            randomness=bytes,
            threads=self.threads,
        )

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.seconds += seconds

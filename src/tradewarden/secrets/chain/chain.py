"""Several providers as one: `Chain`.

    with Chain([EnvironmentProvider(os.environ), EncryptedFilesProvider(Path(".secrets"), key)]) as chain:
        password = chain.get("database_credentials").content["password"]

Always true here: *not found*, *not allowed* and *not reachable* are three errors (decision 23); a change goes to the
first provider only; a cached answer needs no lock, no thread and no await.

Threads: any number may use a chain, sync and async callers from several event loops mixed; who wants the same name at
the same time waits for the same provider call. Fork: a child begins with nothing kept, nobody subscribed and threads
of its own; whether the providers' connections live through a fork is theirs to say, so fork before the first read.
"""

from __future__ import annotations

import atexit
import logging
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self, TypeVar
from weakref import WeakSet

from tradewarden.clock import Clock, Randomness, SystemClock, system_randomness
from tradewarden.errors import AuditUnavailableError, ConfigurationError, SecretNotFoundError, TradewardenError
from tradewarden.secrets.chain.access_log import LOGGER, AccessLog
from tradewarden.secrets.chain.changes import Changes
from tradewarden.secrets.chain.decision import fresh
from tradewarden.secrets.chain.flight import Flight
from tradewarden.secrets.chain.forking import renewed_after_fork
from tradewarden.secrets.chain.policy import ChainPolicy
from tradewarden.secrets.chain.readings import Readings
from tradewarden.secrets.chain.station import ProviderStatus, Station
from tradewarden.secrets.chain.subscription import Subscription
from tradewarden.secrets.chain.threads import ChainThreads, Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from tradewarden.secrets.chain.access import Recorder
    from tradewarden.secrets.chain.aio import AsyncChain
    from tradewarden.secrets.chain.answer import Answer
    from tradewarden.secrets.chain.flight import Landing
    from tradewarden.secrets.providers.provider import Content, Provider

T = TypeVar("T")
_log = logging.getLogger(LOGGER)


class Chain:
    """Reads secrets from the first of its providers that has them; keeps them for a while; tells of changes.

    `record` is where accesses go (`AccessLog` when none is given); `threads` who does the work. The chain owns its
    providers and its recorder: `close` closes them.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        policy: ChainPolicy | None = None,
        *,
        clock: Clock | None = None,
        record: Recorder | None = None,
        randomness: Randomness = system_randomness,
        threads: Threads | None = None,
    ) -> None:
        if not providers:
            raise ConfigurationError("A chain needs at least one provider of secrets")
        self.policy = policy or ChainPolicy()
        self.record = AccessLog() if record is None else record
        self._given_threads = threads
        clock = clock or SystemClock()
        self._stations = [Station(provider, self.policy, clock) for provider in providers]
        self._readings = Readings(self._stations, self.policy, clock, self.record, randomness, self._new_threads())
        self._changes = Changes(self._stations, clock, self.record, self._readings.forget)
        self._hot = self._readings.cache.hot
        self._closing = threading.Lock()
        self._closed = False
        self._aio: AsyncChain | None = None
        renewed_after_fork(self)
        _open.add(self)

    def _new_threads(self) -> Threads:
        return self._given_threads or ChainThreads(self.policy.workers)

    @property
    def aio(self) -> AsyncChain:
        """The same chain for async callers."""
        if self._aio is None:
            from tradewarden.secrets.chain.aio import AsyncChain

            self._aio = AsyncChain(self, self._readings, self._changes)
        return self._aio

    def get(self, name: str) -> Answer:
        """Return a secret, from what is kept or from the first provider that has it.

        Raises `SecretNotFoundError` when every provider said so, `ProviderRefusedError` when one does not allow it,
        `ProviderUnavailableError` when one does not answer and nothing may stand in for it, `IntegrityError` when one
        holds it damaged, `AuditUnavailableError` when the access cannot be recorded, `InvalidInputError` for what is
        no secret path.
        """
        return self._hot(name) or _settled(self._readings.begin((name,))[name])

    def get_many(self, names: Iterable[str]) -> dict[str, Answer]:
        """Return those of `names` that exist, asking each provider once; any error but *not found* is raised."""
        found: dict[str, Answer] = {}
        for name, landing in self._readings.begin(names).items():
            with suppress(SecretNotFoundError):
                found[name] = _settled(landing)
        return found

    def names(self, prefix: str = "") -> list[str]:
        """Return every name that any provider has and that starts with `prefix`, sorted.

        A provider that does not answer or does not allow it is an error: a list with holes would be read as whole.
        """
        return self._do(lambda: self._changes.names(prefix))

    def put(self, name: str, content: Content) -> str:
        """Write a secret to the first provider, nowhere else; returns the version. An error is an error."""
        return self._do(lambda: self._changes.put(name, content))

    def delete(self, name: str) -> None:
        """Delete a secret at the first provider only; one that another has under this name then shows again."""
        self._do(lambda: self._changes.delete(name))

    def _do(self, work: Callable[[], T]) -> T:
        return self._readings.employ(work).result()

    def subscribe(
        self, name: str, callback: Callable[[Answer], None], *, gone: Callable[[], None] | None = None
    ) -> Subscription:
        """Have `callback` called with every changed value of `name`, and `gone` when no provider has it any more.

        The value that is kept now (or else read next) is taken to be known. A watched name is read again every
        `policy.watch_seconds` even when nobody asks for it. Callbacks run one after another on one thread of the
        chain: do little there.
        """
        subscription = Subscription(name, callback, gone, self._readings.unwatch)
        self._readings.watch(subscription)
        return subscription

    def forget(self, name: str | None = None) -> None:
        """Forget what is kept of one name, or of all, the last known value too; the next read asks the providers."""
        self._readings.forget(name)

    def flush(self) -> None:
        """Record now how often cached answers were given; raises `AuditUnavailableError`."""
        self._readings.flush()

    def run_due(self) -> float:
        """Do what the time-keeping thread does: returns in how many seconds to come again. For tests and own loops."""
        return self._readings.run_due()

    def status(self) -> list[ProviderStatus]:
        """Return what is known of each provider, in the chain's order."""
        return [station.status for station in self._stations]

    def close(self) -> None:
        """Wait for what is under way, record what was counted, close every provider once; twice changes nothing.

        Raises `AuditUnavailableError` when what was counted cannot be recorded; everything is closed all the same.
        """
        with self._closing:
            if self._closed:
                return
            self._closed = True
            with ExitStack() as stack:
                stack.callback(self.record.close)
                for station in self._stations:
                    stack.callback(station.provider.close)
                self._readings.close()

    def after_fork(self) -> None:
        """Begin anew in a child process."""
        self._closing = threading.Lock()
        for station in self._stations:
            station.after_fork()
        self._readings.after_fork(self._new_threads())
        self._hot = self._readings.cache.hot

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Chain({', '.join(station.name for station in self._stations)})"


_open: WeakSet[Chain] = WeakSet()


@atexit.register
def _record_the_last_window() -> None:
    """Record what was counted by chains that nobody closed before the program ended."""
    for chain in list(_open):
        try:
            chain.flush()
        except AuditUnavailableError as error:
            _log.error("The last cached reads cannot be recorded: %s", error)


def _settled(landing: Landing | Flight) -> Answer:
    if isinstance(landing, Flight):
        return landing.wait()
    if isinstance(landing, TradewardenError):
        raise fresh(landing)
    return landing

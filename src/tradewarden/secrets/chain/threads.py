"""Who does the chain's work: a few workers for provider calls, one thread that keeps the time, one that tells."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from weakref import WeakMethod

    Call = Callable[[], None]

_log = logging.getLogger("tradewarden.secrets")
_JOIN_SECONDS = 5.0


class Threads(Protocol):
    """What the chain needs done elsewhere; a test does it by hand."""

    def submit(self, call: Call) -> None:
        """Have a worker call it; raises `RuntimeError` when there are none any more."""
        ...

    def post(self, call: Call) -> None:
        """Have the telling thread call it, after all that were posted before."""
        ...

    def keep_time(self, work: WeakMethod[Callable[[], float]]) -> None:
        """Have `work` called now and then: each time it says in how many seconds again. Twice changes nothing."""
        ...

    def wake(self) -> None:
        """Have it called soon."""
        ...

    def close(self) -> None:
        """Finish what was submitted, end every thread."""
        ...


class ChainThreads:
    """Real threads, each started when it is first needed.

    No thread holds the chain: of one that nobody closed and nobody has any more they end by themselves.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._posted: SimpleQueue[Call | None] = SimpleQueue()
        self._teller: threading.Thread | None = None
        self._keeper: threading.Thread | None = None
        self._soon = threading.Event()
        self._closed = False

    def submit(self, call: Call) -> None:
        """Have a worker call it."""
        with self._lock:
            if self._closed:
                raise RuntimeError("closed")
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._workers, "tradewarden-chain")
            self._executor.submit(call)

    def post(self, call: Call) -> None:
        """Have the telling thread call it."""
        with self._lock:
            if self._closed:
                return
            if self._teller is None:
                self._teller = threading.Thread(
                    target=_tell, args=(self._posted,), name="tradewarden-chain-tell", daemon=True
                )
                self._teller.start()
        self._posted.put(call)

    def keep_time(self, work: WeakMethod[Callable[[], float]]) -> None:
        """Have `work` called now and then."""
        with self._lock:
            if self._keeper is None and not self._closed:
                self._keeper = threading.Thread(
                    target=_keep_time, args=(work, self._soon), name="tradewarden-chain-time", daemon=True
                )
                self._keeper.start()

    def wake(self) -> None:
        """Have the time-keeper's work called soon."""
        self._soon.set()

    def close(self) -> None:
        """End every thread and wait for it, unless it is the one that calls this."""
        with self._lock:
            self._closed = True
            executor, self._executor = self._executor, None
        self._soon.set()
        self._posted.put(None)
        if executor is not None:
            executor.shutdown(wait=True)
        for thread in (self._keeper, self._teller):
            if thread is not None and thread is not threading.current_thread():
                thread.join(_JOIN_SECONDS)
                if thread.is_alive():
                    _log.warning("A callback of a subscriber does not end; its thread is left behind")

    def __del__(self) -> None:
        self._posted.put(None)  # nobody can post any more
        self._soon.set()  # the time-keeper looks whether there is a chain still, and ends


def _tell(posted: SimpleQueue[Call | None]) -> None:
    while True:
        call = posted.get()
        if call is None:
            return
        call()
        del call  # while this waits it must not hold the chain


def _keep_time(work: WeakMethod[Callable[[], float]], soon: threading.Event) -> None:
    seconds = 0.0
    while True:
        soon.wait(seconds)
        soon.clear()
        call = work()
        if call is None:
            return
        seconds = call()
        del call
        if seconds < 0:
            return

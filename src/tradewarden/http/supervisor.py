"""The process that `tradewarden serve` is: binds once, forks workers and the clerk, restarts what dies, ends in order.

Always true here: the fork happens while this process has one thread and no event loop, and stays that way; no child
lives on without it (PR_SET_PDEATHSIG on Linux, and everywhere the end of a pipe); nothing dumps core (decision 14).
Signals: SIGTERM and SIGINT end gracefully, a second one at once; SIGHUP is ignored, so that a closed terminal ends
nothing. Once all have been ready, what keeps a successor from starting (a full disk, a damaged file) ends nothing
either: the others serve on, and it is tried again until it can. Exit codes are the `EXIT_` constants here and in
`child`.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import select
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from tradewarden.http.binding import Place, bind_all, close_all
from tradewarden.http.child import (
    DEATH_SECONDS,
    DEATHS,
    EXIT_CONFIGURATION,
    EXIT_CRASHING,
    EXIT_UNAVAILABLE,
    SIGNALS,
    Child,
    Log,
)
from tradewarden.http.linux import forbid_dumps, wait_until_alone

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence

EXIT_STOPPED: Final = 0
"""Stopped as asked; every accepted request was answered."""
EXIT_FORCED: Final = 1
"""Stopped as asked, but something had to be killed: a second signal, or a child that did not end in time."""
_MARGIN_SECONDS: Final = 5.0
_ALONE_SECONDS: Final = 5.0
_ONE_STOP_SECONDS: Final = 0.5
"""Signals this close together are one: make passes on what its whole process group was sent."""
_CLERK_NICE: Final = 0


class Settings(Protocol):
    """What of the settings counts here."""

    @property
    def workers(self) -> int:
        """How many workers."""
        ...

    @property
    def shutdown_seconds(self) -> float:
        """How long accepted requests may take to end."""
        ...


def supervise(
    settings: Settings,
    places: Sequence[Place],
    run_worker: Callable[[int, Sequence[Sequence[socket.socket]], Callable[[], None]], None],
    run_clerk: Callable[[Callable[[], None]], None],
    log: Log,
    on_ready: Callable[[Sequence[int]], None] = lambda _ports: None,
) -> int:
    """Serve until a signal; return the exit code. Raises `ConfigurationError` when a place cannot be bound.

    `run_worker(index, sockets of each place, ready)` and `run_clerk(ready)` run in a child of their own, call `ready`
    once, and return after SIGTERM; `index` is the same for a replacement. `on_ready` is called here once all have been
    ready, with the port of each place.
    """
    if threading.active_count() > 1:
        raise RuntimeError("the supervisor forks, so no other thread may run beside it")
    if others := wait_until_alone(_ALONE_SECONDS):
        log.error("a library keeps threads of its own in a process that forks; its children may hang", threads=others)
    forbid_dumps()
    bound = bind_all(places)
    sockets = [each for place in bound for each in place]
    ports = [place[0].getsockname()[1] for place in bound]
    supervisor = _Supervisor(log, partial(on_ready, ports), sockets, settings.shutdown_seconds)
    children = [Child(f"worker-{index}", index, partial(run_worker, index, bound)) for index in range(settings.workers)]

    def clerk(ready: Callable[[], None]) -> None:
        close_all(sockets)  # or the kernel goes on taking connections, which nobody answers, for as long as it lives
        run_clerk(ready)

    children.append(Child("clerk", settings.workers, clerk, nice=_CLERK_NICE))
    try:
        return supervisor.run(children)
    finally:
        close_all(sockets)


class _Supervisor:
    def __init__(
        self, log: Log, on_ready: Callable[[], None], sockets: list[socket.socket], shutdown_seconds: float
    ) -> None:
        self._log = log
        self._on_ready: Callable[[], None] | None = on_ready
        self._sockets = sockets
        self._shutdown_seconds = shutdown_seconds
        self._wake_read, self._wake_write = _pipe()
        self._ready_read, self._ready_write = _pipe()
        self._life = os.pipe2(os.O_CLOEXEC)
        self._stops = 0
        self._stopped_at = -math.inf
        self._children: list[Child] = []

    def run(self, children: list[Child]) -> int:
        """Start everything, watch over it, and end it."""
        self._children = children
        before = {number: signal.signal(number, self._signalled) for number in SIGNALS}
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        try:
            code = self._watch()
            return self._end(code)
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            for descriptor in (self._wake_read, self._wake_write, self._ready_read, self._ready_write, *self._life):
                os.close(descriptor)

    def _signalled(self, number: int, _frame: object) -> None:
        if number not in (signal.SIGTERM, signal.SIGINT):
            return
        now = time.monotonic()
        if now - self._stopped_at >= _ONE_STOP_SECONDS:
            self._stops += 1
            self._stopped_at = now

    # --- while it runs --------------------------------------------------------------------------

    def _watch(self) -> int:
        gc.freeze()  # what stands before the fork stays shared: no collection in a child touches it
        while not self._stops:
            for child in self._children:
                if not child.pid and child.start_at <= time.monotonic():
                    self._start(child)
            self._wait(self._until_next_start())
            for child, status in self._reap():
                given_up = self._replace(child, os.waitstatus_to_exitcode(status))
                if given_up is not None:
                    return given_up
        return EXIT_STOPPED

    def _start(self, child: Child) -> None:
        try:
            child.start(self._life, self._ready_write, self._log)
        except OSError as error:  # no process is to be had
            if self._on_ready is not None:
                raise
            self._wait_for(child, EXIT_UNAVAILABLE, reason=error.strerror)

    def _wait_for(self, child: Child, code: int, **why: object) -> None:
        """Plan another start of a child that cannot start as things are."""
        if child.waited(time.monotonic(), code):
            self._log.error(
                "a child process cannot start; the others go on, and it is tried again until it can",
                child=child.name,
                exit_code=code,
                **why,
            )

    def _replace(self, child: Child, code: int) -> int | None:
        """Plan the successor of a child that died, or return the exit code when there is none to be."""
        if self._stops:
            return EXIT_STOPPED
        if self._on_ready is None and code in (EXIT_UNAVAILABLE, EXIT_CONFIGURATION):
            self._wait_for(child, code)
            return None
        if code == EXIT_CONFIGURATION:
            return code
        self._log.error("a child process died and is replaced", child=child.name, exit_code=code)
        if not child.died(time.monotonic()):
            return None
        self._log.error(
            f"{child.name} died {DEATHS} times within {DEATH_SECONDS:.0f} s; giving up. "
            "The lines above say why; nothing is served any more"
        )
        return EXIT_CRASHING

    def _until_next_start(self) -> float | None:
        waiting = [child.start_at for child in self._children if not child.pid]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else None

    def _wait(self, seconds: float | None) -> None:
        """Sleep until a signal, a child's readiness, or the time is over."""
        readable, _, _ = select.select([self._wake_read, self._ready_read], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            if self._wake_read in readable:
                os.read(self._wake_read, 4096)
        with contextlib.suppress(BlockingIOError):
            if self._ready_read in readable:
                self._note_ready(os.read(self._ready_read, 4096))

    def _note_ready(self, indices: bytes) -> None:
        for index in indices:
            child = self._children[index]
            if child.is_ready():
                self._log.info("a child process that could not start has started", child=child.name)
        if self._on_ready is not None and all(child.ready for child in self._children):
            announce, self._on_ready = self._on_ready, None
            announce()

    def _reap(self) -> Iterable[tuple[Child, int]]:
        for child in self._children:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                child.pid = 0
                yield child, status

    # --- the end --------------------------------------------------------------------------------

    def _end(self, code: int) -> int:
        """Accept nothing more, end the workers, then the clerk (it ships what they left), and kill what stays."""
        close_all(self._sockets)
        workers, clerk = self._children[:-1], self._children[-1:]
        forced = not self._finish(workers, self._shutdown_seconds + _MARGIN_SECONDS)
        forced |= not self._finish(clerk, _MARGIN_SECONDS)
        return EXIT_FORCED if forced and code == EXIT_STOPPED else code

    def _finish(self, children: Sequence[Child], seconds: float) -> bool:
        _kill(children, signal.SIGTERM)
        until = time.monotonic() + seconds
        while any(child.pid for child in children):
            remaining = until - time.monotonic()
            if remaining <= 0 or self._stops > 1:
                names = ", ".join(child.name for child in children if child.pid)
                why = "did not end in time" if remaining <= 0 else "had not ended at the second signal"
                self._log.error(f"killing what {why}: {names}")
                _kill(children, signal.SIGKILL)
                for child in children:
                    if child.pid:
                        os.waitpid(child.pid, 0)
                        child.pid = 0
                return False
            self._wait(remaining)
            for _ in self._reap():
                pass
        return True


def _kill(children: Iterable[Child], number: int) -> None:
    for child in children:
        if child.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, number)


def _pipe() -> tuple[int, int]:
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    return read, write

"""One place for a process under the supervisor: how it starts, what it runs, how often it died or could not start.

Always true here: a child never returns into the supervisor's code, never outlives it, and starts with the signals of a
plain process (SIGINT and SIGHUP ignored: a terminal sends them to all, and the supervisor decides for all).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from tradewarden.errors import ConfigurationError, UnavailableError
from tradewarden.http.linux import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_CRASHING: Final = 70
"""It failed for a reason nobody foresaw (EX_SOFTWARE); as the supervisor's own code: a child died too often."""
EXIT_UNAVAILABLE: Final = 75
"""It could not start, for want of something that may be there later: room, a database, a token (EX_TEMPFAIL)."""
EXIT_CONFIGURATION: Final = 78
"""The configuration cannot be used; the log says why (EX_CONFIG). Ends the service only before it was ready."""
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
DEATHS: Final = 5
DEATH_SECONDS: Final = 10.0
_FIRST_DELAY: Final = 0.05
_LONGEST_DELAY: Final = 5.0
_DOUBLINGS: Final = 16


class Log(Protocol):
    """Where it tells what happens (a structlog logger fits)."""

    def info(self, event: str, /, **fields: object) -> object:
        """Tell of something usual."""
        ...

    def error(self, event: str, /, **fields: object) -> object:
        """Tell of something wrong."""
        ...


class Child:
    """A place for a process: its name, what it runs, and how it fared."""

    def __init__(self, name: str, index: int, run: Callable[[Callable[[], None]], None], nice: int = 0) -> None:
        self.name = name
        self.index = index
        self.run = run
        self.nice = nice
        self.pid = 0
        self.ready = False
        self.deaths: list[float] = []
        self.waits = 0
        self.waits_for = 0
        self.start_at = 0.0

    def died(self, now: float) -> bool:
        """Note a death and when to start again; return whether it was one too many."""
        self.deaths = [at for at in self.deaths if now - at < DEATH_SECONDS] + [now]
        self.start_at = now + min(_FIRST_DELAY * 2 ** (len(self.deaths) - 1), _LONGEST_DELAY)
        return len(self.deaths) >= DEATHS

    def waited(self, now: float, code: int) -> bool:
        """Note a start that has to be tried again, and when; return whether it is the first that ended with `code`."""
        first, self.waits_for = self.waits_for != code, code
        self.start_at = now + min(_FIRST_DELAY * 2 ** min(self.waits, _DOUBLINGS), _LONGEST_DELAY)
        self.waits += 1
        return first

    def is_ready(self) -> bool:
        """Note that it is ready; return whether it had to wait for that."""
        waited, self.waits, self.waits_for, self.ready = bool(self.waits), 0, 0, True
        return waited

    def start(self, life: tuple[int, int], tell: int, log: Log) -> None:
        """Fork. The child reads from `life` until the supervisor is gone, and writes its index to `tell` when ready."""
        with contextlib.suppress(OSError):  # what a full disk keeps is not written twice: the child ends by os._exit
            sys.stdout.flush()
            sys.stderr.flush()
        parent = os.getpid()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self.pid = os.fork()
            if self.pid == 0:
                self._live(parent, life, tell, log)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _live(self, parent: int, life: tuple[int, int], tell: int, log: Log) -> NoReturn:
        code = EXIT_CRASHING
        told = False

        def ready() -> None:
            nonlocal told
            told = True
            _tell(tell, self.index)

        try:
            _begin(parent, life)
            os.nice(self.nice)
            self.run(ready)
            code = 0
        except ConfigurationError as error:
            code = EXIT_CONFIGURATION
            if self.waits_for != code:
                log.error("the configuration cannot be used", child=self.name, mistakes=error.mistakes)  # noqa: TRY400 - no trace for a mistake of the user
        except BaseException as error:
            if not told and _passes(error):
                code = EXIT_UNAVAILABLE
            if self.waits_for != code:
                log.error("the process failed", child=self.name, exc_info=error)  # noqa: TRY400 - any log will do
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)


def _passes(error: BaseException) -> bool:
    """Tell whether what failed may go well later, with nothing changed here."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_passes, error.exceptions))
    return isinstance(error, UnavailableError | OSError)


def _begin(parent: int, life: tuple[int, int]) -> None:
    """Become a process of its own, bound to its parent's life."""
    die_with_parent(parent)
    read, write = life
    os.close(write)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=_end_with, args=(read,), name="lifeline", daemon=True).start()


def _end_with(lifeline: int) -> None:
    """Wait for the supervisor's end of the pipe to close, which only its death does, and die."""
    with contextlib.suppress(OSError):
        os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGKILL)


def _tell(descriptor: int, index: int) -> None:
    with contextlib.suppress(OSError):
        os.write(descriptor, bytes((index,)))

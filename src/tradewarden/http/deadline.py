"""Deadlines for requests: one sweep a second over all of them instead of one timer each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SWEEP_SECONDS: Final = 1.0


class Deadlines:
    """Cancels tasks that take longer than `seconds`; at most one sweep later than that.

    All have the same time, so the dictionary's order is the order of their deadlines. `enter`, `leave` and
    `excuse` are called in the task itself:

        task = deadlines.enter()
        try:
            ...
        except asyncio.CancelledError:
            deadlines.excuse()      # goes on when it was too late, re-raises any other cancellation
        finally:
            deadlines.leave(task)
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float] | None = None) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._running: dict[asyncio.Task[object], float] = {}
        self._overdue: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._now = 0.0

    def __len__(self) -> int:
        """Return how many tasks are under way."""
        return len(self._running)

    def enter(self) -> asyncio.Task[object]:
        """Start the current task's time, and the sweep with the first one."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline is for a task")
        if self._timer is None:
            self._start(task.get_loop())
        self._running[task] = self._now
        return task

    def leave(self, task: asyncio.Task[object]) -> None:
        """End a task's time."""
        self._running.pop(task, None)
        self._overdue.discard(task)

    def excuse(self) -> None:
        """Take back the cancellation of the current task when it was for its deadline; else re-raise it."""
        task = asyncio.current_task()
        if task is None or task not in self._overdue:
            raise  # noqa: PLE0704 - called while the cancellation is being handled
        self._overdue.discard(task)
        task.uncancel()

    def stop(self) -> None:
        """End the sweep, with the loop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def sweep(self, now: float) -> None:
        """Cancel what entered more than `seconds` before `now`, and stamp those that enter from here on."""
        self._now = now
        late = []
        for task, since in self._running.items():
            if now - since < self._seconds:
                break
            late.append(task)
        for task in late:
            del self._running[task]
            self._overdue.add(task)
            task.cancel()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._now = (self._monotonic or loop.time)()
        self._timer = loop.call_later(SWEEP_SECONDS, self._again, loop)

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        self.sweep((self._monotonic or loop.time)())
        self._timer = loop.call_later(SWEEP_SECONDS, self._again, loop)

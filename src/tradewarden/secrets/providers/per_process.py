"""Something that is made with the first use, once in each process, and never shared with a child of a fork.

Always true here: a child has connections of its own. On a connection that it inherits it could read the answer to its
parent's question, and take one secret for another.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_inherited: Final[list[Any]] = []
"""What belongs to the parent: held, so that nothing of it is closed here."""


class PerProcess(Generic[T]):
    """One `T` a process, made by `make`; threads share it."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: T | None = None
        self._pid = os.getpid()

    def get(self) -> T:
        """Return this process's own."""
        if self._pid != os.getpid():
            _inherited.append(self._made)
            self._lock, self._made, self._pid = threading.Lock(), None, os.getpid()
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def take(self) -> T | None:
        """Return this process's own and forget it, for the caller to close; None when there is none."""
        if self._pid != os.getpid():
            return None
        with self._lock:
            made, self._made = self._made, None
        return made

"""What must begin anew in a child process: locks that a thread of the parent may hold, counts, what is kept."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Renewed(Protocol):
    """Something that begins anew after a fork."""

    def after_fork(self) -> None:
        """Begin anew; called in the child, in its only thread."""
        ...


_all: WeakSet[Renewed] = WeakSet()


def renewed_after_fork(thing: Renewed) -> None:
    """Have `thing.after_fork()` called in every child process for as long as it lives."""
    _all.add(thing)


def _renew() -> None:
    for thing in list(_all):
        thing.after_fork()


os.register_at_fork(after_in_child=_renew)

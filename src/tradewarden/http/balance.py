"""Keeps the connections of several workers even: who wakes first must not take them all.

Each worker writes how many it holds into its own cell of shared memory. One that holds more than another lets a new
connection wait a millisecond for that other; after it the connection is taken by whoever comes first.
"""

from __future__ import annotations

import mmap
from typing import Final

YIELD_SECONDS: Final = 0.001
_ABSENT: Final = 1 << 40
"""What stands in the cell of a worker that does not accept."""


class Balance:
    """The shared cells. Made before the fork; each worker takes its `share`."""

    def __init__(self, workers: int) -> None:
        self._cells = memoryview(mmap.mmap(-1, 8 * workers)).cast("q")
        for index in range(workers):
            self._cells[index] = _ABSENT

    def share(self, index: int) -> Share:
        """Return the share of one worker."""
        return Share(self._cells, index)


class Share:
    """One worker's view of the cells."""

    __slots__ = ("_cells", "_index")

    def __init__(self, cells: memoryview[int], index: int) -> None:
        self._cells = cells
        self._index = index

    def hold(self, connections: int) -> None:
        """Tell how many connections this worker holds."""
        self._cells[self._index] = connections

    def leave(self) -> None:
        """Tell that this worker accepts no more."""
        self._cells[self._index] = _ABSENT

    def ahead(self) -> bool:
        """Tell whether another worker holds fewer connections than this one."""
        return self._cells[self._index] > min(self._cells)

"""What Linux offers to keep a process's memory to itself, its children from outliving it (prctl(2)), and forks safe.

On other systems only the limit on core dumps is set; the supervisor's pipe holds its children there.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_THREADS: Final = Path("/proc/self/task")
_LOOK_SECONDS: Final = 0.001


def forbid_dumps() -> None:
    """Keep this process and its children from core dumps, and other processes from its memory (decision 14)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies; die now when it has died already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def wait_until_alone(seconds: float) -> int:
    """Wait until this process has no other thread, at most so many seconds; return how many others there are then.

    To Python a thread is over before the kernel ends it: in between, libraries such as OpenSSL free what they kept for
    it, under their own locks. A process forked in that moment waits for such a lock for ever.
    """
    if not _THREADS.is_dir():
        return 0
    end = time.monotonic() + seconds
    while (others := len([*_THREADS.iterdir()]) - 1) and time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
    return others


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))

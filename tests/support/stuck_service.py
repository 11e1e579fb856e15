"""The service with a rotator that stops in the middle of its `set` step, for as long as a file says so.

As a program (`python -m tests.support.stuck_service serve`) it is that service. The file `stuck` in its directory makes
the step wait; it writes `entered` there when it does. Leases are short, so that nobody waits for a dead process long.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tradewarden.cli import main
from tradewarden.secrets.rotation import machine
from tradewarden.secrets.rotation.rotators.random import RandomRotator

if TYPE_CHECKING:
    from tradewarden.secrets.rotation.rotator import Job, ReadSecret

LEASE_SECONDS = 1.0
ROOT = Path(__file__).resolve().parents[2]


async def waiting(self: RandomRotator, job: Job, read: ReadSecret) -> None:
    """Wait until the file is gone."""
    del self, job, read
    while Path("stuck").exists():  # noqa: ASYNC240 - what is waited for has no event
        Path("entered").touch()  # noqa: ASYNC240 - a test's own file
        await asyncio.sleep(0.01)


def program(directory: Path) -> Path:
    """Write a program that is this service, and return where it is."""
    path = directory / "stuck-tradewarden"
    path.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.support.stuck_service "$@"\n')
    path.chmod(0o700)
    return path


if __name__ == "__main__":
    setattr(machine, "LEASE_SECONDS", LEASE_SECONDS)  # noqa: B010 - mypy minds the plain form
    setattr(RandomRotator, "set", waiting)  # noqa: B010 - as above
    main()

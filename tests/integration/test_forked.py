"""An installation that is open in a process which forks: the child has no part in it, and loses nothing of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.service import PROGRAM
from tradewarden import Warden, load_settings
from tradewarden.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tradewarden.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
REFUSED = 17
PATH = "fork/of/it"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings of a fresh installation."""
    return load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data")})


async def within(act: Callable[[], Awaitable[object]]) -> None:
    """Act, for twenty seconds at most."""
    async with asyncio.timeout(20):
        await act()


def in_child(act: Callable[[], Awaitable[object]]) -> int:
    """Fork, act in the child, and return its exit code: `REFUSED` where it was told to open its own."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    signal.alarm(60)
    code = 1
    try:
        asyncio.run(within(act))
        code = 0
    except ConfigurationError as error:
        code = REFUSED if "Warden.open" in error.detail else 2
    finally:
        os._exit(code)


def assert_whole(settings: Settings) -> None:
    """Check that the log tells of nothing that is missing or damaged."""
    environment = {**os.environ, "TRADEWARDEN_DATA_DIR": str(settings.data_dir)}
    done = subprocess.run([PROGRAM, "audit", "verify"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_a_fork_is_told_to_open_its_own(settings: Settings) -> None:
    """Neither a read nor a write of the child is answered, and every answer of the parent stands in the log."""
    async with Warden.open(settings) as warden:
        await warden.local.secrets.put(PATH, {"a": 1})
        acts: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: warden.local.secrets.get(PATH),
            lambda: warden.local.secrets.put(PATH, {"a": 2}),
            lambda: warden.local.tokens.validate("a.b.c"),
        )
        for act in acts:
            waiting = [asyncio.ensure_future(warden.local.secrets.get(PATH)) for _ in range(4)]
            await asyncio.sleep(0)  # so that something is under way while the process is doubled
            assert in_child(act) == REFUSED
            await asyncio.gather(*waiting)
        assert (await warden.local.secrets.put(PATH, {"a": 2})).version == 2
    assert_whole(settings)


def test_a_fork_may_open_the_same_installation(settings: Settings) -> None:
    """With an opening of its own a child works beside its parent."""

    async def own() -> None:
        async with Warden.open(settings) as warden:
            await warden.local.secrets.put("fork/own", {"a": 1})

    async def parent() -> int:
        async with Warden.open(settings) as warden:
            await warden.local.secrets.put(PATH, {"a": 1})
            code = await asyncio.to_thread(in_child, own)
            await warden.local.secrets.get("fork/own")
            return code

    assert asyncio.run(parent()) == 0

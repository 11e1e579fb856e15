"""The work beside the requests: whatever fails in it, the rest goes on, and the end is in order."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.http import until
from tradewarden import Warden, background, load_settings
from tradewarden.background import tidy, work
from tradewarden.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tradewarden.settings import Settings

PLACES = {
    "clerk.run_once": "shipping the audit log failed",
    "clerk.lag": "reporting the audit log's lag failed",
    "clerk.finish": "the audit log's last round failed",
    "acme.validator.run": "work on ACME orders failed",
    "floor.keep": "the time floor could not be stored",
    "revisions": "following other processes failed",
    "tokens.sweep": "forgetting what ended failed",
    "authority.cas.recover": "recovery of CAs failed",
    "authority.revocation.renew": "renewal of the revocation lists failed",
    "authority.cas.tend": "rotation of CAs failed",
    "authority.cas.news": "the look at CAs failed",
}


class Failing:
    """Fails as a full disk does."""

    def __init__(self, error: Exception) -> None:
        self.calls = 0
        self._error = error

    async def __call__(self, *_: object, **__: object) -> Any:  # noqa: ANN401 - as what it stands for
        """Fail."""
        self.calls += 1
        raise type(self._error)(*self._error.args)


class Counted:
    """Does what it stands for, and counts."""

    def __init__(self, does: Callable[..., Any]) -> None:
        self.calls = 0
        self._does = does

    async def __call__(self, *args: object, **named: object) -> Any:  # noqa: ANN401 - as what it stands for
        """Count, and do it."""
        self.calls += 1
        return await self._does(*args, **named)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of an installation whose background is quick."""
    for name in ("_ROUND_SECONDS", "_TIME_SECONDS", "_AGAIN_SECONDS", "_TIDY_SECONDS"):
        monkeypatch.setattr(background, name, 0.01)
    return load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data")})


def put(warden: Warden, place: str, made: Callable[[Callable[..., Any]], Any], patch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    """Put something in the place of a method of this installation; others in this process keep theirs."""
    *rooms, name = place.split(".")
    room: Any = warden
    for each in rooms:
        room = getattr(room, each)
    placed, before = made(getattr(room, name)), getattr(type(room), name)

    def either(which: object, *args: object, **named: object) -> Any:  # noqa: ANN401 - as what it stands for
        return placed(*args, **named) if which is room else before(which, *args, **named)

    patch.setattr(type(room), name, either)
    return placed


@pytest.mark.parametrize("error", [OSError(errno.EIO, "made up"), RuntimeError("made up"), UnavailableError("made up")])
@pytest.mark.parametrize("place", PLACES)
async def test_what_fails_ends_nothing_else(
    place: str,
    error: Exception,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each step may fail at each round: the others come, the end is in order, and it is told."""
    skipped = {"tokens.sweep", "authority.cas.recover", "authority.revocation.renew"} if place == "revisions" else set()
    warden = await Warden.start(settings)
    stop = asyncio.Event()
    with monkeypatch.context() as patch:
        patch.setattr(type(warden.floor), "vouched", lambda _: True)
        others = {each: put(warden, each, Counted, patch) for each in PLACES if each != place}
        failing = put(warden, place, lambda _: Failing(error), patch)
        working = asyncio.create_task(work(warden, stop, lambda _: None))
        awaited = others.keys() - skipped - {"clerk.finish"}
        await until(lambda: working.done() or all(others[each].calls for each in awaited), 60)
        if place != "clerk.finish":
            await until(lambda: failing.calls > 2 or working.done(), 60)
        assert not working.done()
        stop.set()
        await asyncio.wait_for(working, 60)
    await warden.close()
    silent = place == "clerk.lag" and isinstance(error, UnavailableError)
    texts = (PLACES[place], "a CA could not be rotated") if place == "authority.cas.tend" else (PLACES[place],)
    assert silent or any(text in each for each in caplog.messages for text in texts), caplog.messages
    assert {each for each, counted in others.items() if not counted.calls} == skipped


async def test_what_fails_at_every_round_is_told_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A step of each round that fails for as long as a disk is away does not fill the log."""
    with monkeypatch.context() as patch:
        async with Warden.open(settings) as warden:
            failing = put(warden, "clerk.lag", lambda _: Failing(OSError(errno.EIO, "made up")), patch)
            await until(lambda: failing.calls > 10)
            assert not (await warden.readiness()).warnings
    assert len([each for each in caplog.messages if PLACES["clerk.lag"] in each]) == 1


async def test_tidying_fails_for_nobody(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever tidies by hand is not met by an error of one step."""
    async with Warden.open(settings) as warden:
        put(warden, "authority.cas.news", lambda _: Failing(OSError(errno.EIO, "made up")), monkeypatch)
        await tidy(warden)


async def test_readiness_names_a_background_that_has_ended(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Should it die all the same, the library says so and closes in order."""

    async def dies(*_: object) -> None:
        raise RuntimeError("made up")

    with monkeypatch.context() as patch:
        patch.setattr(background, "work", dies)
        async with Warden.open(settings) as warden:
            await until(lambda: warden.ended)
            found = await warden.readiness()
            assert found.warnings == ("background work has ended, and the log says why; open it again",)
            assert not found.reasons
    assert any("background work has ended" in each for each in caplog.messages)
    async with Warden.open(settings) as warden:
        assert (await warden.readiness()).warnings == ()

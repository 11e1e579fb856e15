"""`credentials/<service>.json`: written behind, newest only, never a private key, never in the way."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.pki import START, SetClock, entry, grant, opened
from tradewarden.crypto.keyfile import write_private
from tradewarden.pki import published
from tradewarden.pki.credentials import IssueCredentials
from tradewarden.pki.published import Published

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tradewarden.pki.authority import Authority
    from tradewarden.pki.credentials import Credentials


@pytest.fixture
def clock() -> SetClock:
    """Give a clock to set."""
    return SetClock()


@pytest.fixture
async def authority(tmp_path: Path, clock: SetClock) -> AsyncIterator[Authority]:
    """Give an authority."""
    made = await opened(tmp_path, clock=clock)
    yield made
    await made.close()


async def issue(authority: Authority, service: str = "bot") -> Credentials:
    """Issue to a service, as an admin."""
    return await authority.issue(grant("credentials:issue", service), IssueCredentials(service), entry())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (the condition is a file)
            await asyncio.sleep(0.005)


async def test_a_file_tells_the_certificate_and_no_key(authority: Authority, tmp_path: Path) -> None:
    """The service's file holds its certificate data, 0600, and no private key."""
    made = await issue(authority)
    await authority.close()
    path = tmp_path / "credentials" / "bot.json"
    data = json.loads(path.read_text())
    assert data["certificate"] == made.certificate
    assert data["serial_number"] == made.serial_number
    assert data["issued_at"] == "2026-01-01T00:00:00.000000Z"
    assert "private_key" not in data
    assert "PRIVATE" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_files_are_written_by_themselves(tmp_path: Path, authority: Authority) -> None:
    """Without anyone closing anything the file appears soon after the answer."""
    files = Published(tmp_path / "soon", pause=0.01)
    files.offer(await issue(authority))
    await until((tmp_path / "soon" / "bot.json").exists)
    await files.close()


async def test_many_issues_of_one_service_are_one_write(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits is coalesced by service; the newest certificate is what stands."""
    written: list[Path] = []

    def write(path: Path, data: bytes) -> None:
        written.append(path)
        write_private(path, data)

    monkeypatch.setattr(published, "write_private", write)
    files = Published(tmp_path / "one")
    made = [await issue(authority) for _ in range(20)]
    for each in made:
        files.offer(each)
    await files.close()
    assert len(written) == 1
    assert made[-1].serial_number in (tmp_path / "one" / "bot.json").read_text()


async def test_an_older_certificate_does_not_replace_a_newer_one(
    tmp_path: Path, authority: Authority, clock: SetClock
) -> None:
    """When another process has issued a newer certificate meanwhile, its file stays."""
    old = await issue(authority)
    clock.time = START + 60
    new = await issue(authority)
    for each in (new, old):
        files = Published(tmp_path / "both")
        files.offer(each)
        await files.close()
    assert new.serial_number in (tmp_path / "both" / "bot.json").read_text()


async def test_a_write_that_fails_is_logged_and_tried_again(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory that cannot be written fails no issue, is logged, and is written once it can be."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the directory should be")
    files = Published(blocked, pause=0.01, retry=0.01)
    made = await issue(authority)
    files.offer(made)
    await until(lambda: "could not be written" in caplog.text)
    assert "PRIVATE" not in caplog.text
    blocked.unlink()
    await until((blocked / "bot.json").exists)
    await files.close()


async def test_more_than_can_wait_is_forgotten_with_a_warning(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of waiting files is bounded; the oldest is left out and named in the log."""
    monkeypatch.setattr(published, "MAX_WAITING", 2)
    files = Published(tmp_path / "few")
    for service in ("a", "b", "c"):
        files.offer(await issue(authority, service))
    await files.close()
    assert sorted(path.name for path in (tmp_path / "few").iterdir()) == ["b.json", "c.json"]
    assert "service a is not written" in caplog.text


async def test_closing_waits_for_the_write_that_runs(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When closing returns, the round that was running is written too."""
    running, go = threading.Event(), threading.Event()

    def slow(path: Path, data: bytes) -> None:
        running.set()
        go.wait(10)
        write_private(path, data)

    monkeypatch.setattr(published, "write_private", slow)
    files = Published(tmp_path / "slow", pause=0.0)
    files.offer(await issue(authority))
    await asyncio.to_thread(running.wait, 10)
    closing = asyncio.create_task(files.close())
    go.set()
    await closing
    assert (tmp_path / "slow" / "bot.json").exists()

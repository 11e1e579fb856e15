"""The README does what it says: its tour runs as written on a fresh service, and its table names every room."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.pages import ROOT
from tests.support.walkthrough import walked

README = ROOT / "README.md"


def test_the_tour_runs_as_written(tmp_path: Path) -> None:
    """Every block of the README runs in order on a fresh service, and answers what stands below it."""
    with walked(README, tmp_path) as tour:
        tour.run()
    languages = [block.language for block in tour.ran]
    assert languages.count("sh") >= 10
    assert languages.count("json") + languages.count("text") >= 9
    assert "python" in languages


def test_every_room_is_in_the_table() -> None:
    """A newcomer finds each folder of the package in the table of rooms, and each module it names exists."""
    package = ROOT / "src/tradewarden"
    table = README.read_text().partition("## The rooms")[2].partition("## Where")[0]
    rooms = {path.name for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(re.findall(r"^\| `(\w+)/`", table, re.MULTILINE))
    for line in table.splitlines():
        room = re.match(r"\| `(\w+)/`", line)
        modules = re.findall(r"`(\w+\.py)`", line)
        assert all((package / (room[1] if room else "") / module).is_file() for module in modules), line

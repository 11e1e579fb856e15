"""The library's page shows the runnable example, and both do what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.pages import ROOT, blocks, opened
from tradewarden.local import Local

PAGE = ROOT / "docs" / "library.md"
EXAMPLE = ROOT / "examples" / "library.py"


def test_the_page_shows_the_example_and_what_it_prints(tmp_path: Path) -> None:
    """The page's program is the example to the letter, and prints what the page shows."""
    program = blocks(PAGE)[0]
    assert program.text == EXAMPLE.read_text()
    with opened(PAGE, tmp_path) as page:
        page.run()
    assert page.ran == blocks(PAGE)


def test_the_example_runs_again_on_what_it_left(tmp_path: Path) -> None:
    """A second run on the same directory works as well, without a warning."""
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-W", "error", EXAMPLE], cwd=tmp_path, check=True, capture_output=True, timeout=60
        )
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_the_page_lists_every_room_and_method() -> None:
    """The table of rooms is the library's face, no more and no less."""
    shown = {
        room: set(re.findall(r"`(\w+)`", methods))
        for room, methods in re.findall(r"^\| `(\w+)` \| (`.+) \|$", PAGE.read_text(), re.MULTILINE)
    }
    rooms = {name: getattr(Local(object()), name) for name in vars(Local(object()))}  # type: ignore[arg-type]
    assert shown == {
        name: {method for method in dir(room) if not method.startswith("_")} for name, room in rooms.items()
    }

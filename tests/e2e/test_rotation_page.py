"""docs/rotation.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.exchange import Key, exchange
from tests.support.pages import ROOT
from tests.support.walkthrough import walked
from tradewarden.secrets.rotation.machine import Step

PAGE = ROOT / "docs/rotation.md"


@pytest.mark.slow
def test_the_page_about_rotation_runs_as_written(tmp_path: Path) -> None:
    """Every block runs in order beside a fresh service, and answers what stands below it."""
    with exchange() as standin, walked(PAGE, tmp_path) as page:
        standin.keys = {
            "old-key-of-the-desk-0001": Key("old-secret-of-the-desk"),
            "new-key-of-the-desk-0002": Key("new-secret-of-the-desk"),
        }
        page.second_port = standin.port
        page.run()
    assert len(page.ran) >= 10


def test_the_page_has_every_step() -> None:
    """The table of steps is the machine's, in its order."""
    assert re.findall(
        r"^\| `([a-z]+)` \| .* \| .* \|$", PAGE.read_text().partition("### Rotators")[0], re.MULTILINE
    ) == [step.value for step in Step]

"""docs/hardware.md does what it says, with SoftHSM 2 as the token."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.pages import ROOT
from tests.support.softhsm import module
from tests.support.walkthrough import walked

__all__ = ["module"]


@pytest.mark.slow
def test_the_page_about_hardware_runs_as_written(module: Path, tmp_path: Path) -> None:
    """Every block runs in order in a directory of its own, and answers what stands below it."""
    try:
        with walked(ROOT / "docs/hardware.md", tmp_path) as page:
            page.run()
        assert len(page.ran) >= 10
    finally:
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int((tmp_path / "checkout/serve.pid").read_text()), signal.SIGKILL)

"""The interactive documentation in a real browser, under its own content security policy."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tradewarden.http.routes import ROUTES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.service import Service

QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=10000", "--dump-dom",
)  # fmt: skip


def browser() -> str:
    """Return where Chromium is; without it the test is skipped, and in CI that is a failure."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is not installed; scripts/test-tools installs it as root")
        pytest.skip("Chromium is not installed")
    return found


def test_a_browser_shows_every_call(trial: Service, tmp_path: Path) -> None:
    """The page is made from the packaged assets and the document of the route table, with nothing from elsewhere."""
    program = [browser(), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", f"{trial.url}/docs"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    for route in ROUTES:
        assert f'data-path="{route.path.replace("...", "")}"' in done.stdout, route.path
    assert "Refused to" not in done.stderr

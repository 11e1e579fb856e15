"""docs/migrate.md does what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pages import ROOT
from tests.support.walkthrough import walked


@pytest.mark.slow
def test_the_page_runs_as_written(tmp_path: Path) -> None:
    """Every block runs in order in a fresh directory, and prints what stands below it."""
    with walked(ROOT / "docs/migrate.md", tmp_path) as page:
        page.run()
    assert len(page.ran) >= 14
    assert not any("Traceback" in output for output in page.outputs)

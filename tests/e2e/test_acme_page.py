"""docs/acme.md does what it says, with the real certbot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pages import ROOT
from tests.support.walkthrough import walked


@pytest.mark.slow
def test_the_page_about_acme_runs_as_written(tmp_path: Path) -> None:
    """Every block runs in order beside a fresh service, and answers what stands below it."""
    with walked(ROOT / "docs/acme.md", tmp_path) as page:
        page.run()
    assert len(page.ran) >= 5

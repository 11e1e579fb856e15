"""The page about Vault runs as written, against a real server; its tables say what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pages import ROOT, blocks, opened
from tests.support.vault import program, served
from tradewarden.secrets.vaulted.known import MAX_VALUE_BYTES, MAX_VALUES
from tradewarden.secrets.vaulted.vaulted import OUTCOMES
from tradewarden.settings.table import VAULT_LOGINS

PAGE = ROOT / "docs" / "vault.md"


@pytest.mark.slow
def test_the_page_runs_as_written(tmp_path: Path) -> None:
    """An operator lets the service in, starts it, and both see the same secrets."""
    vault = f'exec "{program()}" "$@"'
    with served() as server, opened(PAGE, tmp_path, {"vault": vault}) as page:
        page.environment |= {"VAULT_ADDR": server.place.url, "VAULT_TOKEN": server.place.root}
        page.run()
    assert page.ran == blocks(PAGE)


def test_the_page_knows_the_numbers_and_names() -> None:
    """Limits, logins and outcomes are those of the code."""
    text = PAGE.read_text()
    assert f"{MAX_VALUES} of them, up to {MAX_VALUE_BYTES // 1024} KiB" in text
    for name in (*OUTCOMES, *VAULT_LOGINS):
        assert f"`{name}`" in text

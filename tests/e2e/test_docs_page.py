"""The interactive documentation in a real browser, under its own content security policy."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.service import PROGRAM, bare_environment, start, stop
from tests.support.wire import Wire
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


@pytest.mark.parametrize("development", [True, False])
def test_the_documents_are_there_in_development_alone(trial: Service, tmp_path: Path, development: bool) -> None:
    """Outside development there are no such paths, for an administrator neither, and nothing points to them."""
    service = trial if development else production(tmp_path)
    context = None if development else ssl.create_default_context(cafile=service.data_dir / "ca" / "ca_cert.pem")
    try:
        with Wire(service.url, token=service.admin_token, tls=context) as wire:
            for path in ("/openapi.json", "/docs", "/docs/swagger-ui.css"):
                answer = wire.ask("GET", path)
                assert answer.status == (200 if development else 404), path
            told = wire.ask("GET", "/none").json()
            assert told["code"] == "unknown_route"
            assert ("/openapi.json" in told["detail"]) is development
            assert wire.ask("GET", "/metrics").status == 200
    finally:
        assert development or stop(service) == 0


def production(directory: Path) -> Service:
    """Return a service that runs outside development."""
    settings = {
        "ALPHAPULSE_ENV": "production",
        "TRADEWARDEN_ROOT_KEY": "env:DOCS_TEST_ROOT",
        "DOCS_TEST_ROOT": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    }
    places = {"TRADEWARDEN_DATA_DIR": str(directory / "security")}
    environment = {**bare_environment(), **settings, **places}
    subprocess.run([PROGRAM, "init"], cwd=directory, env=environment, check=True, capture_output=True)
    return start(directory, **settings)

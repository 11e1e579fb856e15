"""The import directions are kept here, and broken in an example to see the contracts work."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = 8

# One breach of each contract.
BREACHES = {
    "secrets/__init__.py": "import tradewarden.pki\n",
    "secrets/chain/__init__.py": "",
    "secrets/providers/__init__.py": "import tradewarden.secrets.chain\n",
    "pki/__init__.py": "",
    "crypto/__init__.py": "import starlette\n",
    "access/__init__.py": "import sqlite3\n",
    "keys/__init__.py": "import rich\n",
    "tokens/__init__.py": "import cryptography\n",
    "settings.py": "",
    "datadir.py": "",
    "readiness.py": "",
    "outbound.py": "",
    "log.py": "",
    "forked.py": "",
    "app.py": "",
    "ground.py": "",
    "records.py": "",
    "local.py": "",
    "background.py": "",
    "compromised.py": "",
    "own_services.py": "",
    "unregister.py": "",
    "ways_in.py": "",
    "rooms.py": "",
    "policies.py": "",
    "lookout.py": "",
    "errors.py": "import alpha_pulse\n",
    "clock.py": "",
    "abreast.py": "",
    "ip.py": "",
    "__init__.py": "",
    "audit/__init__.py": "",
    "cli/__init__.py": "",
    "http/__init__.py": "",
    "storage/__init__.py": "",
    "timefloor/__init__.py": "",
    "../alpha_pulse/__init__.py": "import tradewarden.crypto\n",
}


def lint_imports(folder: Path) -> tuple[int, str]:
    """Runs import-linter over the package that is importable from `folder`."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache", "--config", "pyproject.toml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_import_points_down() -> None:
    """No module imports from a room beside or above its own."""
    status, report = lint_imports(ROOT)
    assert status == 0, report
    assert f"Contracts: {CONTRACTS} kept, 0 broken." in report


def test_each_contract_finds_a_breach(tmp_path: Path) -> None:
    """Every contract names the example that breaks it."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, text in BREACHES.items():
        file = tmp_path / "tradewarden" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    status, report = lint_imports(tmp_path)
    assert status == 1, report
    assert f"Contracts: 0 kept, {CONTRACTS} broken." in report

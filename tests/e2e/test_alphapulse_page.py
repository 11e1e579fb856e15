"""AlphaPulse's page is true: every line of its document's chapters on secrets runs as written.

AWS is moto's server; Vault is a real one where there is a program, and its blocks are left out where there is none.
Moto asks nobody for a password: that `AWS_ACCESS_KEY_ID` is the right one is not shown here.
"""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path

import pytest

from tests.support.exporting import session
from tests.support.pages import ROOT, blocks
from tests.support.providers import aws_url
from tests.support.vault import Place, program, vault

__all__ = ["aws_url", "vault"]
PAGE = ROOT / "docs" / "alphapulse.md"
THEIRS = """\
cp .env.example .env
# Edit .env with your actual values
export AWS_REGION=us-east-1
export AWS_ACCESS_KEY_ID=your_access_key
export AWS_SECRET_ACCESS_KEY=your_secret_key
from alpha_pulse.utils.secrets_manager import AWSSecretsManagerProvider
provider = AWSSecretsManagerProvider()
provider.set_secret("database_credentials", {
    "host": "prod-db.example.com",
    "user": "alphapulse",
    "password": "secure_password"
})
export VAULT_URL=https://vault.your-domain.com
export VAULT_TOKEN=your_vault_token
vault kv put secret/alphapulse/database_credentials \\
    host=staging-db.example.com \\
    user=alphapulse \\
    password=secure_password
# Create template
python scripts/migrate_secrets.py --create-template
# Migrate existing credentials
python scripts/migrate_secrets.py --method env --output .env.secure
# Or migrate to encrypted files
python scripts/migrate_secrets.py --method encrypted --secrets-dir .secrets
Error: Secret 'database_credentials' not found
Error: JWT validation failed
Error: Insufficient permissions for operation
import logging
logging.getLogger("alpha_pulse.utils.secrets_manager").setLevel(logging.DEBUG)
logging.getLogger("alpha_pulse.api.auth").setLevel(logging.DEBUG)
""".splitlines()
KEY, SECRET = secrets.token_hex(32), secrets.token_hex(32)
TYPES = ("Database credentials", "Exchange API keys", "Data provider API keys", "Security keys", "User API tokens")


def sample(folder: Path) -> Path:
    """Make a repository that has a hard-coded key, and the script that its document names."""
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "migrate_secrets.py", folder / "scripts")
    (folder / "bot.py").write_text(f'BINANCE_API_KEY = "{KEY}"\nBINANCE_API_SECRET = "{SECRET}"\n')
    return folder


def reachable_vault(request: pytest.FixtureRequest) -> Place | None:
    """Return a real Vault, None where there is none."""
    try:
        place: Place = request.getfixturevalue("vault")
    except pytest.skip.Exception:
        return None
    return place


def test_the_page_runs_as_written(request: pytest.FixtureRequest, aws_url: str, tmp_path: Path) -> None:
    """Each block works in a fresh checkout, and what it shows is what comes."""
    there = reachable_vault(request)
    left_out = frozenset() if there else frozenset({"vault"})
    with session(
        PAGE,
        tmp_path,
        environment={"AWS_ENDPOINT_URL": aws_url, "AWS_EC2_METADATA_DISABLED": "true"},
        stand_ins={"vault": f'exec {program()} "$@"'} if there else {},
        replaced={"https://vault.your-domain.com": there.url, "your_vault_token": there.root} if there else {},
        left_out=left_out,
    ) as page:
        platform = sample(page.folder / "platform")
        page.run()
    assert page.ran == [block for block in blocks(PAGE) if block.mark not in left_out]
    moved = platform / ".env.secure"
    assert moved.stat().st_mode & 0o777 == 0o600
    assert f"ALPHAPULSE_BINANCE_API_SECRET={SECRET}" in moved.read_text().replace('"', "").replace("'", "")
    assert (platform / ".secrets").stat().st_mode & 0o777 == 0o700
    assert (platform / "bot.py").read_text().count(SECRET) == 1


def test_every_line_of_theirs_is_on_the_page_and_runs() -> None:
    """The commands, Python lines and messages of AlphaPulse's document stand in blocks, and none is left out."""
    lines = {line for block in blocks(PAGE) for line in block.text.splitlines()}
    assert [line for line in THEIRS if line not in lines] == []
    assert [block for block in blocks(PAGE) if block.mark.startswith("no,")] == []


def test_every_secret_type_of_theirs_is_on_the_page() -> None:
    """The table names what AlphaPulse's document lists, and the three environments with their providers."""
    text = PAGE.read_text()
    assert [each for each in TYPES if f"| {each} |" not in text] == []
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", text.partition("| secret |")[0], re.MULTILINE)
    assert [name for name, _, _ in rows] == ["development", "staging", "production"]

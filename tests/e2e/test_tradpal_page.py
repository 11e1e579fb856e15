"""TradPal's page is true: each block runs as written, and every line that TradPal's users type is on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.pages import ROOT, blocks, opened
from tradewarden.settings.table import VARIABLES

PAGE = ROOT / "docs" / "tradpal.md"

# An editor waits for a person, and images are built elsewhere: what stands in for them checks what the lines name.
STAND_INS = {
    "nano": 'test -w "$1"',
    "docker": """
case "$*" in
"build -t tradpal/security-service .") test -f Dockerfile && : > ../built ;;
"run -p 8002:8002 tradpal/security-service") test -f ../built && grep -q 'EXPOSE 8002' Dockerfile ;;
*) echo "unknown: docker $*" && exit 1 ;;
esac""",
}
THEIRS = """\
pip install -r requirements.txt
cp .env.example .env
nano .env
python -m services.security_service.api
python services/security_service/demo.py
docker build -t tradpal/security-service .
docker run -p 8002:8002 tradpal/security-service
GET /health
POST /credentials/issue
POST /tokens/generate
POST /tokens/validate
POST /secrets/store
GET /secrets/api_keys/binance
Authorization: Bearer <admin-jwt-token>
Authorization: Bearer <jwt-token>
  "service_name": "trading_bot_service"
  "service_name": "mlops_service",
  "permissions": ["read", "write"]
  "path": "api_keys/binance",
    "api_key": "your-api-key",
    "secret_key": "your-secret-key"
from services.security_service import SecurityService, SecurityConfig
    config = SecurityConfig()
    service = SecurityService(config)
    await service.start()
    creds = await service.issue_service_credentials("my_service")
    token = await service.generate_jwt_token(
    await service.store_secret("my/secret", {"key": "value"})
    secret = await service.retrieve_secret("my/secret")
    await service.stop()
response = httpx.post("http://localhost:8002/tokens/generate", json={
httpx.post("http://localhost:8002/secrets/store",
response = httpx.get("http://localhost:8002/secrets/api_keys/test",
secret = response.json()["data"]
python -m pytest tests.py -v
python -m pytest tests.py::TestSecurityServiceIntegration -v
python -m pytest tests.py --cov=service --cov-report=html
""".splitlines()


def test_the_page_runs_as_written(tmp_path: Path) -> None:
    """Each block of the page works in a fresh checkout, and what it shows is what comes."""
    with opened(PAGE, tmp_path, STAND_INS) as page:
        page.run()
    runnable = [block for block in blocks(PAGE) if block.language != "yaml" and not block.mark.startswith("no,")]
    assert page.ran == runnable
    data = page.folder / "cache" / "security"
    assert data.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in page.folder.iterdir()} - {path.name for path in ROOT.iterdir()} <= {
        ".env",
        "cache",
        ".pytest_cache",
    }


def test_every_line_of_theirs_is_on_the_page_and_runs() -> None:
    """The commands, calls and Python lines of TradPal's document stand in blocks that are run."""
    lines = {line for block in blocks(PAGE) for line in block.text.splitlines()}
    assert [line for line in THEIRS if line not in lines] == []
    not_run = [block.text for block in blocks(PAGE) if block.mark.startswith("no,")]
    assert not_run == ["# Install dependencies\npip install -r requirements.txt\n"]


def test_every_variable_on_the_page_has_the_default_it_has() -> None:
    """The table's names are settings, and its defaults theirs."""
    known = {variable.name: variable for variable in VARIABLES}
    table = PAGE.read_text().partition("### Environment variables")[2].partition("\n\n###")[0]
    rows = re.findall(r"^\| (`.+?) \| .+ \| (.+) \|$", table, re.MULTILINE)
    seen = [
        (name, default)
        for names, defaults in rows
        for name, default in zip(re.findall(r"`(\w+)`", names), 2 * defaults.split(", "), strict=False)
    ]
    for name, default in seen:
        value = known[name].default
        text = "unset" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"
        assert default in (text, known[name].shown, "made on the first start"), name
    assert len(seen) == 13


def test_the_deployment_files_name_what_is_there() -> None:
    """The Compose context has a Dockerfile; volumes, ports, user and variables are the image's and the service's."""
    compose, kubernetes = [block.text for block in blocks(PAGE) if block.language == "yaml"]
    (context,) = re.findall(r"build: (\S+)", compose)
    dockerfile = (ROOT / context / "Dockerfile").read_text()
    assert "./cache/security:/app/cache/security" in compose
    assert 'VOLUME ["/app/cache/security"]' in dockerfile
    for part in (compose, kubernetes, re.findall(r"EXPOSE (.+)", dockerfile)[0]):
        assert "8002" in part
    for user in re.findall(r"fsGroup: (\d+)", kubernetes) + re.findall(r"install -d -o (\d+)", PAGE.read_text()):
        assert f"USER {user}:{user}" in dockerfile
    assert set(re.findall(r"name: ([A-Z_]{4,})", kubernetes)) <= {variable.name for variable in VARIABLES}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("```bash\ntrue\nfalse\n```\n", "ended with 1"),
        ("```python\nimport nothing_of_the_kind\n```\n", "No module named"),
        ('```bash\necho \'{"a": 1}\'\n```\n\n```json\n{"a": 1, "b": 2}\n```\n', "another answer"),
        ('```bash\necho \'{"a": "x"}\'\n```\n\n```json\n{"a": "y…"}\n```\n', "the page has"),
        ("```bash\necho one\n```\n\n```text\ntwo\n```\n", "did not come"),
        ("```console\n$ echo one\ntwo\n```\n", "did not come"),
        ("```json\n{}\n```\n", "follows nothing"),
        ("<!-- run: no, see tests/nowhere.py -->\n```bash\nfalse\n```\n", "not there to cover"),
        ("<!-- run: service -->\n```bash\nfalse\n```\n", "did not start"),
    ],
)
def test_a_page_that_is_not_true_fails(tmp_path: Path, text: str, why: str) -> None:
    """The runner names the line of a block that fails or shows what does not come."""
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match=rf"page\.md, line \d+: [\s\S]*{why}"), opened(page, tmp_path) as run:
        run.run()

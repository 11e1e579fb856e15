"""The documents do what they say: commands run, links lead somewhere, what is made from code is up to date."""

from __future__ import annotations

import os
import re
import runpy
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.support.pages import ROOT
from tests.support.walkthrough import shape, walked

RUN = ("ca", "identity", "integrate", "operate", "recover")
OURS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *(
        ROOT / f"docs/{name}.md"
        for name in (
            *RUN,
            "acme",
            "alphapulse",
            "migrate",
            "rotation",
            "secrets",
            "architecture",
            "hardware",
            "threat-model",
            "vault",
        )
    ),
    *sorted((ROOT / "docs/adr").glob("*.md")),
    *sorted((ROOT / "docs/security").glob("*.md")),
]
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")


@contextmanager
def _no_service_left(folder: Path) -> Iterator[None]:
    """End the service that a page started by itself, should the page have failed before it ended it."""
    try:
        yield
    finally:
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int((folder / "checkout/serve.pid").read_text()), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_a_page_runs_as_written(name: str, tmp_path: Path) -> None:
    """Every block runs in order on a fresh service or directory, and answers what stands below it."""
    with _no_service_left(tmp_path), walked(ROOT / f"docs/{name}.md", tmp_path) as page:
        page.run()
    assert len(page.ran) >= 10


def test_few_blocks_are_left_out() -> None:
    """A shell block that does not run says why, and there are few of them."""
    left_out = [
        info
        for page in OURS
        for info in re.findall(r"^```(?:sh|python|bash)[ \t]+(\S.*)$", page.read_text(), re.MULTILINE)
    ]
    assert all(re.fullmatch(r"no-run: \w.+", info) for info in left_out), left_out
    assert len(left_out) <= 3


@pytest.mark.parametrize("page", OURS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file that exists, and its fragment a heading in it."""
    for target, fragment in _LINK.findall(page.read_text()):
        if target.startswith(("http:", "https:")):
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{target} does not exist"
        assert not fragment or fragment in _anchors(path), f"{target}#{fragment} is no heading"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_what_is_made_from_code_is_up_to_date() -> None:
    """The access table, the error codes, the quoted pipeline and the other made parts are what the code says now."""
    tables = runpy.run_path(str(ROOT / "scripts/tables.py"))
    renewed: Callable[[str], str] = tables["renewed"]
    pages = [*tables["pages"]()]
    assert [page.name for page in pages if renewed(page.read_text()) != page.read_text()] == []
    made = set(re.findall(r"made by scripts/tables\.py: ([a-z-]+)", "".join(page.read_text() for page in pages)))
    assert made == set(tables["PARTS"]), "a part is made that no page shows, or shown and not made"


def test_the_listeners_refusals_are_documented() -> None:
    """Every code that the listener answers by itself stands in the page about integration."""
    page = (ROOT / "docs/integrate.md").read_text()
    source = "".join((ROOT / f"src/tradewarden/http/{name}.py").read_text() for name in ("head", "protocol"))
    calls = [*re.findall(r'(?:Refusal|unreadable)\(.*"([a-z_]+)"(?:, "[^"]+")?\)', source), "malformed_request"]
    assert len(set(calls)) >= 8
    assert [code for code in sorted(set(calls)) if f"`{code}`" not in page] == []


def test_every_decision_is_listed() -> None:
    """Each record of a decision has context, decision and consequences, and stands in the list."""
    records = sorted(path for path in (ROOT / "docs/adr").glob("0*.md"))
    listed = (ROOT / "docs/adr/README.md").read_text()
    for number, record in enumerate(records, 1):
        text = record.read_text()
        assert record.name.startswith(f"{number:04}-")
        assert record.name in listed
        assert text.startswith(f"# {number}. ")
        assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Consequences"))


def test_where_the_units_start_from_is_made_on_a_page() -> None:
    """The folder that the systemd units name is made by commands of the page that says to use them."""
    page = (ROOT / "docs/operate.md").read_text()
    for unit in sorted((ROOT / "deploy/systemd").glob("*.service")):
        (folder,) = set(re.findall(r"^ExecStart=(/\S+)/bin/tradewarden ", unit.read_text(), re.MULTILINE))
        assert f"python3 -m venv {folder}\n{folder}/bin/pip install -c constraints.txt .\n" in page
    assert (ROOT / "constraints.txt").is_file()


@pytest.mark.parametrize("page", ["README.md", "docs/integrate.md"])
def test_what_a_page_writes_into_the_checkout_is_for_the_user_alone(page: str) -> None:
    """A block that writes a secret or a key sets the umask first, and git passes the file over."""
    ignored = (ROOT / ".gitignore").read_text().split()
    written = re.compile(r"(?:> |-out )([\w-]+\.\w+)$", re.MULTILINE)
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    secret = [(block, name) for block in blocks for name in written.findall(block) if name != "openapi.json"]
    assert len(secret) >= 5
    for block, name in secret:
        assert block.startswith("umask 077"), block
        assert any(fnmatch(f"/{name}", pattern) for pattern in ignored), name


def test_the_unit_starts_what_exists() -> None:
    """The systemd unit sets only variables that the service knows, and starts its command."""
    unit = (ROOT / "deploy/systemd/tradewarden.service").read_text()
    known = (ROOT / "docs/configuration.md").read_text()
    names = [name.removesuffix("_FILE") for name in re.findall(r"^Environment=(\w+)=", unit, re.MULTILINE)]
    assert len(names) >= 5
    assert [name for name in names if f"`{name}`" not in known] == []
    assert "/tradewarden serve\n" in unit


def test_a_shape_levels_only_what_differs_from_run_to_run() -> None:
    """Two runs' outputs have one shape; another word, result or field has another."""
    one = '{"version":1,"at":"2026-11-22T01:16:13.797093Z","id":"47e823d79f0000000008","result":"denied"}'
    other = '{"version":2,"at":"2027-01-02T11:16:13.000000Z","id":"00e823d79f0000000abc","result":"denied"}'
    assert shape(one) == shape(other)
    assert shape(one) != shape(other.replace("denied", "success"))

"""Accepted findings, and lines that allow themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.labelled import made
from tradewarden.errors import ConfigurationError, InvalidInputError
from tradewarden.migrate.baseline import DIRECTORY, Baseline
from tradewarden.migrate.scan import find, find_in

VALUE = made("mixed32", "baseline")
LINE = f'POLYGON_API_KEY = "{VALUE}"\n'
DAY = 86_400.0


class _Clock:
    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


def _opened(root: Path, later: float = 0.0) -> Baseline:
    return Baseline(root, clock=_Clock(1_800_000_000.0 + later))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with one finding."""
    (tmp_path / "a.py").write_text(LINE)
    return tmp_path


def _accept(root: Path, **more: str) -> Path:
    (finding,) = find(root)
    return _opened(root).accept(finding, why="made up for the tests", who="anna", **more)


def test_an_accepted_finding_is_found_no_more(root: Path) -> None:
    """It stays accepted when its line or its file moves, and is one small file that tells who and why."""
    path = _accept(root)
    (root / "a.py").rename(root / "b.py")
    (root / "b.py").write_text(f"import os\n\n{LINE}")
    assert find(root, accepted=_opened(root)) == []
    assert path.parent == root / DIRECTORY
    content = path.read_text()
    assert "anna" in content
    assert "made up for the tests" in content
    assert VALUE not in content


def test_another_value_is_found(root: Path) -> None:
    """Acceptance is for the value: the next one on the same line is a finding."""
    _accept(root)
    (root / "a.py").write_text(LINE.replace(VALUE, made("mixed32", "other")))
    baseline = _opened(root)
    assert len(find(root, accepted=baseline)) == 1
    assert [each.file for _, each in baseline.stale()] == ["a.py"]


def test_an_acceptance_ends(root: Path) -> None:
    """From its day on it counts no more, and is named."""
    _accept(root, until="2027-01-16T00:00:00.000000Z")
    assert find(root, accepted=_opened(root)) == []
    later = _opened(root, later=2 * DAY)
    assert len(find(root, accepted=later)) == 1
    assert [each.who for _, each in later.ended()] == ["anna"]


def test_two_branches_do_not_conflict(root: Path) -> None:
    """The same finding accepted twice gives two files, and either is enough."""
    one, other = _accept(root), _accept(root)
    assert one != other
    one.unlink()
    assert find(root, accepted=_opened(root)) == []


def test_files_of_two_salts_both_count(root: Path) -> None:
    """Branches that both accepted their first finding chose two salts; after the merge both hold."""
    other = root / "elsewhere"
    other.mkdir()
    (other / "c.py").write_text(LINE.replace(VALUE, made("mixed32", "third")))
    moved = _accept(other)
    (root / "c.py").write_text((other / "c.py").read_text())
    (other / "c.py").unlink()
    (finding,) = [each for each in find(root) if each.file == "a.py"]
    _opened(root).accept(finding, why="made up", who="ben")
    moved.rename(root / DIRECTORY / moved.name)
    (other / DIRECTORY).rmdir()
    assert find(root, accepted=_opened(root)) == []


def test_a_reason_is_needed(root: Path) -> None:
    """Nothing is accepted without saying why."""
    (finding,) = find(root)
    with pytest.raises(InvalidInputError, match="Say why"):
        _opened(root).accept(finding, why=" ", who="anna")


@pytest.mark.parametrize("content", ["", "{}", '{"rule": 1}', "\xff"])
def test_a_damaged_file_is_named(root: Path, content: str) -> None:
    """A file that is no acceptance stops the scan with its name: it must not look like none."""
    path = _accept(root)
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=path.name):
        _opened(root)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"x_token = '{VALUE}'  # tradewarden: allow a public demo key", 0),
        (f"x_token = '{VALUE}'  # tradewarden: allow", 1),
        (f"x_token = '{VALUE}'  # pragma: allowlist secret", 0),
        (f"# pragma: allowlist nextline secret\nx_token = '{VALUE}'", 0),
        (f"# tradewarden: allow this is another line\nx_token = '{VALUE}'", 1),
        (f"x_token = '{VALUE}' or 'tradewarden: allow in a text'", 1),
    ],
)
def test_a_line_can_allow_itself(line: str, found: int) -> None:
    """Our comment needs a reason; detect-secrets' comments count as they are."""
    assert len(find_in("a.py", f"{line}\n")) == found

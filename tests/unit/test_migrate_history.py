"""What git history keeps, and what must be replaced because of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from tests.support.labelled import made
from tests.support.repositories import Repository
from tradewarden.migrate.history import Kept, history
from tradewarden.migrate.scan import find

BINANCE = made("alnum64", "history")
POLYGON = made("mixed32", "history")


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """An empty repository."""
    return Repository(tmp_path / "repo")


def _only(root: Path) -> Kept:
    (kept,) = history(root, current=find(root)).kept
    return kept


def test_a_key_that_was_removed_is_still_kept(repo: Repository) -> None:
    """A key that no file holds any more is named with its first commit, its last, the one that took it out."""
    first = repo.commit({"bot.py": f'BINANCE_API_KEY = "{BINANCE}"\n'}, day=3)
    last = repo.commit({"bot.py": f'# live\nBINANCE_API_KEY = "{BINANCE}"\n'}, day=5)
    gone = repo.commit({"bot.py": "import os\n"}, day=9)
    kept = _only(repo.root)
    assert (kept.first.name, kept.first.date[:10]) == (first, "2026-01-03")
    assert (kept.last.name, kept.removed and kept.removed.name) == (last, gone)
    assert (kept.destination, kept.field) == ("binance_credentials", "api_key")
    assert kept.rotate.startswith("Binance: API Management")


def test_a_key_that_moved_is_one(repo: Repository) -> None:
    """A renamed file and a copied key are one credential with all its files; it is in the tree while one has it."""
    repo.commit({"bot.py": f'BINANCE_API_KEY = "{BINANCE}"\n'}, day=1)
    repo.git("mv", "bot.py", "trader.py")
    repo.commit({}, day=2)
    repo.commit({"conf.json": f'{{"binance": {{"key": "{BINANCE}"}}}}', "trader.py": "import os\n"}, day=3)
    kept = _only(repo.root)
    assert kept.files == ("bot.py", "conf.json", "trader.py")
    assert kept.first.date[:10] == "2026-01-01"
    assert kept.removed is None


@pytest.mark.parametrize("where", ["branch", "tag", "stash", "merge", "detached"])
def test_every_reference_is_looked_at(repo: Repository, where: str) -> None:
    """Other branches, tags, the stash, what only a merge wrote and a detached work tree keep keys, too."""
    repo.commit({"a.py": "x = 1\n"})
    text = f'POLYGON_API_KEY = "{POLYGON}"\n'
    if where == "stash":
        repo.write({"a.py": text})
        repo.git("stash")
    elif where == "merge":
        repo.git("checkout", "-q", "-b", "side")
        repo.commit({"b.py": "y = 1\n"}, day=2)
        repo.git("checkout", "-q", "main")
        repo.commit({"c.py": "z = 1\n"}, day=3)
        repo.git("merge", "-q", "--no-commit", "--no-ff", "side")
        repo.commit({"c.py": text}, day=4)
        repo.commit({"c.py": "z = 2\n"}, day=5)
    else:
        repo.git("checkout", "-q", *({"branch": ("-b", "side")}.get(where, ("--detach",))))
        repo.commit({"a.py": text}, day=2)
        if where == "tag":
            repo.git("tag", "v1")
        if where != "detached":
            repo.git("checkout", "-q", "main")
    assert _only(repo.root).destination == "polygon_api_key"


def test_no_value_is_in_the_answer(repo: Repository) -> None:
    """Whatever is printed of a history, no credential is in it."""
    repo.commit({"a.py": f'BINANCE_API_KEY = "{BINANCE}"\n', ".env": f"DB_PASSWORD={POLYGON}\n"})
    seen = history(repo.root)
    assert len(seen.kept) == 2
    text = msgspec.json.encode(seen).decode() + repr(seen)
    assert BINANCE not in text
    assert POLYGON not in text


def test_too_little_time_is_said(repo: Repository) -> None:
    """Where the time was up, the answer says that it is not complete."""
    repo.commit({"a.py": f'BINANCE_API_KEY = "{BINANCE}"\n'})
    with pytest.MonkeyPatch.context() as patch:
        clock = SimpleNamespace(monotonic=iter(range(0, 10_000, 1_000)).__next__)  # this module's: other threads run
        patch.setattr("tradewarden.migrate.history.time", clock)
        assert not history(repo.root, seconds=100).complete
    assert history(repo.root).complete


def test_names_of_any_bytes_are_read(repo: Repository) -> None:
    """Files whose names hold line ends, quotes or other bytes are read like others."""
    repo.commit({'we"ird\nname\tä.py': f'POLYGON_API_KEY = "{POLYGON}"\n'})
    assert _only(repo.root).files == ('we"ird\nname\tä.py',)

"""An undo brings files back to the byte, opens only with its key, and only until its time is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradewarden.errors import ConfigurationError, IntegrityError, NotFoundError
from tradewarden.migrate.replacing import Replacement, replace_all
from tradewarden.migrate.undo import Undo

_DAY = 86_400
_BEFORE, _AFTER = b"\xef\xbb\xbfkey = 'Kx82jdkLq7Zm'\r\n", b"key = read()\r\n"


class _Clock:
    time = 1_700_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


class _Place:
    """A tree of two changed files, and an undo for it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        self.clock = _Clock()
        self.files, self.keys = folder / "undo", folder / "keys"
        self.undo = Undo(self.files, self.keys, self.clock)
        (self.root / "bots").mkdir(parents=True)
        self.paths = [self.root / "bots/a.py", self.root / "b.py"]
        for path in self.paths:
            path.write_bytes(_BEFORE)
            path.chmod(0o754)
        changes = [Replacement(path, _BEFORE, _AFTER) for path in self.paths]
        self.name = self.undo.save(self.root, changes)
        replace_all(changes)


@pytest.fixture
def place(tmp_path: Path) -> _Place:
    """A tree that was just migrated."""
    return _Place(tmp_path)


def test_it_brings_every_file_back(place: _Place) -> None:
    """Bytes and mode, and then it is gone."""
    undone = place.undo.restore(place.root)
    assert undone.restored == ("bots/a.py", "b.py")
    assert [path.read_bytes() for path in place.paths] == [_BEFORE, _BEFORE]
    assert place.paths[0].stat().st_mode & 0o777 == 0o754
    assert not [*place.files.iterdir(), *place.keys.iterdir()]


def test_a_file_that_was_changed_since_is_left(place: _Place) -> None:
    """The others come back; the undo stays for when the file is settled."""
    place.paths[1].write_bytes(b"new work\n")
    undone = place.undo.restore(place.root)
    assert (undone.restored, undone.changed_since) == (("bots/a.py",), ("b.py",))
    assert place.paths[1].read_bytes() == b"new work\n"
    place.paths[1].write_bytes(_AFTER)
    undone = place.undo.restore(place.root)
    assert (undone.restored, undone.unchanged) == (("b.py",), ("bots/a.py",))


def test_a_link_in_the_place_of_a_file_is_not_followed(place: _Place) -> None:
    """What it leads to is nobody's to overwrite."""
    outside = place.root.parent / "outside"
    outside.write_bytes(_AFTER)
    place.paths[0].unlink()
    place.paths[0].symlink_to(outside)
    assert place.undo.restore(place.root).changed_since == ("bots/a.py",)
    assert outside.read_bytes() == _AFTER


def test_it_is_encrypted_and_private(place: _Place) -> None:
    """No value stands in it; file and key are for this user, in two directories."""
    stored, key = place.files / f"{place.name}.undo", place.keys / f"{place.name}.key"
    assert b"Kx82" not in stored.read_bytes()
    assert [path.stat().st_mode & 0o777 for path in (stored, key)] == [0o600, 0o600]
    assert [path.parent.stat().st_mode & 0o777 for path in (stored, key)] == [0o700, 0o700]


def test_after_its_time_it_refuses_and_is_deleted(place: _Place) -> None:
    """File and key both, at the next look of any command."""
    place.clock.time += 7 * _DAY + 1
    with pytest.raises(NotFoundError, match="kept until"):
        place.undo.restore(place.root, place.name)
    assert not [*place.files.iterdir(), *place.keys.iterdir()]
    assert place.paths[0].read_bytes() == _AFTER


def test_expired_ones_are_deleted_and_others_kept(place: _Place) -> None:
    """Every command that changes something tidies up first."""
    place.clock.time += 6 * _DAY
    assert place.undo.expire() == []
    place.clock.time += _DAY
    assert place.undo.expire() == [place.name]
    assert place.undo.names(place.root) == []


def test_its_end_cannot_be_moved(place: _Place) -> None:
    """The line that says until when is authenticated with the files."""
    stored = place.files / f"{place.name}.undo"
    stored.write_bytes(stored.read_bytes().replace(b'"expires":17', b'"expires":18', 1))
    place.clock.time += 8 * _DAY
    with pytest.raises(IntegrityError, match="does not open"):
        place.undo.restore(place.root)


@pytest.mark.parametrize("at", [-1, -40, 3])
def test_a_damaged_one_restores_nothing(place: _Place, at: int) -> None:
    """One changed byte, wherever it is."""
    stored = place.files / f"{place.name}.undo"
    raw = bytearray(stored.read_bytes())
    raw[at] ^= 1
    stored.write_bytes(raw)
    with pytest.raises((IntegrityError, NotFoundError)):
        place.undo.restore(place.root, place.name)
    assert [path.read_bytes() for path in place.paths] == [_AFTER, _AFTER]


def test_another_key_opens_nothing(place: _Place) -> None:
    """The message says that it may be the key."""
    (place.keys / f"{place.name}.key").write_bytes(bytes(32))
    with pytest.raises(IntegrityError, match="another key"):
        place.undo.restore(place.root)


def test_without_its_key_it_is_of_no_use(place: _Place) -> None:
    """The error names the key file, and is that of a damaged undo (exit code 7)."""
    (place.keys / f"{place.name}.key").unlink()
    with pytest.raises(IntegrityError, match=r"\.key is missing"):
        place.undo.restore(place.root)


def test_it_belongs_to_one_directory(place: _Place, tmp_path: Path) -> None:
    """Another tree has none, and cannot take this one by its name."""
    with pytest.raises(NotFoundError, match="no undo"):
        place.undo.restore(tmp_path)
    with pytest.raises(ConfigurationError, match="belongs to"):
        place.undo.restore(tmp_path, place.name)


@pytest.mark.parametrize("name", ["../../etc/passwd", "nothing", ".."])
def test_a_name_is_no_path(place: _Place, name: str) -> None:
    """Only what lies in the directory of undos can be named."""
    with pytest.raises(NotFoundError):
        place.undo.restore(place.root, name)


def test_it_is_never_kept_in_the_tree_itself(place: _Place) -> None:
    """A commit could take it along."""
    inside = Undo(place.root / "undo", place.keys, place.clock)
    with pytest.raises(ConfigurationError, match="XDG_STATE_HOME"):
        inside.save(place.root, [])

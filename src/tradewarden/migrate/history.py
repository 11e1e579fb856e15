"""What git history keeps: credentials that were committed once must be replaced where they are used, deleted or not.

Read is every version of every file that any branch, tag, stash or work tree leads to. Nothing of the repository is run
(`tradewarden.migrate.git`), and no value is in the answer.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tradewarden.errors import ConfigurationError
from tradewarden.migrate.detector import require
from tradewarden.migrate.fingerprint import Marks
from tradewarden.migrate.git import repository
from tradewarden.migrate.objects import objects
from tradewarden.migrate.rotating import where_to_rotate
from tradewarden.migrate.scan import distinct, find_in
from tradewarden.migrate.walk import decoded, worth_reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tradewarden.migrate.finding import Finding
    from tradewarden.migrate.git import Repository
    from tradewarden.migrate.scan import Accepted

SECONDS = 600.0
_PLAIN = (b"100644", b"100755")
_LOG = (
    *("log", "--stdin", "--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff", "--no-textconv"),
    *("--diff-merges=separate", "--root", "--topo-order", "--no-mailmap", "--no-show-signature", "--no-notes"),
    "--format=format:%x01%H%x02%aI",
)


class Commit(msgspec.Struct, frozen=True):
    """One commit: its name, and its author's date as git writes it (RFC 3339)."""

    name: str
    date: str


class Kept(msgspec.Struct, frozen=True):
    """One credential that history keeps. `removed` is the commit that took it out, None while it is in the tree."""

    mark: str
    rule: str
    key: str
    destination: str
    field: str
    files: tuple[str, ...]
    first: Commit
    last: Commit
    removed: Commit | None
    rotate: str


class History(msgspec.Struct, frozen=True):
    """What was found; not `complete` when the time was up before every version was read."""

    kept: tuple[Kept, ...]
    versions: int
    complete: bool


class _Change(NamedTuple):
    place: int
    commit: Commit
    file: str
    before: str
    after: str


def history(
    root: Path, *, current: Sequence[Finding] = (), accepted: Accepted | None = None, seconds: float = SECONDS
) -> History:
    """Return the credentials in all versions of all files; `current` are those that stand in the tree now.

    Raises:
        ConfigurationError: `root` is in no repository, or git is not installed.
        UnavailableError: git failed or took too long.
    """
    require()
    with repository(root) as git:
        if git is None:
            raise ConfigurationError(f"{root} is in no git repository, or git is not installed")
        changes = list(_changes(git, seconds))
        read, complete = _read(git, changes, time.monotonic() + seconds)
    return History(_kept(changes, read, current, accepted), len(read), complete)


def _changes(git: Repository, seconds: float) -> Iterator[_Change]:
    """Yield every change of a file, newest first."""
    tips = "\n".join(sorted(set(git.references.values())))
    if not tips:
        return
    place, commit = -1, Commit("", "")
    fields = iter(git.run(*_LOG, given=tips.encode() + b"\n", seconds=seconds).split(b"\0"))
    for field in fields:
        about = field
        if field.startswith(b"\x01"):
            head, _, about = field[1:].partition(b"\n")
            name, _, date = head.decode().partition("\x02")
            place, commit = place + 1, Commit(name, date)
        words = about.strip().lstrip(b":").split()
        if len(words) == 5:  # noqa: PLR2004 - modes, names, what happened
            file = os.fsdecode(next(fields))
            before = words[2].decode() if words[0] in _PLAIN else ""
            yield _Change(place, commit, file, before, words[3].decode() if words[1] in _PLAIN else "")


def _read(git: Repository, changes: Sequence[_Change], until: float) -> tuple[dict[str, list[Finding]], bool]:
    """Return the credentials in each version of a file; a version is read once however often it was used."""
    found: dict[str, list[Finding]] = {}
    with objects(git) as reader:
        for change in changes:
            if (
                not change.after
                or change.after in found
                or not change.after.strip("0")
                or not worth_reading(change.file)
            ):
                continue
            if time.monotonic() > until:
                return found, False
            content = reader.content(change.after)
            text = decoded(content)[0] if content is not None else None
            found[change.after] = [] if text is None else find_in(change.file, text)
    return found, True


def _kept(
    changes: Sequence[_Change], read: dict[str, list[Finding]], current: Sequence[Finding], accepted: Accepted | None
) -> tuple[Kept, ...]:
    held = {name: {each.value.reveal(): each for each in found} for name, found in read.items() if found}
    written: dict[str, list[_Change]] = {}
    removed: dict[str, _Change] = {}
    samples: dict[str, Finding] = {}
    for change in changes:
        before, after = held.get(change.before, {}), held.get(change.after, {})
        for value, finding in after.items():
            written.setdefault(value, []).append(change)
            samples.setdefault(value, finding)
        for value in before.keys() - after.keys():
            removed.setdefault(value, change)
    marks, now = Marks(), {each.value.reveal() for each in current}
    settled = {each.value.reveal(): each for each in distinct([*current, *samples.values()])}
    kept = [
        _one(settled[value], marks, places, None if value in now else removed.get(value))
        for value, places in written.items()
        if accepted is None or samples[value] not in accepted
    ]
    return tuple(sorted(kept, key=lambda each: (each.first.date, each.files, each.destination, each.field)))


def _one(finding: Finding, marks: Marks, places: Sequence[_Change], gone: _Change | None) -> Kept:
    newest, oldest = min(places, key=lambda each: each.place), max(places, key=lambda each: each.place)
    return Kept(
        mark=marks.of(finding),
        rule=finding.rule,
        key=finding.key,
        destination=finding.destination.name,
        field=finding.destination.field,
        files=tuple(sorted({each.file for each in places})),
        first=oldest.commit,
        last=newest.commit,
        removed=gone.commit if gone is not None else None,
        rotate=where_to_rotate(finding),
    )

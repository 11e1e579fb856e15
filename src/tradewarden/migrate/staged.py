"""What the next commit would hold: files from git's index, not from the work tree."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from tradewarden.errors import ConfigurationError
from tradewarden.migrate.detector import require
from tradewarden.migrate.git import repository
from tradewarden.migrate.objects import objects
from tradewarden.migrate.scan import distinct, find_in, reduced
from tradewarden.migrate.walk import decoded, worth_reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tradewarden.migrate.finding import Finding
    from tradewarden.migrate.git import Repository
    from tradewarden.migrate.scan import Accepted

_PLAIN = ("100644", "100755")


class _Entry(NamedTuple):
    file: str
    name: str


def find_staged(root: Path, files: Sequence[str] = (), *, accepted: Accepted | None = None) -> list[Finding]:
    """Return the credentials that a commit would add: in what differs from the last commit, or in `files` as staged.

    Raises:
        ConfigurationError: `root` is in no repository, or git is not installed.
    """
    require()
    with repository(root) as git:
        if git is None:
            raise ConfigurationError(f"{root} is in no git repository, or git is not installed")
        with objects(git) as reader:
            found: list[Finding] = []
            for entry in _named(git, root, files) if files else _changed(git):
                content = reader.content(entry.name) if worth_reading(entry.file) else None
                text = decoded(content)[0] if content is not None else None
                found += find_in(entry.file, text) if text is not None else []
    return reduced(distinct(found), accepted)


def _changed(git: Repository) -> Iterator[_Entry]:
    if git.head is None:
        yield from _entries(git.run("ls-files", "-z", "--stage"))
        return
    pieces = git.run(
        "diff-index",
        "--cached",
        "--raw",
        "-z",
        "--no-renames",
        "--no-abbrev",
        "--no-ext-diff",
        "--no-textconv",
        git.head,
    )
    fields = iter(pieces.split(b"\0"))
    for about in fields:
        words = about.decode().split()
        if len(words) == 5 and words[1] in _PLAIN:  # noqa: PLR2004 - modes, names, what happened
            yield _Entry(os.fsdecode(next(fields)), words[3])
        elif words:
            next(fields)


def _named(git: Repository, root: Path, files: Sequence[str]) -> Iterator[_Entry]:
    inside = [os.path.relpath((root / file).resolve(), git.top) for file in files]
    yield from _entries(
        git.run("ls-files", "-z", "--stage", "--", *(each for each in inside if not each.startswith("../")))
    )


def _entries(output: bytes) -> Iterator[_Entry]:
    for line in output.split(b"\0"):
        about, _, file = line.partition(b"\t")
        words = about.decode().split()
        if words and words[0] in _PLAIN:
            yield _Entry(os.fsdecode(file), words[1])

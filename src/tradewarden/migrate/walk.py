"""Which files of a directory are read, and their text. Nothing outside the directory is ever opened.

Where a repository is, git says which files belong to it: what it tracks, and what it would pick up; what `.gitignore`
leaves out is not in the tree and so holds no hard-coded credential. Without git every file is looked at.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Final, NamedTuple

from tradewarden.errors import ConfigurationError, UnavailableError
from tradewarden.migrate.git import repository

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

MAX_BYTES: Final = 2 * 1024 * 1024
"""Larger files are data, not code or configuration."""

_LISTING: Final = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
_SKIPPED_DIRECTORIES: Final = frozenset(
    {
        ".git", ".hg", ".svn", ".bzr", "node_modules", "__pycache__", ".venv", "venv", "virtualenv", ".tox", ".nox",
        ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".eggs", ".ipynb_checkpoints", "site-packages",
        "bower_components", ".gradle", ".terraform", ".import_linter_cache", ".tradewarden", ".cache", "dist-packages",
        ".tradewarden-new",
    }
)  # fmt: skip
_SKIPPED_SUFFIXES: Final = (
    ".pyc", ".pyo", ".so", ".o", ".a", ".dll", ".exe", ".png", ".jpg", ".jpeg", ".gif", ".ico", ".webp", ".pdf", ".zip",
    ".gz", ".bz2", ".xz", ".zst", ".7z", ".tar", ".whl", ".jar", ".woff", ".woff2", ".ttf", ".eot", ".mp3", ".mp4",
    ".parquet", ".feather", ".h5", ".hdf5", ".npy", ".npz", ".pkl", ".pickle", ".db", ".sqlite", ".sqlite3", ".min.js",
    ".min.css", ".map", ".svg", ".lock", ".sum", ".csv", ".tsv",
)  # fmt: skip
_SKIPPED_NAMES: Final = frozenset({"package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "go.sum"})


class Unread(NamedTuple):
    """A file that should have been read and could not be."""

    file: str
    why: str


def walk(
    root: Path, *, exclude: Sequence[str] = (), unread: list[Unread] | None = None, ignored: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield the path (relative, with `/`) and the text of every file worth reading, in order.

    What is text and cannot be read is added to `unread`. `ignored` reads what git leaves out, too.
    """
    if not root.is_dir():
        raise ConfigurationError(f"{root} is not a directory")
    top = root.resolve()
    for file in sorted(_listed(top, ignored=ignored)):
        if not worth_reading(file, exclude):
            continue
        text, why = read_text(top, file)
        if text is not None:
            yield file, text
        elif why and unread is not None:
            unread.append(Unread(file, why))


def worth_reading(file: str, exclude: Sequence[str] = ()) -> bool:
    """Tell by its name alone whether a file is to be read."""
    *directories, name = file.split("/")
    if (
        name.lower().endswith(_SKIPPED_SUFFIXES)
        or name in _SKIPPED_NAMES
        or not _SKIPPED_DIRECTORIES.isdisjoint(directories)
    ):
        return False
    return not any(_matches(file, pattern) for pattern in exclude)


def _matches(file: str, pattern: str) -> bool:
    """A pattern names a file, a directory with everything in it, or, without `/`, any file or directory called so."""
    plain = pattern.rstrip("/").removeprefix("./")
    parts = file.split("/")
    if "/" in plain:
        return fnmatch(file, plain) or any(fnmatch("/".join(parts[:count]), plain) for count in range(1, len(parts)))
    return any(fnmatch(part, plain) for part in parts)


def read_text(root: Path, file: str) -> tuple[str | None, str]:
    """Return a file's text with its line ends as they are; or None and why, which is empty for what holds no text."""
    try:
        content, why = _content(root, file)
    except OSError as error:
        return None, error.strerror or type(error).__name__
    return (None, why) if content is None else decoded(content)


def decoded(content: bytes) -> tuple[str | None, str]:
    """Return content as text; or None and why."""
    try:
        return content.decode(), ""
    except UnicodeDecodeError:
        return None, "" if b"\0" in content[:8192] and content[:2] not in (
            b"\xff\xfe",
            b"\xfe\xff",
        ) else "it is not UTF-8 text"


def _content(root: Path, file: str) -> tuple[bytes | None, str]:
    """Open without following links at any step of the path, and read a plain file of a size that code has."""
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *steps, name = file.split("/")
        for step in steps:
            inner = os.open(step, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            os.close(directory)
            directory = inner
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            return None, ""
        if found.st_size > MAX_BYTES:
            return None, f"it is larger than {MAX_BYTES // 1024 // 1024} MiB"
        with os.fdopen(
            os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory), "rb"
        ) as opened:
            content = opened.read(MAX_BYTES + 1)
        return (
            (None, "") if b"\0" in content[:1024] and content[:2] not in (b"\xff\xfe", b"\xfe\xff") else (content, "")
        )
    finally:
        os.close(directory)


def _listed(root: Path, *, ignored: bool) -> Iterable[str]:
    if not ignored:
        with repository(root) as git:
            if git is not None:
                # An index that git cannot read must not hide files: then all of them are looked at.
                with suppress(UnavailableError):
                    return _of_git(git.run(*_LISTING), git.top, root)
    return _of_directory(root)


def _of_git(output: bytes, top: Path, root: Path) -> Iterator[str]:
    prefix = "" if top == root else f"{root.relative_to(top).as_posix()}/"
    for name in set(output.split(b"\0")):
        file = os.fsdecode(name)
        if file.startswith(prefix) and len(file) > len(prefix):
            yield file[len(prefix) :]


def _of_directory(root: Path) -> Iterator[str]:
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name not in _SKIPPED_DIRECTORIES]
        inside = os.path.relpath(directory, root).replace(os.sep, "/")
        yield from (name if inside == "." else f"{inside}/{name}" for name in files)

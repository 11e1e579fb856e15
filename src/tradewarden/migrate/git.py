"""Git, asked so that nothing of a repository is ever run.

A repository's own configuration can name programs (hooks, file system monitors, filters, text converters, pagers,
transports), and one that came from elsewhere can be made to. So git never sees it: it works in an empty directory of
ours, whose configuration we wrote, and reads the repository's objects and index as data. The names of branches and tags
are read here. What is left in git's reach can be read, not run.

Always true here: no configuration but ours (none of the repository, the user or the system), hooks, file system
monitor, text converters and external diffs off besides, nothing fetched, no prompt, a limit on time and on output.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from tradewarden.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_OUTPUT: Final = 512 * 1024 * 1024
SECONDS: Final = 300.0
_OFF: Final = (
    "--no-optional-locks",
    "--no-replace-objects",
    "--no-pager",
    "--literal-pathspecs",
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.attributesFile=/dev/null"),
    *("-c", "core.excludesFile=/dev/null"),
    *("-c", "core.quotePath=false"),
    *("-c", "core.commitGraph=false"),
    *("-c", "diff.external="),
    *("-c", "protocol.allow=never"),
    *("-c", "safe.directory=*"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
)
_OBJECT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_MAX_REFERENCE: Final = 4096
_MAX_PACKED: Final = 64 * 1024 * 1024


def git_directory(root: Path) -> tuple[Path, Path] | None:
    """Return the work tree that holds `root`, and its git directory; None outside of a repository."""
    for directory in (root.resolve(), *root.resolve().parents):
        entry = directory / ".git"
        if entry.is_dir():
            return directory, entry
        if entry.is_file():
            pointed = _pointed(entry)
            return None if pointed is None else (directory, pointed)
    return None


@contextmanager
def repository(root: Path) -> Iterator[Repository | None]:
    """Open the repository that `root` lies in; None when there is none, or no git."""
    found, program = git_directory(root), shutil.which("git")
    if found is None or program is None:
        yield None
        return
    with TemporaryDirectory(prefix="tradewarden-git-") as ours:
        yield Repository(program, found[0], found[1], Path(ours))


class Repository:
    """One repository. `top` is its work tree."""

    def __init__(self, program: str, top: Path, directory: Path, ours: Path) -> None:
        self.top = top
        self.directory = directory
        self._program = program
        self._common = _common(directory)
        self._ours = ours
        self.references = self._references()
        self._furnish()

    @property
    def head(self) -> str | None:
        """The commit that is checked out; None before the first one."""
        return self._resolved("HEAD", self.directory)

    def run(self, *arguments: str, given: bytes = b"", seconds: float = SECONDS) -> bytes:
        """Return what a git command prints.

        Raises:
            UnavailableError: it failed, took too long or printed too much.
        """
        try:
            done = subprocess.run(  # noqa: S603 - no shell; the program is git, the arguments are this package's
                [self._program, *_OFF, *arguments],
                input=given,
                capture_output=True,
                check=False,
                cwd=self.top,
                env=self._environment(),
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"git {arguments[0]} took more than {seconds:.0f} seconds") from None
        if done.returncode:
            text = done.stderr.decode(errors="replace").strip().splitlines()
            raise UnavailableError(f"git {arguments[0]} failed in {self.top}: {text[0] if text else 'no reason given'}")
        if len(done.stdout) > MAX_OUTPUT:
            raise UnavailableError(f"git {arguments[0]} printed more than {MAX_OUTPUT} bytes")
        return done.stdout

    def stream(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a git command that is talked to through pipes."""
        return subprocess.Popen(  # noqa: S603 - as in run
            [self._program, *_OFF, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.top,
            env=self._environment(),
        )

    def _environment(self) -> Mapping[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "HOME": str(self._ours),
            "XDG_CONFIG_HOME": str(self._ours),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "",
            "GIT_DIR": str(self._ours),
            "GIT_WORK_TREE": str(self.top),
            "GIT_OBJECT_DIRECTORY": str(self._common / "objects"),
            "GIT_INDEX_FILE": str(self._index()),
            "GIT_OPTIONAL_LOCKS": "0",
        }

    def _index(self) -> Path:
        """During a commit git names the index that is being committed; one elsewhere is not believed."""
        named = os.environ.get("GIT_INDEX_FILE")
        if named:
            path = (self.top / named).resolve()
            if path.is_relative_to(self.directory.resolve()):
                return path
        return self.directory / "index"

    def _furnish(self) -> None:
        """Make our own git directory: enough for git to recognise one, and what belongs to objects and index."""
        wide = any(len(name) == 64 for name in self.references.values())  # noqa: PLR2004 - hexadecimal SHA-256
        lines = ["[core]", f"\trepositoryformatversion = {int(wide)}", "\tbare = false"]
        lines += ["[extensions]", "\tobjectFormat = sha256"] if wide else []
        (self._ours / "config").write_text("\n".join(lines) + "\n")
        (self._ours / "HEAD").write_text("ref: refs/heads/none\n")
        (self._ours / "refs").mkdir()
        (self._ours / "objects").mkdir()
        (self._ours / "info").mkdir()
        _copy(self._common / "info" / "exclude", self._ours / "info" / "exclude")
        _copy(self._common / "shallow", self._ours / "shallow")
        for shared in self.directory.glob("sharedindex.*"):
            _copy(shared, self._ours / shared.name)

    def _references(self) -> dict[str, str]:
        if (self._common / "reftable").is_dir():
            raise ConfigurationError(f"{self.top} keeps its references as a reftable, which is not read yet")
        found = dict(_packed(self._common / "packed-refs"))
        for path in _files(self._common / "refs"):
            name = path.relative_to(self._common).as_posix()
            target = self._resolved(name, self._common)
            if target is not None:
                found[name] = target
        for directory in (self.directory, *(each.parent for each in self._common.glob("worktrees/*/HEAD"))):
            target = self._resolved("HEAD", directory)
            if target is not None:
                found[f"HEAD of {directory.name}"] = target
        return found

    def _resolved(self, name: str, directory: Path, depth: int = 5) -> str | None:
        text = _small(directory / name) or _small(self._common / name) or ""
        if text.startswith("ref: refs/") and ".." not in text and depth:
            return self._resolved(text.removeprefix("ref: "), self._common, depth - 1)
        if not text:
            return dict(_packed(self._common / "packed-refs")).get(name)
        return text if _OBJECT.fullmatch(text) else None


def _pointed(entry: Path) -> Path | None:
    text = _small(entry) or ""
    path = (entry.parent / text.removeprefix("gitdir:").strip()).resolve()
    return path if text.startswith("gitdir:") and (path / "HEAD").is_file() else None


def _common(directory: Path) -> Path:
    """A linked work tree keeps objects and references in the repository that it was made from."""
    text = _small(directory / "commondir")
    return (directory / text).resolve() if text else directory


def _small(path: Path) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > _MAX_REFERENCE:
            return None
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return None


def _files(directory: Path) -> Iterator[Path]:
    for where, _, names in os.walk(directory):
        yield from (Path(where) / name for name in sorted(names) if not name.endswith(".lock"))


def _packed(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file() or path.stat().st_size > _MAX_PACKED:
        return
    for line in path.read_text("utf-8", "replace").splitlines():
        target, _, name = line.partition(" ")
        if _OBJECT.fullmatch(target):
            yield name, target


def _copy(source: Path, target: Path) -> None:
    if source.is_file() and not source.is_symlink():
        shutil.copyfile(source, target)

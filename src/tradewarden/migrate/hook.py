"""Our hook in a plain git repository: written once, never over somebody else's, and only where git will run it.

The repository's configuration is asked for one path (`git config --get`, which runs nothing); what it names is not
followed: a hook is written into the repository's own directory of hooks or not at all.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from tradewarden.errors import ConfigurationError, ConflictError, UnavailableError
from tradewarden.migrate.git import git_directory

if TYPE_CHECKING:
    from pathlib import Path

_FIRST: Final = "# Written by `tradewarden migrate hook --install`: stops a commit that would add a credential."
_LINE: Final = "tradewarden migrate hook || exit 1"
_SECONDS: Final = 30.0
_OTHER_REPOSITORY: Final = ("GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_CONFIG")
"""Variables that would have git answer for another repository or file than the one that a commit reads."""
_MAX_POINTER: Final = 4096


def install(root: Path) -> Path:
    """Write the pre-commit hook of the repository that `root` lies in; a second time changes nothing.

    Raises:
        ConfigurationError: there is no repository, or no git.
        ConflictError: another hook is there, git runs its hooks from elsewhere, or the repository is not this tree's.
        UnavailableError: git cannot read its configuration.
    """
    found = git_directory(root)
    if found is None:
        raise ConfigurationError(f"{root} is in no git repository")
    top, own = found
    directory = _common(own)
    _require_ours(top, own, directory)
    _require_run(top, own, directory / "hooks")
    path = directory / "hooks" / "pre-commit"
    path.parent.mkdir(exist_ok=True)
    script = f"#!/bin/sh\n{_FIRST}\nexec {shlex.quote(sys.executable)} -m tradewarden migrate hook\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o755)
    except FileExistsError:
        return _present(path)
    with os.fdopen(descriptor, "w") as file:
        file.write(script)
    return path


def _present(path: Path) -> Path:
    if not (path.is_file() and _FIRST in path.read_text(errors="replace")):
        raise ConflictError(f"{path} exists already; add the line '{_LINE}' to it")
    if not os.access(path, os.X_OK):
        raise ConflictError(f"{path} is there and not executable, so git does not run it; run: chmod +x {path}")
    return path


def _common(own: Path) -> Path:
    """Return the directory that holds the hooks: that of the repository a linked work tree was made from."""
    pointer = own / "commondir"
    return (own / pointer.read_text().strip()).resolve() if pointer.is_file() else own


def _require_ours(top: Path, own: Path, common: Path) -> None:
    """Raise `ConflictError` when `.git` points to a repository that does not say that this is a work tree of it."""
    if own.is_relative_to(top) and common.is_relative_to(top):
        return
    back = own / "gitdir"
    linked = (
        common != own
        and own.parent.parent == common
        and back.is_file()
        and back.stat().st_size <= _MAX_POINTER
        and (own / back.read_text().strip()).resolve() == (top / ".git").resolve()
    )
    if linked:
        return
    named = _configured(top, own, "core.worktree", "--local")
    if named is None or (own / named).resolve() != top:
        raise ConflictError(
            f"{top / '.git'} points to {own}, which does not name {top} as its work tree; nothing was written there. "
            f"If it is yours, run: git -C {top} config core.worktree {top}"
        )


def _require_run(top: Path, own: Path, hooks: Path) -> None:
    """Raise `ConflictError` when git runs the hooks of another directory, so that ours would never run."""
    named = _configured(top, own, "core.hooksPath")
    if named is None:
        return
    effective = top / named
    if effective.resolve() != hooks.resolve():
        raise ConflictError(
            f"git runs the hooks of {effective} here (core.hooksPath), so one in {hooks} would never run; nothing was "
            f"written. Add the line '{_LINE}' to {effective / 'pre-commit'}, or unset core.hooksPath"
        )


def _configured(top: Path, own: Path, name: str, *scope: str) -> str | None:
    """Return a setting as git has it: of the repository, the user, the system and the environment, includes followed.

    Asking for one setting runs nothing that a configuration names.
    """
    program = shutil.which("git")
    if program is None:
        raise ConfigurationError("git is not installed; without it nobody runs a hook")
    kept = {key: text for key, text in os.environ.items() if key not in _OTHER_REPOSITORY}
    try:
        done = subprocess.run(  # noqa: S603 - no shell; the program is git, the arguments are ours
            [program, "--no-pager", "config", *scope, "--includes", "--type=path", "--get", name],
            capture_output=True, text=True, check=False, cwd=top, timeout=_SECONDS,
            env={**kept, "GIT_DIR": str(own), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"git config took more than {_SECONDS:.0f} seconds") from None
    if done.returncode > 1:
        text = done.stderr.strip().splitlines()
        raise UnavailableError(f"git config failed in {top}: {text[0] if text else 'no reason given'}")
    return None if done.returncode else done.stdout.removesuffix("\n")

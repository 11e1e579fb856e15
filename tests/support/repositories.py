"""Small git repositories for tests, and one whose configuration runs a program wherever git lets it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

NOBODY = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@desk.example",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@desk.example",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


class Repository:
    """A repository at `root`; commits are dated by the day of January 2026 that is given."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main", ".")

    def git(self, *arguments: str, day: int = 1) -> str:
        """Run git as its user would."""
        date = f"2026-01-{day:02d}T12:00:00+00:00"
        environment = {**os.environ, **NOBODY, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def write(self, files: dict[str, str | bytes]) -> None:
        """Write files into the work tree."""
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, files: dict[str, str | bytes], *, day: int = 1) -> str:
        """Commit files and everything else that changed; returns the commit's name."""
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", f"day {day}", day=day)
        return self.git("rev-parse", "HEAD")


def make_malicious(repository: Repository, marker: Path) -> None:
    """Give a repository a configuration that creates `marker` in every way that git's configuration can."""
    run = f"touch {marker}; cat"
    hooks = repository.root / ".git" / "evil-hooks"
    hooks.mkdir()
    for name in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction", "fsmonitor-watchman"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {marker}\n")
        (hooks / name).chmod(0o755)
    included = repository.root / ".git" / "more"
    included.write_text(f'[core]\n\tfsmonitor = "touch {marker}; false"\n')
    (repository.root / ".git" / "info").mkdir(exist_ok=True)
    (repository.root / ".git" / "info" / "attributes").write_text("* filter=evil diff=evil merge=evil\n")
    (repository.root / ".gitattributes").write_text("* filter=evil diff=evil\n")
    with (repository.root / ".git" / "config").open("a") as config:
        config.write(
            f"""
[core]
	fsmonitor = "touch {marker}; false"
	hooksPath = {hooks}
	pager = "{run}"
	sshCommand = "{run}"
	gitProxy = "{run}"
	editor = "{run}"
	askPass = "{run}"
	untrackedCache = true
[include]
	path = more
[pager]
	log = "{run}"
	ls-files = "{run}"
	diff = "{run}"
[diff]
	external = "{run}"
[diff "evil"]
	textconv = "{run}"
	command = "{run}"
[filter "evil"]
	clean = "{run}"
	smudge = "{run}"
	process = "{run}"
	required = true
[alias]
	ls-files = "!{run}"
	log = "!{run}"
[credential]
	helper = "!{run}"
[gpg]
	program = "{run}"
[log]
	showSignature = true
[uploadpack]
	packObjectsHook = "{run}"
[extensions]
	partialClone = evil
[remote "evil"]
	url = "ext::sh -c 'touch {marker}'"
	promisor = true
[protocol "ext"]
	allow = always
"""
        )

"""Our hook in a plain git repository: written once, never over somebody else's."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING, Final

from tradewarden.errors import ConfigurationError, ConflictError
from tradewarden.migrate.git import git_directory

if TYPE_CHECKING:
    from pathlib import Path

_FIRST: Final = "# Written by `tradewarden migrate hook --install`: stops a commit that would add a credential."


def install(root: Path) -> Path:
    """Write the pre-commit hook of the repository that `root` lies in; a second time changes nothing.

    Raises:
        ConfigurationError: there is no repository.
        ConflictError: there is another hook already; it is left as it is.
    """
    found = git_directory(root)
    if found is None:
        raise ConfigurationError(f"{root} is in no git repository")
    common = found[1] / "commondir"
    directory = (found[1] / common.read_text().strip()).resolve() if common.is_file() else found[1]
    path = directory / "hooks" / "pre-commit"
    path.parent.mkdir(exist_ok=True)
    script = f"#!/bin/sh\n{_FIRST}\nexec {shlex.quote(sys.executable)} -m tradewarden migrate hook\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o755)
    except FileExistsError:
        if path.is_file() and _FIRST in path.read_text(errors="replace"):
            return path
        raise ConflictError(f"{path} exists already; add the line 'tradewarden migrate hook || exit 1' to it") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(script)
    return path

"""Values that are shown once: alone on stdout for a script to take, or in a new private file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.cli.output import bare
from tradewarden.cli.terminal import note
from tradewarden.crypto.keyfile import create_private
from tradewarden.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path


def require_new(*files: Path | None) -> None:
    """Refuse, before anything is made that is shown once, files that exist or cannot be."""
    for file in files:
        if file is not None and (file.exists() or file.is_symlink()):
            raise ConflictError(f"{file} exists already and is not overwritten; move it away first")
        if file is not None and not file.parent.is_dir():
            raise InvalidInputError(f"{file.parent} is not a directory; make it first")


def hand_over(values: list[str], out: Path | None, what: str) -> None:
    """Give values out, one a line; `what` says on stderr what they are."""
    if out is None:
        note(f"{what}:")
        for value in values:
            bare(value)
        return
    create_private(out, "".join(f"{value}\n" for value in values).encode())
    note(f"{what}: in {out}")

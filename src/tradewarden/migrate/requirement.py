"""What rewritten programs need that they did not need before: this package, where they are installed. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tradewarden.migrate.plan import Change

_IMPORTS: Final = re.compile(r"^[ \t]*from tradewarden\.secrets\.\w+ import ", re.MULTILINE)
_FILES: Final = re.compile(r"(?:.*[-_.])?requirements.*\.(?:txt|in)|pyproject\.toml|setup\.(?:py|cfg)|Pipfile")
_PACKAGE: Final = re.compile(r"^[\s\"'\[]*tradewarden\b", re.MULTILINE)


def imports_tradewarden(change: Change) -> bool:
    """Tell whether a rewritten module imports this package."""
    return _IMPORTS.search(change.after) is not None


def required(texts: Mapping[str, str], changes: Iterable[Change]) -> list[str]:
    """Return what is to be done so that the rewritten modules find this package: nothing, or one line."""
    fresh = [each.file for each in changes if imports_tradewarden(each) and not _IMPORTS.search(each.before)]
    lists = [file for file in sorted(texts) if _FILES.fullmatch(PurePosixPath(file).name)]
    if not fresh or any(_PACKAGE.search(texts[file]) for file in lists):
        return []
    where = f"add it to {', '.join(lists)}" if lists else "install it where they run"
    return [f"{', '.join(fresh)}: the package tradewarden is imported there now; {where}"]

"""A real service on a machine whose clock is wrong: `time.time` of its processes is moved by what a file says.

The tests have no way to set this machine's clock. Python reads a `sitecustomize` from PYTHONPATH before anything else.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HOOK = """
import time

_real, _path = time.time, {path!r}


def moved():
    with open(_path) as file:
        return _real() + float(file.read())


time.time = moved
"""


class MovedTime:
    """The clock of programs that are started with `environment`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "moved-by"
        self.move(0.0)
        hook = folder / "hook"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(_HOOK.format(path=str(self._file)))
        others = os.environ.get("PYTHONPATH")
        self.environment = {"PYTHONPATH": os.pathsep.join([str(hook), *([others] if others else [])])}

    def move(self, seconds: float) -> None:
        """Set the clock to so many seconds from the true time; running programs see it at once."""
        made = self._file.with_suffix(".new")
        made.write_text(repr(seconds))
        made.replace(self._file)

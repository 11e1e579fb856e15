"""Whether this is the process that opened something: a fork of it has none of its threads, and no part in its files."""

from __future__ import annotations

import os
from typing import Final

from tradewarden.errors import ConfigurationError

_FOREIGN: Final = (
    "This installation was opened before a fork, in the parent process; open another one here: Warden.open(settings)"
)
_forks = 0


def _count() -> None:
    global _forks  # noqa: PLW0603 - of the process, like what it counts
    _forks += 1


os.register_at_fork(after_in_child=_count)


class Home:
    """The process in which this was made."""

    __slots__ = ("_forks",)

    def __init__(self) -> None:
        self._forks = _forks

    @property
    def here(self) -> bool:
        """Whether this is that process, and no fork of it."""
        return self._forks == _forks

    def require(self) -> None:
        """Raise `ConfigurationError` in a fork of that process."""
        if self._forks != _forks:
            raise ConfigurationError(_FOREIGN)

"""The recorder that is always there: the log, the last accesses, and counters."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.secrets.chain.access import Access, Action, Outcome
from tradewarden.secrets.chain.forking import renewed_after_fork

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOGGER: Final = "tradewarden.secrets"
METRIC: Final = "tradewarden_provider_access_total"
_LEVELS: Final = {
    Outcome.CHANGED: logging.INFO,
    Outcome.STALE: logging.WARNING,
    Outcome.FELL_THROUGH: logging.WARNING,
    Outcome.REFUSED: logging.WARNING,
    Outcome.UNREACHABLE: logging.WARNING,
    Outcome.BROKEN: logging.ERROR,
}
_CHANGES: Final = (Action.WRITE, Action.DELETE)


class AccessLog:
    """Writes accesses to the logger `tradewarden.secrets`, keeps the last `kept`, counts by provider and outcome.

    What is denied, not reachable, stale or stood in for is a warning, what is damaged an error, a change is
    information, a read is for debugging. It never refuses.
    """

    def __init__(self, kept: int = 1000, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger(LOGGER)
        self._last: deque[Access] = deque(maxlen=kept)
        self._counts: dict[tuple[str, Outcome], int] = {}
        self._lock = threading.Lock()
        renewed_after_fork(self)

    def ready(self) -> None:
        """Do nothing: it can always record."""

    def record(self, access: Access) -> None:
        """Count, keep and log one access."""
        key = (access.provider, access.outcome)
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + access.count
            if access.final:
                self._last.append(access)
        self._log(access)

    def _log(self, access: Access) -> None:
        level = _LEVELS.get(access.outcome, logging.INFO if access.action in _CHANGES else logging.DEBUG)
        if not access.final:  # the one that ends the call says it too
            level = min(level, logging.INFO)
        if self._logger.isEnabledFor(level):
            times = f", {access.count} times" if access.count > 1 else ""
            said = f"{access.action.value} of {access.name!r} at {access.provider}: {access.outcome.value}{times}"
            self._logger.log(level, "%s (%s)" if access.reason else "%s%s", said, access.reason)

    @property
    def counts(self) -> Mapping[tuple[str, Outcome], int]:
        """How many accesses ended how, by provider and outcome; a copy."""
        with self._lock:
            return MappingProxyType(dict(self._counts))

    def last(self, name: str | None = None) -> list[Access]:
        """Return the last accesses, oldest first: all, or those of one name."""
        with self._lock:
            return [access for access in self._last if name in (None, access.name)]

    def entries(self, name: str | None = None) -> list[dict[str, object]]:
        """Return the last accesses as audit entries, oldest first."""
        user = f"local:{os.getuid()}"
        return [msgspec.to_builtins(access.event(user)) for access in self.last(name)]

    def prometheus(self) -> Iterator[str]:
        """Yield the counters in Prometheus' text format (0.0.4), without line ends."""
        yield f"# HELP {METRIC} Accesses to secrets by provider and outcome"
        yield f"# TYPE {METRIC} counter"
        for (provider, outcome), count in sorted(self.counts.items()):
            yield f'{METRIC}{{provider="{_label(provider)}",outcome="{outcome.value}"}} {count}'

    def close(self) -> None:
        """Do nothing: what was recorded stays readable."""

    def after_fork(self) -> None:
        """Begin anew in a child process: the counts are the parent's."""
        self._lock = threading.Lock()
        self._counts = {}
        self._last.clear()


def _label(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

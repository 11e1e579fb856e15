"""The values that Vault told us last, for when it cannot be reached: bounded in number, size and age."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

if TYPE_CHECKING:
    from tradewarden.clock import Clock
    from tradewarden.secrets.commands import SecretRead

MAX_VALUES: Final = 1024
MAX_VALUE_BYTES: Final = 16 * 1024


class _Told(NamedTuple):
    read: SecretRead
    at: float
    """Seconds since the epoch, for people."""
    mark: float
    """Monotonic seconds, for ageing."""


class Known:
    """Last known values by path and asked-for version (None: the current one). Belongs to one event loop."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._told: dict[tuple[str, int | None], _Told] = {}
        self.changes = 0
        """Grows with `forget_path`: what was asked before that may be older than what stands now."""

    def keep(self, path: str, version: int | None, read: SecretRead) -> None:
        """Keep what Vault just told; the value that was told longest ago makes room."""
        self.forget(path, version)
        if not self._seconds or len(read.data) > MAX_VALUE_BYTES:
            return
        if len(self._told) >= MAX_VALUES:
            del self._told[next(iter(self._told))]
        self._told[path, version] = _Told(read, self._clock.now(), self._clock.monotonic())

    def find(self, path: str, version: int | None) -> SecretRead | None:
        """Return a value that is young enough, marked as stale."""
        told = self._told.get((path, version))
        if told is None:
            return None
        if self._clock.monotonic() - told.mark > self._seconds:
            self.forget(path, version)
            return None
        return replace(told.read, stale_since=told.at)

    def forget(self, path: str, version: int | None) -> None:
        """Forget one answer."""
        self._told.pop((path, version), None)

    def forget_path(self, path: str) -> None:
        """Forget everything of a path, which has changed."""
        self.changes += 1
        for key in [key for key in self._told if key[0] == path]:
            del self._told[key]

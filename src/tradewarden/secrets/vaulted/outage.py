"""Whether Vault was out of reach a moment ago, so that not every read waits for the same time-out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tradewarden.clock import Clock
    from tradewarden.errors import ProviderUnavailableError

PAUSE_SECONDS: Final = 1.0


class Outage:
    """Remembers the last failure for a second; then one read asks anew while the others still go by it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._error: ProviderUnavailableError | None = None
        self._until = 0.0

    def now(self) -> ProviderUnavailableError | None:
        """Return why Vault need not be asked just now; None: ask."""
        if self._error is None:
            return None
        now = self._clock.monotonic()
        if now < self._until:
            return self._error
        self._until = now + PAUSE_SECONDS
        return None

    def began(self, error: ProviderUnavailableError) -> None:
        """Note that Vault did not answer."""
        self._error = type(error)(error.detail, reason=error.reason)  # without its traceback, which would grow
        self._until = self._clock.monotonic() + PAUSE_SECONDS

    def over(self) -> None:
        """Note that Vault answered."""
        self._error = None

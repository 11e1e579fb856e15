"""How many certificates are valid: counted in the database now and then, and kept right in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.access.principal import OWN_NAME
from tradewarden.pki.store import Tally

if TYPE_CHECKING:
    from tradewarden.clock import Clock
    from tradewarden.pki.cas.succession import Succession
    from tradewarden.pki.store import CertificateStore

_SECONDS = 5.0


class Count:
    """The count that this process holds; our own listener's certificates are not in it."""

    def __init__(self, store: CertificateStore, cas: Succession, clock: Clock) -> None:
        self._store = store
        self._cas = cas
        self._clock = clock
        self._held: tuple[float, Tally] | None = None

    async def current(self) -> Tally:
        """Return how many certificates are valid and when the first ends; at most five seconds old."""
        now = self._clock.monotonic()
        if self._held is None or now - self._held[0] >= _SECONDS:
            revoked = tuple(self._cas.known.revoked)
            self._held = (now, await self._store.tally(self._clock.now(), OWN_NAME, revoked))
        return self._held[1]

    def add(self, end: int) -> None:
        """Take in a certificate that this process issued, and that ends then."""
        if self._held is not None:
            since, held = self._held
            soonest = min(held.soonest_expiry or end, end)
            self._held = (since, Tally(held.active + 1, soonest))

    def forget(self) -> None:
        """Count anew the next time: something was revoked."""
        self._held = None

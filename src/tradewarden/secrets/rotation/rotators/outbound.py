"""Where rotators may connect to. Always true here: what is not in the list is not called; an empty list allows nothing.

Whoever may write a policy could otherwise have this service call any address that it can reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.errors import RotationFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Outbound:
    """The hosts and ports of `TRADEWARDEN_ROTATION_HOSTS`."""

    def __init__(self, allowed: Iterable[tuple[str, int]]) -> None:
        self._allowed = frozenset((_plain(host), port) for host, port in allowed)

    def allows(self, host: str, port: int) -> bool:
        """Tell whether a host may be called at a port."""
        return (_plain(host), port) in self._allowed

    def require(self, host: str, port: int) -> None:
        """Raise `RotationFailedError` for a host or port that is not in the list."""
        if not self.allows(host, port):
            shown = f"[{host}]" if ":" in host else host
            raise RotationFailedError(
                f"Rotations may not connect to {shown[:80]}:{port}; if they should, add it to "
                "TRADEWARDEN_ROTATION_HOSTS and start the service again"
            )


def _plain(host: str) -> str:
    return host.lower().rstrip(".")

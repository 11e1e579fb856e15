"""What the connections of one listener share: its limits, its coarse clock, and who is told of what was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.http.balance import Share
    from tradewarden.http.head import ServerLimits
    from tradewarden.http.peers import Peers
    from tradewarden.http.protocol import GuardedProtocol


class Guard:
    """The part that is shared; `on_refused(reason, address)` is told of what the listener itself refuses."""

    __slots__ = ("connections", "date", "draining", "headers", "limits", "now", "on_refused", "peers", "share")

    def __init__(
        self,
        limits: ServerLimits,
        on_refused: Callable[[str, str], None],
        headers: bytes,
        share: Share,
        peers: Peers | None = None,
    ) -> None:
        self.limits = limits
        self.on_refused = on_refused
        self.headers = headers
        self.connections: set[GuardedProtocol] = set()
        self.share = share
        self.peers = peers
        self.draining = False
        self.now = 0.0
        self.date = b""

    def tick(self, now: float, date: str) -> None:
        """Move the coarse clock that the hot path reads; close every connection that is past its time."""
        self.now = now
        self.date = b"date: " + date.encode() + b"\r\n"
        for connection in [each for each in self.connections if each.due <= now]:
            connection.expire()

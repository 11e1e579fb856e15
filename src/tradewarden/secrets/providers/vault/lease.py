"""How long a token of Vault lasts, and what to do about it when. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

_SHARE: Final = 2 / 3
_RUNS_OUT: Final = 0.5


class Lease(NamedTuple):
    """A token as of `began` (monotonic seconds, taken before it was asked for). `seconds` 0: it has no end.

    `whole` is how long a full lease is: a renewal that gives much less has met the token's largest lifetime.
    """

    token: str
    began: float
    seconds: float
    renewable: bool
    whole: float

    def __repr__(self) -> str:
        return f"Lease(seconds={self.seconds}, renewable={self.renewable})"

    @property
    def due(self) -> float:
        """When to see to it: at two thirds of its time."""
        return self.began + self.seconds * _SHARE if self.seconds else float("inf")

    @property
    def end(self) -> float:
        """When Vault forgets it."""
        return self.began + self.seconds if self.seconds else float("inf")

    @property
    def runs_out(self) -> bool:
        """Whether renewing gives less and less: its largest lifetime is near."""
        return bool(self.seconds) and self.seconds < self.whole * _RUNS_OUT

"""Tokens that were accepted before, by digest: bounded, and good only at the revisions they were accepted at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tradewarden.tokens.authenticated import Authenticated


class Accepted(NamedTuple):
    """One acceptance and the revisions that were read before it was decided."""

    tokens: int
    services: int
    authenticated: Authenticated


class AcceptedTokens:
    """Two generations of a dict: what was used since the last turn, and what was used before. Bounded by `2 * size`.

    It forgets what was not used for a whole generation, at the price of one dict look-up.
    """

    __slots__ = ("_old", "_size", "_young", "get")

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: dict[bytes, Accepted] = {}
        self._old: dict[bytes, Accepted] = {}
        self.get = self._young.get

    def older(self, digest: bytes) -> Accepted | None:
        """Return what `get` does not find any more, and keep it from being forgotten."""
        found = self._old.pop(digest, None)
        if found is not None:
            self.put(digest, found)
        return found

    def put(self, digest: bytes, accepted: Accepted) -> None:
        """Keep an acceptance."""
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
            self.get = self._young.get
        self._young[digest] = accepted

    def forget(self, digest: bytes) -> None:
        """Drop an acceptance that does not hold any more."""
        self._young.pop(digest, None)
        self._old.pop(digest, None)

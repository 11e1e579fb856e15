"""Asks the providers in their order, as `decision` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.secrets.chain.decision import Finding, Said, Step, next_step
from tradewarden.secrets.naming import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tradewarden.secrets.chain.station import Station
    from tradewarden.secrets.providers.provider import Held

    LastKnown = Callable[[str, int], bool]


class Verdict(msgspec.Struct, frozen=True):
    """How the walk for one name ended: with `held` of the provider at `position`, or not.

    `unreachable` is the position of the first provider that did not answer. `last_known` says that the last known
    value is to be given.
    """

    findings: tuple[Finding, ...]
    position: int
    held: Held | None = None
    unreachable: int | None = None
    last_known: bool = False


def walk(names: Sequence[str], stations: Sequence[Station], last_known: LastKnown) -> dict[str, Verdict]:
    """Return the verdict for each name; every provider is asked once for all names that are still open.

    `last_known(name, position)` says whether there is a value within its bound that may stand in for the provider at
    `position`.
    """
    under_way = {name: _Way(name) for name in names}
    for position, station in enumerate(stations):
        asked = [name for name, way in under_way.items() if not way.ended]
        if not asked:
            break
        for name, (finding, held) in station.read(asked).items():
            under_way[name].note(position, finding, held, last_known)
    return {name: way.verdict() for name, way in under_way.items()}


class _Way:
    """How far the walk for one name has come."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._kind = kind_of(name)
        self._findings: list[Finding] = []
        self._position = 0
        self._unreachable: int | None = None
        self._held: Held | None = None
        self._last_known = False
        self.ended = False

    def note(self, position: int, finding: Finding, held: Held | None, last_known: LastKnown) -> None:
        """Take in what the provider at `position` said."""
        self._findings.append(finding)
        self._position = position
        unreachable = finding.said is Said.UNREACHABLE
        known = unreachable and last_known(self._name, position)
        step = next_step(finding.said, self._kind, last_known=known)
        if unreachable and self._unreachable is None:
            self._unreachable = position
        self.ended = step is not Step.GO_ON
        self._held = held if step is Step.GIVE else None
        self._last_known = step is Step.GIVE_LAST_KNOWN

    def verdict(self) -> Verdict:
        """Return how it ended."""
        return Verdict(tuple(self._findings), self._position, self._held, self._unreachable, self._last_known)

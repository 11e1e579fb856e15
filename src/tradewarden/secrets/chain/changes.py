"""What goes past the cache: writing and deleting at the first provider, and listing all of them.

Always true here: nothing is changed when it could not be recorded beforehand; what was changed is forgotten, also
when the provider's answer was an error, as the change may have been made all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tradewarden.errors import AuditUnavailableError, IntegrityError, InvalidInputError, TradewardenError
from tradewarden.secrets.chain.access import Access, Action, Outcome
from tradewarden.secrets.chain.decision import Said
from tradewarden.secrets.chain.station import said_by
from tradewarden.secrets.naming import kind_of
from tradewarden.secrets.path import path_prefix, secret_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tradewarden.clock import Clock
    from tradewarden.secrets.chain.access import Recorder
    from tradewarden.secrets.chain.station import Station
    from tradewarden.secrets.providers.provider import Content, Provider

T = TypeVar("T")


class Changes:
    """Blocks; called in a worker of the chain."""

    def __init__(
        self, stations: Sequence[Station], clock: Clock, recorder: Recorder, forget: Callable[[str], None]
    ) -> None:
        self._stations = stations
        self._clock = clock
        self._recorder = recorder
        self._forget = forget

    def put(self, name: str, content: Content) -> str:
        """Write; returns the version."""
        return self._change(Action.WRITE, secret_path(name), lambda provider: provider.put(name, content))

    def delete(self, name: str) -> None:
        """Delete; raises `SecretNotFoundError` when the first provider has none."""
        self._change(Action.DELETE, secret_path(name), lambda provider: provider.delete(name))

    def _change(self, action: Action, name: str, call: Callable[[Provider], T]) -> T:
        self._recorder.ready()
        try:
            return self._recorded(self._stations[0], action, name, call)
        finally:
            self._forget(name)

    def names(self, prefix: str) -> list[str]:
        """Return the names of all providers."""
        beginning = path_prefix(prefix)
        found: set[str] = set()
        for station in self._stations:
            found.update(self._recorded(station, Action.LIST, beginning, lambda provider: provider.names(beginning)))
        return sorted(found)

    def _recorded(self, station: Station, action: Action, name: str, call: Callable[[Provider], T]) -> T:
        try:
            answer = station.change(call)
        except TradewardenError as error:
            self._record(station, action, name, _outcome(error), error.reason)
            raise
        try:
            self._record(station, action, name, Outcome.DONE)
        except AuditUnavailableError as error:
            raise AuditUnavailableError(
                f"The {action.value} of '{name}' was carried out and could not be recorded. {error}",
                reason=error.reason,
            ) from None
        return answer

    def _record(self, station: Station, action: Action, name: str, outcome: Outcome, reason: str = "") -> None:
        self._recorder.record(
            Access(
                name=name,
                provider=station.name,
                outcome=outcome,
                kind=kind_of(name),
                at=self._clock.now(),
                action=action,
                reason=reason,
            )
        )


def _outcome(error: TradewardenError) -> Outcome:
    said = said_by(error)
    if isinstance(error, InvalidInputError) or (said is Said.BROKEN and not isinstance(error, IntegrityError)):
        return Outcome.FAILED
    return Outcome(said.value)

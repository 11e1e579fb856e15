"""One request for many callers: whoever wants a name that is being read waits for that reading, thread or task."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeAlias

from tradewarden.errors import TradewardenError
from tradewarden.secrets.chain.answer import Answer
from tradewarden.secrets.chain.decision import fresh

if TYPE_CHECKING:
    from collections.abc import Callable

Landing: TypeAlias = Answer | TradewardenError


class Flight:
    """One name's reading under way. It lands exactly once; nobody who waits can cancel it for the others."""

    __slots__ = ("_future", "joined", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.joined = 0
        """How many callers wait for it beside the one who started it; kept under the chain's lock."""
        self._future: Future[Landing] = Future()

    @property
    def landed(self) -> bool:
        """Whether it is over."""
        return self._future.done()

    def land(self, landing: Landing) -> None:
        """End it with an answer or an error; a second landing changes nothing."""
        if not self._future.done():
            self._future.set_result(landing)

    def on_landing(self, call: Callable[[], None]) -> None:
        """Have `call` called when it lands, in whatever thread; at once when it has."""
        self._future.add_done_callback(lambda _: call())

    def wait(self) -> Answer:
        """Wait until it lands; returns the answer or raises an error of the caller's own."""
        landing = self._future.result()
        if isinstance(landing, TradewardenError):
            raise fresh(landing)
        return landing

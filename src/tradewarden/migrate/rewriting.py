"""What rewriting a file means, whatever its language: moved values in, edits and what is left to a person out."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

from tradewarden.migrate.edit import Edit
from tradewarden.migrate.finding import Destination, Finding
from tradewarden.migrate.slots import variable_of

if TYPE_CHECKING:
    from collections.abc import Sequence


class Reading(StrEnum):
    """How rewritten Python code reads a value."""

    ENVIRON = "environ"
    """`os.environ["ALPHAPULSE_BINANCE_API_KEY"]`: the method `env`."""
    PROVIDER = "provider"
    """`platform_secret("binance_credentials", "api_key")`: every other method."""


class Move(msgspec.Struct, frozen=True):
    """A found value and the slot it is read from afterwards."""

    finding: Finding
    destination: Destination

    @property
    def reference(self) -> str:
        """`${ALPHAPULSE_…}`: what stands for the value in texts that are not Python."""
        return f"${{{variable_of(self.destination)}}}"


class ByHand(msgspec.Struct, frozen=True):
    """A place that is left as it is, and why; a person changes it."""

    finding: Finding
    why: str


class Rewritten(msgspec.Struct):
    """What becomes of one file. `duties` say what must be done around it for the program to run as before."""

    edits: list[Edit] = []
    by_hand: list[ByHand] = []
    duties: list[str] = []

    def leave(self, move: Move, why: str) -> None:
        """Leave a place to a person."""
        self.by_hand.append(ByHand(move.finding, why))


class Rewriter(Protocol):
    """Rewrites the files of one language."""

    def __call__(self, text: str, moves: Sequence[Move], rewritten: Rewritten) -> None:
        """Add an edit, or a place to change by hand, for every move. `text` is the whole file, decoded."""
        ...

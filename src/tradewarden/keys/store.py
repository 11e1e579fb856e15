"""What the keys room keeps, and the one way in which it changes.

The whole state is a handful of rows, so it is read and decided on as one. Purpose keys are wrapped under the root key
and sealed under it; a budget is sealed under the purpose key it counts for, so that a process that does not know the
newest root key can still lease from it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


Version = Annotated[int, msgspec.Meta(ge=1, lt=2**32)]
"""A key version or a root generation: it is written in four bytes."""


LONGEST_URI: Final = 4096
"""How many characters the URI of a root source has at most."""


class State(StrEnum):
    """What a purpose key version is used for now.

    `next` is known to every process before it writes anything: so no process ever meets rows under a key that it has
    not loaded. `retired` still reads.
    """

    NEXT = "next"
    CURRENT = "current"
    RETIRED = "retired"


class RootRecord(msgspec.Struct, frozen=True):
    """Which root key all of this is under. One row. `purposes` (joined by commas) says which keys must be there.

    `uri` names the source that the key came from when it was taken into use, for processes that meet it while they run.
    """

    table: ClassVar[str] = "root_keys"

    id: int
    generation: Version
    check_value: bytes
    uri: Annotated[str, msgspec.Meta(max_length=LONGEST_URI)]
    salt: bytes
    iterations: int
    lanes: int
    memory_cost: int
    purposes: str
    created_at: float
    seal: bytes = b""


class PurposeKey(msgspec.Struct, frozen=True):
    """One version of one purpose's key, wrapped under the root key."""

    table: ClassVar[str] = "purpose_keys"

    purpose: str
    version: Version
    state: str
    wrapped: bytes
    created_at: float
    seal: bytes = b""


class KeyBudget(msgspec.Struct, frozen=True):
    """How many messages of a version have been leased to processes."""

    table: ClassVar[str] = "key_budgets"

    purpose: str
    version: Version
    leased: int
    seal: bytes = b""


_Row = TypeVar("_Row", PurposeKey, KeyBudget)


class KeyState(msgspec.Struct, frozen=True):
    """Everything that stands."""

    root: RootRecord | None = None
    keys: tuple[PurposeKey, ...] = ()
    budgets: tuple[KeyBudget, ...] = ()


class KeyChange(msgspec.Struct, frozen=True):
    """What a decision wants written in one transaction: rows to put, an audit entry, whether caches must look again."""

    root: RootRecord | None = None
    keys: tuple[PurposeKey, ...] = ()
    budgets: tuple[KeyBudget, ...] = ()
    entry: bytes = b""
    bump: bool = False


class KeyStore(Protocol):
    """Where keys are kept."""

    async def load(self) -> KeyState:
        """Return everything, as of one moment."""
        ...

    async def change(self, decide: Callable[[KeyState], KeyChange]) -> KeyState:
        """Load, decide, write, record, and return the new state when it is durable.

        `decide` may be called again (a serialisation failure).
        """
        ...


def applied(state: KeyState, change: KeyChange) -> KeyState:
    """Return the state after a change."""
    keys = {(row.purpose, row.version): row for row in (*state.keys, *change.keys)}
    budgets = {(row.purpose, row.version): row for row in (*state.budgets, *change.budgets)}
    return KeyState(change.root or state.root, _in_order(keys.values()), _in_order(budgets.values()))


def _in_order(rows: Iterable[_Row]) -> tuple[_Row, ...]:
    return tuple(sorted(rows, key=lambda row: (row.purpose, row.version)))

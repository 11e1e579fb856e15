"""What changes of the key hierarchy write. Pure but for the nonces and keys they draw."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from tradewarden.crypto.kdf import KEY_BYTES
from tradewarden.errors import IntegrityError, UnavailableError
from tradewarden.keys.inventory import ROOT
from tradewarden.keys.ring import Ring, open_ring
from tradewarden.keys.store import KeyBudget, KeyChange, KeyState, PurposeKey, RootRecord, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tradewarden.clock import Randomness
    from tradewarden.keys.purpose import Purpose
    from tradewarden.keys.root import RootKey, Stretching

LEASE: Final = 2**20
"""How many messages a process takes into its budget at a time."""
MOST_MESSAGES: Final = 2**31
"""How many messages a key version encrypts at most; NIST SP 800-38D section 8.3 allows 2^32."""


class RootOrigin(NamedTuple):
    """What is noted of where a root key comes from."""

    uri: str
    stretching: Stretching


Draft = Callable[[Ring, str, tuple[str, ...]], bytes]
"""Encodes the audit entry of a change that nobody asked for: the keys, what it is about, the digests of its rows."""


class Writer(NamedTuple):
    """What it takes to write key rows: the root key they are under, randomness and the time."""

    root: RootKey
    generation: int
    randomness: Randomness
    now: float

    def sealed(self, row: PurposeKey) -> PurposeKey:
        """Return the row with its seal."""
        return self.root.sealer(self.generation).seal(row)

    def key(self, purpose: str, version: int, state: State) -> PurposeKey:
        """Make a new key."""
        material = self.randomness(KEY_BYTES)
        wrapped = self.root.wrap(purpose, version, material, self.randomness)
        return self.sealed(PurposeKey(purpose, version, state.value, wrapped, self.now))

    def record(self, purposes: Iterable[str], origin: RootOrigin) -> RootRecord:
        """Make the root record."""
        joined, stretching = ",".join(sorted(purposes)), origin.stretching
        parameters = (
            origin.uri,
            stretching.salt,
            stretching.iterations,
            stretching.lanes,
            stretching.memory_cost,
        )
        record = RootRecord(1, self.generation, self.root.check_value, *parameters, joined, self.now)
        return self.root.sealer(self.generation).seal(record)

    def first_keys(self, purpose: str) -> tuple[PurposeKey, PurposeKey]:
        """Make versions 1 and 2 of a purpose: the current one and the next."""
        return self.key(purpose, 1, State.CURRENT), self.key(purpose, 2, State.NEXT)


def digests(*rows: RootRecord | PurposeKey) -> tuple[str, ...]:
    """Return what the audit leaf carries of the rows that a change wrote."""
    return tuple(hashlib.sha256(row.seal).hexdigest() for row in rows)


def created(state: KeyState, writer: Writer, origin: RootOrigin, purposes: Iterable[str], draft: Draft) -> KeyChange:
    """Write the first keys of all purposes; nothing when another process was first."""
    if state.root is not None or state.keys:
        return KeyChange()
    names = sorted(purposes)
    record = writer.record(names, origin)
    keys = tuple(row for name in names for row in writer.first_keys(name))
    ring = open_ring(KeyState(record, keys), writer.root)
    return KeyChange(record, keys, entry=draft(ring, ROOT, digests(record, *keys)), bump=True)


def extended(state: KeyState, ring: Ring, writer: Writer, purposes: Iterable[str], draft: Draft) -> KeyChange:
    """Write the first keys of purposes that this version of the service has and the data does not."""
    record = _root_of(state)
    known = record.purposes.split(",")
    missing = sorted(set(purposes) - set(known))
    if not missing:
        return KeyChange()
    unsealed = replace(record, purposes=",".join(sorted({*known, *missing})))
    record = writer.root.sealer(writer.generation).seal(unsealed)
    keys = tuple(row for name in missing for row in writer.first_keys(name))
    return KeyChange(record, keys, entry=draft(ring, ",".join(missing), digests(record, *keys)), bump=True)


def rotated(state: KeyState, ring: Ring, writer: Writer, purpose: str, messages: int) -> KeyChange:
    """Make the next version of a purpose current, with a first lease on it, and a new one the next. No entry yet."""
    current = ring.current(purpose)
    old, new = (row for row in state.keys if row.purpose == purpose and row.version in (current, current + 1))
    keys = (
        writer.sealed(replace(old, state=State.RETIRED.value)),
        writer.sealed(replace(new, state=State.CURRENT.value)),
        writer.key(purpose, current + 2, State.NEXT),
    )
    return KeyChange(keys=keys, budgets=(_budget(ring, purpose, current + 1, messages),), bump=True)


def leased(
    state: KeyState, ring: Ring, writer: Writer | None, demands: Mapping[Purpose, int], draft: Draft
) -> KeyChange:
    """Take `demands` (messages by purpose) out of the budgets; a key whose budget is used up is rotated with it.

    `writer` is None in a process that does not have the newest root key: it can lease and cannot rotate.
    """
    keys: tuple[PurposeKey, ...] = ()
    budgets: tuple[KeyBudget, ...] = ()
    for purpose, messages in demands.items():
        version = ring.current(purpose)
        total = _leased_until_now(state, ring, purpose, version) + messages
        if total <= MOST_MESSAGES:
            budgets += (_budget(ring, purpose, version, total),)
        elif writer is None:
            raise UnavailableError(
                "An encryption key must be rotated and this process does not have the newest root key; "
                "restart it with the new TRADEWARDEN_ROOT_KEY"
            )
        else:
            change = rotated(state, ring, writer, purpose, messages)
            keys, budgets = keys + change.keys, budgets + change.budgets
    about = ",".join(sorted({row.purpose for row in keys}))
    entry = draft(ring, about, digests(*keys)) if keys else b""
    return KeyChange(keys=keys, budgets=budgets, entry=entry, bump=bool(keys))


def rewrapped(state: KeyState, ring: Ring, writer: Writer, origin: RootOrigin) -> KeyChange:
    """Write the root record and every key under another root key. No entry yet."""
    record = writer.record(_root_of(state).purposes.split(","), origin)
    keys = tuple(
        writer.sealed(replace(row, wrapped=writer.root.wrap(row.purpose, row.version, material, writer.randomness)))
        for row in state.keys
        for material in (ring.material(row.purpose, row.version),)
    )
    return KeyChange(record, keys, bump=True)


def _root_of(state: KeyState) -> RootRecord:
    if state.root is None:
        raise IntegrityError("The key tables were emptied outside Tradewarden; restore the database from a backup")
    return state.root


def _leased_until_now(state: KeyState, ring: Ring, purpose: str, version: int) -> int:
    """Return what was leased of a version. A missing row counts as none: deleting it wins no more than restoring it."""
    for row in state.budgets:
        if row.purpose == purpose and row.version == version:
            return ring.budget_sealer(purpose, version).check(row).leased
    return 0


def _budget(ring: Ring, purpose: str, version: int, total: int) -> KeyBudget:
    return ring.budget_sealer(purpose, version).seal(KeyBudget(purpose, version, total))

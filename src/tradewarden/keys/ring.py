"""The stored keys, checked and unwrapped: what a process holds in memory. Immutable.

Always true here: a ring exists only when the root record and every row carry a seal of this root key, no purpose and no
version is missing, and each purpose has one current version followed by one next version.
"""

from __future__ import annotations

import hashlib
import hmac
from types import MappingProxyType
from typing import TYPE_CHECKING

from tradewarden.crypto.kdf import hkdf
from tradewarden.crypto.keyset import Sealer
from tradewarden.errors import IntegrityError, UnavailableError
from tradewarden.keys.store import KeyState, PurposeKey, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tradewarden.keys.root import RootKey


class Ring:
    """Unwrapped purpose keys by purpose and version."""

    __slots__ = ("_current", "_material")

    def __init__(self, material: Mapping[str, Mapping[int, bytes]], current: Mapping[str, int]) -> None:
        self._material = MappingProxyType({purpose: dict(versions) for purpose, versions in material.items()})
        self._current = dict(current)

    def __repr__(self) -> str:
        return f"Ring({self._current})"

    @property
    def purposes(self) -> frozenset[str]:
        """The purposes that have keys."""
        return frozenset(self._material)

    def current(self, purpose: str) -> int:
        """The version that writes."""
        return self._current[purpose]

    def versions(self, purpose: str) -> frozenset[int]:
        """Every version, the next one too."""
        return frozenset(self._material[purpose])

    def material(self, purpose: str, version: int) -> bytes:
        """Return a purpose key itself, to wrap it again."""
        return self._material[purpose][version]

    def derive(self, purpose: str, use: str, version: int) -> bytes:
        """Return the key for one use of a purpose key version (RFC 5869; the label names purpose and use)."""
        return hkdf(self._material[purpose][version], f"tradewarden/v1/{purpose}/{use}")

    def uses(self, purpose: str, use: str) -> dict[int, bytes]:
        """Return the keys for one use, of every version."""
        return {version: self.derive(purpose, use, version) for version in self._material[purpose]}

    def budget_sealer(self, purpose: str, version: int) -> Sealer:
        """Return the sealer of the budget row of one version."""
        sealer = Sealer()
        sealer.install({version: self.derive(purpose, "budget", version)}, version)
        return sealer

    def same(self, other: Ring, purpose: str) -> bool:
        """Tell whether a purpose's keys are the same in another ring."""
        return (
            self._current.get(purpose) == other._current[purpose]
            and self._material.get(purpose, {}).keys() == other._material[purpose].keys()
        )

    def refuse_other(self, newer: Ring) -> None:
        """Check that `newer` has every key that this one has, and the same; raises `IntegrityError`.

        So nobody who does not know these keys can put others in their place, whatever root key they are under.
        """
        for purpose, versions in self._material.items():
            later = newer._material.get(purpose, {})
            if versions.keys() - later.keys():
                raise damaged(f"{purpose} went back to an older version")
            if not all(hmac.compare_digest(key, later[version]) for version, key in versions.items()):
                raise damaged(f"{purpose} has other keys than it had")

    def lineage(self, purposes: Iterable[str]) -> bytes:
        """Return a digest that these keys keep through every rotation, and that no others have.

        Of the first version of each purpose. Only who knows them all can make it.
        """
        return hashlib.sha256(b"".join(self.derive(purpose, "lineage", 1) for purpose in sorted(purposes))).digest()

    def following(self, state: KeyState) -> Ring:
        """Return this ring as it stands by a state under a root key that this process does not have.

        Its seals cannot be checked, so nothing is believed but a step forward to a version that is known already.
        Raises `UnavailableError` for a version in use that is not.
        """
        current = dict(self._current)
        for row in state.keys:
            if row.state == State.NEXT or row.purpose not in current:
                continue
            if row.version not in self._material[row.purpose]:
                raise UnavailableError(
                    "The root key was rotated by another process and a newer key is in use; "
                    "restart this process with the new TRADEWARDEN_ROOT_KEY",
                    reason=f"{row.purpose} version {row.version} is under a root key this process does not have",
                )
            current[row.purpose] = max(current[row.purpose], row.version)
        return Ring(self._material, current)


def open_ring(state: KeyState, root: RootKey) -> Ring:
    """Check every row of `state` and return its keys; raises `IntegrityError`, naming the table."""
    if state.root is None:
        raise damaged("the root record is gone")
    sealer = root.sealer(state.root.generation)
    sealer.check(state.root)
    rows: dict[str, list[PurposeKey]] = {purpose: [] for purpose in state.root.purposes.split(",")}
    for row in state.keys:
        sealer.check(row)
        if row.purpose not in rows:
            raise damaged(f"{row.purpose} is not in the root record")
        rows[row.purpose].append(row)
    current = {purpose: _current(purpose, versions) for purpose, versions in rows.items()}
    material = {
        purpose: {row.version: root.unwrap(purpose, row.version, row.wrapped) for row in versions}
        for purpose, versions in rows.items()
    }
    return Ring(material, current)


def _current(purpose: str, rows: list[PurposeKey]) -> int:
    """Return the current version of a purpose whose rows are complete."""
    rows = sorted(rows, key=lambda row: row.version)
    whole = [row.version for row in rows] == list(range(1, len(rows) + 1))
    states = [row.state for row in rows]
    if not whole or states != [State.RETIRED] * (len(rows) - 2) + [State.CURRENT, State.NEXT]:
        raise damaged(f"versions of {purpose} are missing")
    return rows[-2].version


def damaged(reason: str) -> IntegrityError:
    """Return the error for key tables that are not as this service left them."""
    return IntegrityError(
        "The key tables were changed outside Tradewarden and are refused; restore the database from a backup",
        reason=reason,
    )

"""Secrets in memory."""

from __future__ import annotations

import struct
from bisect import bisect_right, insort
from typing import TYPE_CHECKING, TypeVar

from tradewarden.secrets.store import HEAD, SecretChange, SecretHead, SecretState, SecretVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tradewarden.storage.memory import MemoryDatabase

T = TypeVar("T")
_KEY_VERSION = struct.Struct(">I")


class MemorySecretStore:
    """A `SecretStore` over dictionaries."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._paths: list[str] = []
        self._heads: dict[str, SecretHead] = {}
        self._versions: dict[str, dict[int, SecretVersion]] = {}
        self._values: dict[tuple[str, int], bytes] = {}

    async def read(self, path: str, version: int | None) -> tuple[SecretHead, SecretVersion | None, bytes] | None:
        """Return head, one version (None: the current one) and its value; None without a head."""
        head = self._heads.get(path)
        if head is None:
            return None
        wanted = head.current if version is None else version
        return head, self._versions[path].get(wanted), self._values.get((path, wanted), b"")

    async def mark(self) -> int:
        """Return what stays the same until the next change."""
        return await self._database.mark()

    async def history(self, path: str) -> SecretState | None:
        """Return the head and every kept version."""
        head = self._heads.get(path)
        return None if head is None else SecretState(head, dict(sorted(self._versions[path].items())))

    async def heads(self, prefix: str, after: str, limit: int) -> list[SecretHead]:
        """Return up to `limit` heads whose paths start with `prefix` and follow `after`."""
        paths = [path for path in self._paths if path > after and path.startswith(prefix)]
        return [self._heads[path] for path in paths[:limit]]

    async def change(
        self,
        path: str,
        versions: Sequence[int],
        decide: Callable[[SecretState | None], SecretChange[T]],
    ) -> T:
        """Load the head and the named versions, decide, write and record; return the answer."""
        change = decide(self._state(path, versions))
        self._put(path, change)
        self._database.record(change.entry)
        return change.answer

    def _state(self, path: str, versions: Sequence[int]) -> SecretState | None:
        head = self._heads.get(path)
        if head is None:
            return None
        rows = self._versions[path]
        return SecretState(head, {each: rows[each] for each in versions if each in rows})

    def _put(self, path: str, change: SecretChange[T]) -> None:
        if path not in self._heads:
            insort(self._paths, path)
        self._heads[path] = change.head
        rows = self._versions.setdefault(path, {})
        rows.update({row.version: row for row in change.versions})
        self._values.update({(path, version): value for version, value in change.values.items()})
        for version in [each for each in rows if each < change.drop_below]:
            del rows[version]
            self._values.pop((path, version), None)

    async def outdated(self, below_key_version: int, after: tuple[str, int], limit: int) -> list[tuple[str, int]]:
        """Return (path, version) of what is sealed or encrypted under an older key version."""
        start = bisect_right(self._paths, after[0])
        paths = self._paths[max(start - 1, 0) :]
        found = [each for path in paths for each in self._older(path, below_key_version)]
        return [each for each in found if each > after][:limit]

    def _older(self, path: str, below: int) -> Iterator[tuple[str, int]]:
        if _key_version(self._heads[path].seal) < below:
            yield path, HEAD
        for version, row in sorted(self._versions[path].items()):
            value = self._values.get((path, version), b"")
            old_value = not row.destroyed and _key_version(value[1:]) < below
            if old_value or _key_version(row.seal) < below:
                yield path, version


def _key_version(sealed: bytes) -> int:
    number: int = _KEY_VERSION.unpack_from(sealed)[0]
    return number

"""Moves stored secrets on to the current key version, in batches, while others read and write.

Each row is changed in a transaction of its own that looks again at what stands there, so the job
can be stopped at any point and taken up at its cursor or from the start.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from tradewarden.crypto.aead import key_version
from tradewarden.errors import IntegrityError, InvalidInputError, SecretNotFoundError
from tradewarden.keys.purpose import Purpose
from tradewarden.secrets.commands import Rewrapped
from tradewarden.secrets.protection import Protection
from tradewarden.secrets.rules import Step
from tradewarden.secrets.store import HEAD, SecretChange, SecretState, SecretStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.keys.port import Keys

MAX_BATCH = 500
START = ("", HEAD)


class Rewrap:
    """The rewrap job of the secrets room."""

    def __init__(self, store: SecretStore, keys: Keys) -> None:
        self._store = store
        self._protection = Protection(keys)

    async def batch(self, grant: Grant, after: tuple[str, int], limit: int, entry: Entry) -> Rewrapped:
        """Move up to `limit` rows that follow `after` (first: `START`), each with its own entry."""
        grant.require("keys:rewrap", Purpose.SECRETS.value)
        if not 1 <= limit <= MAX_BATCH:
            raise InvalidInputError(f"limit must be 1 to {MAX_BATCH}")
        newest = max(self._protection.cipher.current, self._protection.sealer.current)
        rows = await self._store.outdated(newest, after, limit)
        refused = [path for path, version in rows if not await self._move(path, version, entry)]
        last = rows[-1] if len(rows) == limit else None
        return Rewrapped(len(rows) - len(refused), tuple(refused), last)

    async def _move(self, path: str, version: int, entry: Entry) -> bool:
        """Move one row; False when it does not verify and so was left alone."""
        pinned = copy(entry)
        pinned.resource = path
        try:
            if version == HEAD:
                await self._store.change(path, (), self._resealed_head(path, pinned))
            else:
                await self._move_version(path, version, pinned)
        except IntegrityError:
            return False
        except SecretNotFoundError:
            return True  # it went since it was found
        entry.commit()
        return True

    def _resealed_head(self, path: str, entry: Entry) -> Callable[[SecretState | None], SecretChange[None]]:
        def decide(state: SecretState | None) -> SecretChange[None]:
            found = self._protection.state(state, path)
            if found is None:
                raise SecretNotFoundError(path)
            return self._protection.change(Step(found.head), None, entry.draft)

        return decide

    async def _move_version(self, path: str, version: int, entry: Entry) -> None:
        protection = self._protection
        found = await self._store.read(path, version)
        if found is None or found[1] is None:
            raise SecretNotFoundError(path)
        row = protection.version(protection.head(found[0], path), found[1], version)
        moves = not row.destroyed and key_version(found[2]) < protection.cipher.current
        value = protection.decrypt(row, found[2]) if moves else b""
        if moves:
            await protection.reserve()

        def decide(state: SecretState | None) -> SecretChange[None]:
            standing = protection.state(state, path)
            if standing is None or version not in standing.versions:
                raise SecretNotFoundError(path)
            now = standing.versions[version]
            moved = moves and not now.destroyed
            values = {version: protection.encrypt(now, value)} if moved else {}
            return protection.change(Step(standing.head, (now,)), None, entry.draft, values)

        await self._store.change(path, (version,), decide)

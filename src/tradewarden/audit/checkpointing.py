"""Signing: at most one checkpoint a second and one a size, and never one that denies an earlier one.

Before it signs, the root at the size of the last checkpoint is computed from the tree as it stands
now. When that is not what was signed then, the tree was changed outside Tradewarden: nothing is
signed, and the `IntegrityError` says so until the log is restored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.audit.checkpoint import Checkpoint, CheckpointSigner, read_checkpoint
from tradewarden.audit.store import Leader, LogStore, StoredCheckpoint
from tradewarden.audit.tiles import places_of, range_hash
from tradewarden.clock import rfc3339
from tradewarden.crypto.signers import Verifier
from tradewarden.errors import IntegrityError

if TYPE_CHECKING:
    from tradewarden.clock import Clock

EVERY_SECONDS = 1.0
KEEP_ALL_HOURS = 24
_HOUR = 3600


async def root_at(store: LogStore, size: int) -> bytes:
    """Return the root that the stored tree had at `size`; raises `IntegrityError` when it is not whole."""
    whole = (0, size)
    return range_hash(await store.tiles(places_of([whole])), whole)


class Checkpointer:
    """Signs the log `origin` with one key."""

    def __init__(self, store: LogStore, signer: CheckpointSigner, origin: str, clock: Clock) -> None:
        self._store = store
        self._signer = signer
        self._origin = origin
        self._clock = clock
        self._last: Checkpoint | None = None
        self._signed_at = -EVERY_SECONDS
        self._thinned = 0

    async def run_once(self, leader: Leader, *, at_once: bool = False) -> Checkpoint | None:
        """Sign the log as it stands, when it has grown and a second has passed; return what was signed."""
        size = await self._store.size()
        last = self._last or await self._newest()
        now = self._clock.monotonic()
        if (now - self._signed_at < EVERY_SECONDS and not at_once) or size == (last.size if last else 0):
            return None
        if last is not None:
            await self._still_holds(last, size)
        root = await root_at(self._store, size)
        checkpoint = Checkpoint(self._origin, size, root, rfc3339(self._clock.now()))
        hour = int(self._clock.now()) // _HOUR
        note = checkpoint.sign(self._signer)
        await self._store.sign(leader, StoredCheckpoint(size, hour, note))
        self._last, self._signed_at = checkpoint, now
        if hour != self._thinned:
            await self._store.thin(leader, hour - KEEP_ALL_HOURS)
            self._thinned = hour
        return checkpoint

    async def _newest(self) -> Checkpoint | None:
        stored = await self._store.checkpoint()
        if stored is None:
            return None
        return read_checkpoint(stored.note, Verifier(self._signer.public_key))

    async def _still_holds(self, last: Checkpoint, size: int) -> None:
        if size < last.size or await root_at(self._store, last.size) != last.root:
            raise IntegrityError(
                f"The audit log is not what was signed at {last.size} entries; nothing more is"
                " signed; run 'tradewarden audit verify' and restore it from a backup",
                reason=f"the tree does not contain the checkpoint of size {last.size}",
            )

"""The root key that this process holds: recognised at its start, followed when another process rotates it.

Always true here: a root key is held only when its check value fits. One that came from anywhere but the configured
source has also opened every stored row, and found in them the very keys that this service had before (`prove`). Until
then the URI in the root record is somebody's word: it is looked at and never written to, and why it led nowhere is told
to nobody.
"""

from __future__ import annotations

import asyncio
import hmac
from functools import partial
from typing import TYPE_CHECKING, Final

from tradewarden.errors import ConfigurationError, ConflictError, UnavailableError
from tradewarden.keys.changes import Writer
from tradewarden.keys.purpose import Purpose
from tradewarden.keys.ring import damaged, open_ring
from tradewarden.keys.root import Stretching

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.clock import Clock, Randomness
    from tradewarden.keys.ring import Ring
    from tradewarden.keys.root import RootKey, RootSource
    from tradewarden.keys.source import RootSources
    from tradewarden.keys.store import KeyState, RootRecord

_PATIENCE_SECONDS: Final = 1.0


class Custody:
    """The root key in use and where it came from."""

    def __init__(self, sources: RootSources, randomness: Randomness, clock: Clock) -> None:
        self.source: RootSource = sources.configured
        self.root: RootKey | None = None
        self._sources = sources
        self._randomness = randomness
        self._clock = clock

    def take(self, root: RootKey, source: RootSource) -> None:
        """Hold this root key from now on."""
        self.root, self.source = root, source

    def knows(self, state: KeyState, root: RootKey | None = None) -> bool:
        """Tell whether `state` is under `root`, or under the root key that is held."""
        root = root or self.root
        return state.root is not None and root is not None and root.matches(state.root.check_value)

    async def recognise(self, state: KeyState, lineage: bytes | None) -> None:
        """Hold the root key of `state`, from the configured source.

        With the lineage of the keys that a running service has, the source that another process rotated to will do.
        Raises `ConfigurationError`; the check value comes before anything else.
        """
        if state.root is None:
            raise damaged("the root record is gone")
        try:
            self.root = self.root or await self._configured(state.root, patient=lineage is not None)
        except ConfigurationError:
            if lineage is None or not await self.follow(state, partial(_prove_lineage, lineage)):
                raise

    async def follow(self, state: KeyState, prove: Callable[[Ring], None]) -> bool:
        """Hold the root key that another process rotated to; False when this process cannot open it.

        `prove` raises `IntegrityError` for keys that are not what became of those before.
        """
        if state.root is None:
            return False
        for source in self._candidates(state.root.uri):
            root = await asyncio.to_thread(_looked, source, state.root)
            if root is not None:
                prove(open_ring(state, root))
                self.take(root, source)
                return True
        return False

    def writer(self, state: KeyState) -> Writer | None:
        """Return what it takes to write key rows now; None when another root key is in use."""
        if state.root is None or self.root is None or not self.knows(state):
            return None
        return Writer(self.root, state.root.generation, self._randomness, self._clock.now())

    def present_writer(self, state: KeyState) -> Writer:
        """Return the same; raises `ConflictError` for None."""
        writer = self.writer(state)
        if writer is None:
            raise ConflictError(
                "The root key was rotated by another process; restart this one with the new TRADEWARDEN_ROOT_KEY"
            )
        return writer

    def _candidates(self, uri: str) -> list[RootSource]:
        """Return where to look for another root key: where the record says, and where this process's own came from."""
        try:
            named = self._sources.named(uri)
        except ConfigurationError:
            return [self.source]
        return [named] if named.uri == self.source.uri else [named, self.source]

    async def _configured(self, record: RootRecord, *, patient: bool) -> RootKey:
        """Open the configured source; a process of a running service waits until it can be reached (`patient`)."""
        root = None
        while root is None:
            try:
                root = await asyncio.to_thread(self.source.open, record.check_value, _stretching(record))
            except UnavailableError:
                if not patient:
                    raise
                await asyncio.sleep(_PATIENCE_SECONDS)
        if not root.matches(record.check_value):
            raise ConfigurationError(
                f"{self.source.name} is not the root key this data was written with; nothing was changed; "
                "set TRADEWARDEN_ROOT_KEY to the one it was"
            )
        return root


def _looked(source: RootSource, record: RootRecord) -> RootKey | None:
    try:
        root = source.look(record.check_value, _stretching(record))
    except (ConfigurationError, UnavailableError):
        return None
    return root if root.matches(record.check_value) else None


def _prove_lineage(lineage: bytes, ring: Ring) -> None:
    if set(Purpose) - ring.purposes or not hmac.compare_digest(lineage, ring.lineage(Purpose)):
        raise damaged("the keys under another root key are not those of the running service")


def _stretching(record: RootRecord) -> Stretching:
    return Stretching(record.salt, record.iterations, record.lanes, record.memory_cost)

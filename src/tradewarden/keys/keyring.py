"""The keyring: every key of this process, ready for use, and the changes to them.

Always true here: nothing is written before the root key is recognised by its check value. The ciphers and sealers that
rooms hold stay the same objects; a rotation, here or in another process, installs its versions into them. One lock lets
one change or refresh happen at a time, so what is installed only ever moves forward.

Rotating the root while several processes run: the one that rotates knows the new root key. Another finds out at its
next `refresh` and opens the source that the root record names. One that cannot (a variable it was not given) is
`outdated`: it goes on with the purpose keys in its memory, follows rotations to versions it already knows, leases
budgets, and asks for a restart (`UnavailableError`) only when it meets a version in use that it cannot unwrap or would
have to rotate a key itself.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.access.grant import ANY
from tradewarden.crypto.keyset import Cipher, Mac, Sealer
from tradewarden.errors import (
    ConfigurationError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    TradewardenError,
    UnavailableError,
)
from tradewarden.keys.budgets import Budgets
from tradewarden.keys.changes import (
    LEASE,
    RootOrigin,
    Writer,
    created,
    digests,
    extended,
    leased,
    rewrapped,
    rotated,
)
from tradewarden.keys.custody import Custody
from tradewarden.keys.events import key_event
from tradewarden.keys.inventory import ROOT, KeyInfo, inventory
from tradewarden.keys.purpose import Purpose
from tradewarden.keys.ring import Ring, damaged, open_ring

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.keys.root import RootKey, RootSource
    from tradewarden.keys.source import RootSources
    from tradewarden.keys.store import KeyChange, KeyState, KeyStore

_LONGEST_LABEL: Final = 128
_encode = msgspec.json.Encoder().encode


class Keyring:
    """All keys of one process; implements `tradewarden.keys.port.Keys`. Made by `open`."""

    def __init__(self, store: KeyStore, sources: RootSources, randomness: Randomness, clock: Clock) -> None:
        self._store = store
        self._custody = Custody(sources, randomness, clock)
        self._randomness = randomness
        self._clock = clock
        self._lock = asyncio.Lock()
        self._work: set[asyncio.Task[None]] = set()
        self._ciphers = {purpose: Cipher(randomness) for purpose in Purpose}
        self._sealers = {purpose: Sealer() for purpose in Purpose}
        self._budgets = Budgets(self._ciphers, self._lock, self._take, self._keep)
        self._ring = Ring({}, {})
        self._generation = 0
        self.outdated = False

    @classmethod
    async def open(
        cls,
        store: KeyStore,
        sources: RootSources,
        randomness: Randomness,
        clock: Clock,
        *,
        follow: bytes | None = None,
        first_start: bool = True,
    ) -> Keyring:
        """Return the keyring over `store`; in a first start an empty store gets its first keys.

        A process of a running service gives the `lineage` of that service's keys as `follow`; then the root key may
        also come from where another process rotated it to, as long as it opens those keys.

        Raises `ConfigurationError` when the configured source does not bring the root key that the data was written
        with (nothing is written then), `IntegrityError` when rows were changed outside.
        """
        ring = cls(store, sources, randomness, clock)
        state = await store.load()
        if state.root is None:
            if not first_start:
                raise damaged("the root record is gone")
            state = await ring._create()
        await ring._recognise(state, follow)
        if set(Purpose) - ring._ring.purposes:
            ring._adopt(await store.change(ring._extend))
        return ring

    async def close(self) -> None:
        """Wait for leases that are under way in the background."""
        await asyncio.gather(*self._work, return_exceptions=True)

    @property
    def lineage(self) -> bytes:
        """A digest that these keys keep through every rotation and no other keys have; it tells nothing of them."""
        return self._ring.lineage(Purpose)

    # What rooms use: tradewarden.keys.port.Keys

    def cipher(self, purpose: Purpose) -> Cipher:
        """Return the cipher of a purpose; it follows rotations by itself."""
        return self._ciphers[purpose]

    def sealer(self, purpose: Purpose) -> Sealer:
        """Return the row sealer of a purpose; it follows rotations by itself."""
        return self._sealers[purpose]

    def mac(self, purpose: Purpose, label: str) -> Mac:
        """Return a keyed hash that stays the same through rotations (derived from version 1)."""
        return Mac(self._labelled(purpose, "mac", label))

    def derive(self, purpose: Purpose, label: str) -> bytes:
        """Return 32 bytes that stay the same through rotations (derived from version 1)."""
        return self._labelled(purpose, "derive", label)

    def current(self, purpose: Purpose) -> int:
        """Return the version that writes now; a rewrap job moves everything below it."""
        return self._ring.current(purpose)

    async def reserve(self, purpose: Purpose, messages: int = 1) -> None:
        """Make sure that `messages` encryptions are in the budget; leases more from storage when they are not.

        Below a quarter of a lease more is fetched in the background. Raises `UnavailableError` when none can be had.
        """
        await self._budgets.reserve(purpose, messages)

    # Following and changing the stored keys

    async def refresh(self) -> None:
        """Look at storage again, because another process changed keys (`Revisions.keys` moved).

        Raises `UnavailableError` when a version is in use that this process cannot unwrap.
        """
        async with self._lock:
            state = await self._store.load()
            if state.root is not None and not self._custody.knows(state) and state.root.generation > self._generation:
                await self._custody.follow(state, self._ring.refuse_other)
            self.outdated = not self._custody.knows(state)
            await self._follow(state)

    async def rotate(self, grant: Grant, purpose: Purpose, entry: Entry) -> int:
        """Make a new version of a purpose's key current, and return its number. Old versions go on reading."""
        grant.require("keys:rotate", purpose.value)

        def decide(state: KeyState) -> KeyChange:
            ring = self._ring_of(state)
            change = rotated(state, ring, self._custody.present_writer(state), purpose.value, LEASE)
            return msgspec.structs.replace(change, entry=entry.draft(*digests(*change.keys)))

        async with self._lock:
            self._adopt(await self._store.change(decide), {purpose: LEASE})
        entry.commit()
        return self._ring.current(purpose)

    async def rotate_root(self, grant: Grant, new_source: RootSource, entry: Entry) -> int:
        """Put every purpose key under the root key of `new_source`, and return the new generation.

        No data is touched. Other processes follow by themselves; from the return on, every fresh start needs the new
        root key.
        """
        grant.require("keys:rotate", ROOT)
        await asyncio.shield(self._keep(self._rotate_root(new_source, entry)))
        return self._generation

    async def inventory(self, grant: Grant) -> list[KeyInfo]:
        """Return what keys there are, the root first; never a key itself."""
        grant.require("keys:read", ANY)
        state = await self._store.load()
        self._ring_of(state)
        return [line for line in inventory(state) if grant.sees(line.purpose)]

    # First start

    async def _create(self) -> KeyState:
        source = self._custody.source
        root, stretching = await asyncio.to_thread(source.prepare, self._randomness, None)
        writer = Writer(root, 1, self._randomness, self._clock.now())
        origin, draft = RootOrigin(source.uri, stretching), partial(self._event, "create")
        state = await self._change_under(source, root, lambda found: created(found, writer, origin, Purpose, draft))
        if self._custody.knows(state, root):
            await asyncio.to_thread(source.settle, root)
            self._custody.take(root, source)
        else:
            await asyncio.to_thread(source.discard, root)
        return state

    def _extend(self, state: KeyState) -> KeyChange:
        writer, draft = self._custody.present_writer(state), partial(self._event, "create")
        return extended(state, self._ring_of(state), writer, Purpose, draft)

    # The root key

    async def _recognise(self, state: KeyState, follow: bytes | None) -> None:
        """Hold the root key of this state and adopt its keys."""
        try:
            await self._custody.recognise(state, follow)
        except ConfigurationError:
            newer = await self._store.load()
            if newer.root is None or state.root is None or newer.root.check_value == state.root.check_value:
                raise
            await self._recognise(newer, follow)  # it was rotated between the two looks, at the state and at the source
            return
        self._adopt(state)

    async def _rotate_root(self, new_source: RootSource, entry: Entry) -> None:
        async with self._lock:
            replaces = self._custody.root.check_value if self._custody.root else None
            root, stretching = await asyncio.to_thread(new_source.prepare, self._randomness, replaces)
            origin = RootOrigin(new_source.uri, stretching)

            def decide(state: KeyState) -> KeyChange:
                if self._custody.knows(state, root):
                    raise InvalidInputError(f"{new_source.name} holds the present root key; give a new one")
                present = self._custody.present_writer(state)
                writer = present._replace(root=root, generation=present.generation + 1)
                change = rewrapped(state, self._ring_of(state), writer, origin)
                rows = digests(*((change.root,) if change.root else ()), *change.keys)
                return msgspec.structs.replace(change, entry=entry.draft(*rows))

            state = await self._change_under(new_source, root, decide)
            entry.commit()
            self._custody.take(root, new_source)
            self._adopt(state)
            # The rotation stands. What could not be settled, the next start settles.
            with suppress(TradewardenError):
                await asyncio.to_thread(new_source.settle, root)

    async def _change_under(
        self, source: RootSource, root: RootKey, decide: Callable[[KeyState], KeyChange]
    ) -> KeyState:
        """Write under a new root key. It is kept when storage does not say for certain that nothing was written."""
        try:
            return await self._store.change(decide)
        except (InvalidInputError, ConflictError, IntegrityError):
            await asyncio.to_thread(source.discard, root)
            raise

    # Installing

    def _ring_of(self, state: KeyState) -> Ring:
        """Return the keys as they stand by `state`; raises `IntegrityError` when they were changed outside."""
        root = self._custody.root
        if state.root is None or root is None:
            raise damaged("the root record is gone")
        if not self._custody.knows(state):
            return self._ring.following(state)
        ring = open_ring(state, root)
        self._ring.refuse_other(ring)
        return ring

    def _adopt(self, state: KeyState, leases: Mapping[Purpose, int] | None = None) -> None:
        """Install what stands by `state`, and the leases taken with it; all in one step of the event loop."""
        ring = self._ring_of(state)
        if state.root is not None and self._custody.knows(state):
            self._generation = state.root.generation
        before, self._ring = self._ring, ring
        for purpose in ring.purposes & set(Purpose):
            messages = (leases or {}).get(Purpose(purpose), 0)
            if before.same(ring, purpose):
                self._ciphers[Purpose(purpose)].grant(ring.current(purpose), messages)
            else:
                self._install(Purpose(purpose), messages)

    def _install(self, purpose: Purpose, messages: int) -> None:
        current = self._ring.current(purpose)
        self._ciphers[purpose].install(self._ring.uses(purpose, "value"), current, messages)
        self._sealers[purpose].install(self._ring.uses(purpose, "row"), current)

    async def _follow(self, state: KeyState) -> None:
        """Adopt `state`; a purpose in use whose version moved gets its first lease before its version is installed."""
        ring = self._ring_of(state)
        moved = [
            purpose
            for purpose, cipher in self._ciphers.items()
            if cipher.budget and ring.current(purpose) != cipher.current
        ]
        if moved:
            try:
                await self._take(dict.fromkeys(moved, LEASE))
            except UnavailableError:
                self._adopt(state)
        else:
            self._adopt(state)

    async def _take(self, demands: Mapping[Purpose, int]) -> None:
        """Lease in storage, then install what stands there now together with the lease."""

        def decide(state: KeyState) -> KeyChange:
            draft = partial(self._event, "rotate")
            return leased(state, self._ring_of(state), self._custody.writer(state), demands, draft)

        self._adopt(await self._store.change(decide), demands)

    def _keep(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Hold a task until it is done, and look at its error so that nothing else has to."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        task.add_done_callback(_look_at)
        return task

    def _event(self, action: str, ring: Ring, resource: str, rows: tuple[str, ...]) -> bytes:
        return key_event(ring, self._clock.now(), action, resource, rows)

    def _labelled(self, purpose: Purpose, kind: str, label: str) -> bytes:
        if not 0 < len(label) <= _LONGEST_LABEL:
            raise InvalidInputError(f"A key label has 1 to {_LONGEST_LABEL} characters")
        return self._ring.derive(purpose, f"label/{kind}/{label}", 1)


def _look_at(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()

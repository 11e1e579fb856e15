"""What the workings of the tokens room have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.keys.purpose import Purpose
from tradewarden.tokens.ring import SigningKeys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tradewarden.clock import Clock, Randomness
    from tradewarden.crypto.keyset import Sealer
    from tradewarden.keys.port import Keys
    from tradewarden.tokens.policy import TokenPolicy
    from tradewarden.tokens.register import CurrentRevisions, Register
    from tradewarden.tokens.ring import Ring
    from tradewarden.tokens.store import Row, TokenState, TokenStore


class Parts:
    """The store, the keys, the register of services, the rules, time and randomness."""

    __slots__ = (
        "_sealer",
        "clock",
        "policy",
        "randomness",
        "register",
        "revisions",
        "signing_keys",
        "store",
    )

    def __init__(
        self,
        store: TokenStore,
        keys: Keys,
        register: Register,
        policy: TokenPolicy,
        clock: Clock,
        randomness: Randomness,
        revisions: CurrentRevisions,
    ) -> None:
        self.store = store
        self.register = register
        self.policy = policy
        self.clock = clock
        self.randomness = randomness
        self.revisions = revisions
        self.signing_keys = SigningKeys(store, keys, policy.algorithm, clock, randomness)
        self._sealer: Sealer = keys.sealer(Purpose.TOKENS)

    def now(self) -> int:
        """Return whole seconds since the epoch."""
        return int(self.clock.now())

    async def ring(self) -> Ring:
        """Return the signing keys as of now."""
        return await self.signing_keys.at((await self.revisions()).keys)

    def seal(self, rows: Iterable[Row]) -> tuple[Row, ...]:
        """Return the rows sealed, ready to be put."""
        return tuple(self._sealer.seal(row) for row in rows)

    def checked(self, state: TokenState) -> TokenState:
        """Return the state when every row's seal holds; raises `IntegrityError`."""
        check = self._sealer.check
        for row in (state.token, state.refresh, state.family, state.subject):
            if row is not None:
                check(row)
        return state

    def check(self, row: Row) -> None:
        """Check the seal of one row; raises `IntegrityError`."""
        self._sealer.check(row)


def names_text(names: Iterable[str]) -> str:
    """Write permission names as a row keeps them, a JSON array."""
    return msgspec.json.encode(tuple(names)).decode()

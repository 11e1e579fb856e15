"""Anti-replay nonces (RFC 8555 section 6.5): made without being kept, spent once in the whole installation.

A nonce is `minute | 16 random bytes | MAC`, so asking for one costs no storage and strangers cannot fill any. Spending
writes it into a table that all processes share; its primary key lets one of two spenders through. A nonce that is older
than an hour is refused by its minute, so spent ones are forgotten after that.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from tradewarden.acme.problem import AcmeError, Kind
from tradewarden.crypto.base64url import base64url, unbase64url

if TYPE_CHECKING:
    from tradewarden.acme.store import AcmeStore
    from tradewarden.clock import Clock, Randomness
    from tradewarden.crypto.keyset import Mac

LIFETIME: Final = 3600
_TIME, _RANDOM, _MAC = 5, 16, 16


class Nonces:
    """Makes and spends nonces for every process of an installation."""

    def __init__(self, store: AcmeStore, mac: Mac, clock: Clock, randomness: Randomness) -> None:
        self._store = store
        self._mac = mac
        self._clock = clock
        self._randomness = randomness

    def make(self) -> str:
        """Return a fresh nonce."""
        body = int(self._clock.now()).to_bytes(_TIME) + self._randomness(_RANDOM)
        return base64url(body + self._tag(body))

    async def spend(self, nonce: str) -> None:
        """Take a nonce out of the world; raises `AcmeError` (`badNonce`) for one that is not ours, old or spent."""
        raw = unbase64url(nonce) or b""
        body, tag = raw[: _TIME + _RANDOM], raw[_TIME + _RANDOM :]
        if not hmac.compare_digest(tag, self._tag(body)):
            raise _bad("nonce is not one of ours")
        ends = int.from_bytes(body[:_TIME]) + LIFETIME
        if ends < self._clock.now():
            raise _bad("nonce is too old")
        if not await self._store.spend(nonce, ends):
            raise _bad("nonce was used before")

    def _tag(self, body: bytes) -> bytes:
        return self._mac.digest("nonce", body.hex())[:_MAC]


def _bad(reason: str) -> AcmeError:
    text = "The nonce is not good (any more); repeat the call with the one of this answer"
    return AcmeError(Kind.BAD_NONCE, text, reason=reason)

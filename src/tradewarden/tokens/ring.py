"""The signing keys of this installation: made at the first start, kept wrapped, rotated with overlap.

Always true here: one key of a kind signs; retired ones verify until nothing they signed can be alive. A ring carries
the revision of `keys` that was read before it was loaded, so a key that another process made is known in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.crypto.place import place
from tradewarden.errors import ConfigurationError, ConflictError, UnavailableError
from tradewarden.keys.purpose import Purpose
from tradewarden.tokens import signing
from tradewarden.tokens.policy import TokenKind
from tradewarden.tokens.signing import SigningKey
from tradewarden.tokens.store import (
    SigningKeyRow,
    TokenChange,
    TokenState,
    TokenStore,
    Wanted,
    row_digests,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.keys.port import Keys

_ALL_KEYS = Wanted(keys=True)
_GENERATED = "generated"
_GIVEN = "environment"

JWKS = dict[str, list[dict[str, str]]]
"""A JWK set (RFC 7517 section 5)."""


class Ring:
    """The keys as of one revision."""

    __slots__ = ("_by_header", "_current")

    def __init__(self, keys: list[SigningKey], current: dict[TokenKind, SigningKey]) -> None:
        self._by_header = {key.header: key for key in keys}
        self._current = current

    def signer(self, kind: TokenKind) -> SigningKey:
        """Return the key that signs this kind; raises `UnavailableError` before one was made."""
        try:
            return self._current[kind]
        except KeyError as error:
            raise UnavailableError("No signing key is ready; try again later") from error

    def by_header(self, header: str) -> SigningKey | None:
        """Return the key whose tokens begin with `header`, None when it is none of ours."""
        return self._by_header.get(header)

    def jwks(self) -> JWKS:
        """Return the public keys as a JWK set (RFC 7517 section 5); shared secrets are never in it."""
        found = [key.public() for key in self._by_header.values()]
        return {"keys": [each for each in found if each is not None]}


class SigningKeys:
    """Makes, loads and rotates the signing keys."""

    def __init__(self, store: TokenStore, keys: Keys, algorithm: str, clock: Clock, randomness: Randomness) -> None:
        if algorithm not in signing.ALGORITHMS:
            raise ConfigurationError(f"JWT_ALGORITHM {algorithm!r} is not one of {', '.join(signing.ALGORITHMS)}")
        self._store = store
        self._keys = keys
        self._algorithm = algorithm
        self._clock = clock
        self._randomness = randomness
        self._secret: bytes | None = None
        self._ring = Ring([], {})
        self._revision = -1

    async def at(self, revision: int) -> Ring:
        """Return the ring as of a revision of `keys`; loads it when that moved."""
        if revision != self._revision:
            state = await self._store.read(_ALL_KEYS)
            self._ring = self._unwrap(state)
            self._revision = revision
        return self._ring

    async def open(self, shared_secret: str | None, entry: Entry) -> None:
        """Make a key where none stands, or where the setting asks for another one now.

        `shared_secret` is JWT_SECRET_KEY, used by HS256 through its UTF-8 bytes. Raises `ConfigurationError` when it
        is too short.
        """
        if shared_secret and self._algorithm == "HS256":
            self._secret = shared_secret.encode()
            signing.given(self._secret, self._randomness)

        def fits(row: SigningKeyRow) -> bool:
            if row.algorithm != self._algorithm:
                return False
            if self._secret is None:
                return row.source == _GENERATED
            return row.source == _GIVEN and signing.same_secret(self._open(row), self._secret)

        await self._replace(fits, entry)

    async def rotate(self, entry: Entry) -> int:
        """Make a new key that signs from now on and return its version; the one before goes on verifying.

        Raises `ConflictError` while JWT_SECRET_KEY is the key.
        """
        if self._secret is not None:
            raise ConflictError("The signing key is JWT_SECRET_KEY; give that variable another value and restart")
        return await self._replace(lambda _: False, entry)

    async def _replace(self, fits: Callable[[SigningKeyRow], bool], entry: Entry) -> int:
        await self._keys.reserve(Purpose.TOKENS, len(TokenKind))
        made = {kind: self._make() for kind in TokenKind}
        now = int(self._clock.now())

        def decide(state: TokenState) -> TokenChange[int]:
            rows: list[SigningKeyRow] = []
            for kind, (kid, jwk) in made.items():
                mine = [self._checked(row) for row in state.keys if row.kind == kind.value]
                signing_now = [row for row in mine if not row.retired_at]
                if not any(map(fits, signing_now)):
                    rows += [msgspec.structs.replace(row, retired_at=now) for row in signing_now]
                    version = max((row.version for row in mine), default=0) + 1
                    rows.append(self._row(kid, kind, version, jwk, now))
            if not rows:
                return TokenChange(answer=0)
            sealed = tuple(map(self._keys.sealer(Purpose.TOKENS).seal, rows))
            record = entry.draft(*row_digests(sealed))
            newest = max(row.version for row in rows)
            return TokenChange(answer=newest, entry=record, rows=sealed, bump=("keys",))

        version = await self._store.change(_ALL_KEYS, decide)
        if version:
            entry.commit()
        return version

    def _make(self) -> tuple[str, bytes]:
        if self._secret is not None:
            return signing.given(self._secret, self._randomness)
        return signing.generate(self._algorithm, self._randomness)

    def _row(self, kid: str, kind: TokenKind, version: int, jwk: bytes, now: int) -> SigningKeyRow:
        source = _GENERATED if self._secret is None else _GIVEN
        row = SigningKeyRow(kid, kind.value, version, self._algorithm, source, now, 0, b"")
        secret = self._keys.cipher(Purpose.TOKENS).encrypt(jwk, _place(row))
        return msgspec.structs.replace(row, secret=secret)

    def _checked(self, row: SigningKeyRow) -> SigningKeyRow:
        return self._keys.sealer(Purpose.TOKENS).check(row)

    def _open(self, row: SigningKeyRow) -> bytes:
        return self._keys.cipher(Purpose.TOKENS).decrypt(row.secret, _place(row))

    def _unwrap(self, state: TokenState) -> Ring:
        keys: list[SigningKey] = []
        current: dict[TokenKind, SigningKey] = {}
        for row in sorted(map(self._checked, state.keys), key=lambda each: each.version):
            key = SigningKey(row.kid, TokenKind(row.kind), row.algorithm, self._open(row))
            keys.append(key)
            if not row.retired_at:
                current[key.kind] = key
        return Ring(keys, current)


def _place(row: SigningKeyRow) -> bytes:
    return place(Purpose.TOKENS.value, row.table, row.kid, row.kind, row.version, row.algorithm)

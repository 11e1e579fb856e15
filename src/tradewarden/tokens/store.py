"""What the tokens room keeps, and the one way in which it changes.

A change is decided by a pure function over the state that stands inside the transaction, and is written together with
its audit entry. An adapter may call the function again, so it must not do anything else. Times are whole seconds since
the epoch; a time of 0 means never. Digests are SHA-256 of the token as it was handed out.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")


class TokenRow(msgspec.Struct, frozen=True):
    """One issued access token: what it may do stands here and nowhere else. `permissions` is a JSON array of names.

    It is good while its subject's generation, its registration's `incarnation` (empty: not registered) and its family
    (empty: none) still stand. `confirmation` is the client certificate that it is bound to (a `Bond`; empty: to none).
    """

    table: ClassVar[str] = "tokens"

    digest: bytes
    jti: str
    kind: str
    subject: str
    permissions: str
    issued_at: int
    expires_at: int
    kid: str
    incarnation: str
    generation: int
    family: str
    issued_by: str
    confirmation: str
    revoked_at: int
    seal: bytes = b""


class SubjectRow(msgspec.Struct, frozen=True):
    """How often all tokens of a subject (`service:bot`) were ended; a subject without a row stands at 0."""

    table: ClassVar[str] = "token_subjects"

    subject: str
    generation: int
    seal: bytes = b""


class FamilyRow(msgspec.Struct, frozen=True):
    """One line of refresh tokens: what its access tokens get, when it ends for good, which refresh token is current.

    `confirmation` is the client certificate it was last used with, if it is bound (a `Bond`; empty: it is not).
    """

    table: ClassVar[str] = "token_families"

    family: str
    subject: str
    permissions: str
    incarnation: str
    generation: int
    lifetime: int
    created_at: int
    expires_at: int
    current: bytes
    issued_by: str
    ended_at: int
    confirmation: str = ""
    seal: bytes = b""


class RefreshRow(msgspec.Struct, frozen=True):
    """One refresh token; `used_at` and `successor` are filled when it was exchanged."""

    table: ClassVar[str] = "refresh_tokens"

    digest: bytes
    family: str
    issued_at: int
    used_at: int
    successor: bytes
    seal: bytes = b""


class SigningKeyRow(msgspec.Struct, frozen=True):
    """One version of a kind's signing key; `secret` is an AEAD envelope of a JWK. `retired_at` 0: it signs."""

    table: ClassVar[str] = "signing_keys"

    kid: str
    kind: str
    version: int
    algorithm: str
    source: str
    created_at: int
    retired_at: int
    secret: bytes
    seal: bytes = b""


Row = TokenRow | SubjectRow | FamilyRow | RefreshRow | SigningKeyRow


class Wanted(msgspec.Struct, frozen=True):
    """Which rows to load: a token by digest or `jti`, a refresh token, a subject, all signing keys.

    The family of a found token and the subject of a found token or family come with them.
    """

    token: bytes = b""
    jti: str = ""
    refresh: bytes = b""
    subject: str = ""
    keys: bool = False


class TokenState(msgspec.Struct, frozen=True):
    """What stands."""

    token: TokenRow | None = None
    refresh: RefreshRow | None = None
    family: FamilyRow | None = None
    subject: SubjectRow | None = None
    keys: tuple[SigningKeyRow, ...] = ()


class TokenChange(msgspec.Struct, Generic[T], frozen=True):
    """What a decision wants written in one transaction; without `entry` nothing is written or recorded."""

    answer: T
    entry: bytes = b""
    rows: tuple[Row, ...] = ()
    bump: tuple[str, ...] = ()


class TokenStore(Protocol):
    """Where tokens are kept."""

    async def read(self, wanted: Wanted) -> TokenState:
        """Return what stands of the wanted rows."""
        ...

    async def change(self, wanted: Wanted, decide: Callable[[TokenState], TokenChange[T]]) -> T:
        """Load, decide, write, record, bump, and return the answer when it is durable."""
        ...

    async def page(self, subject: str, after: str, limit: int) -> list[TokenRow]:
        """Return up to `limit` tokens in the order of their `jti`, after `after`; of one subject, or of all (empty)."""
        ...

    async def count_active(self, now: int) -> int:
        """Return how many tokens would be accepted at `now`, as far as this room knows."""
        ...

    async def sweep(self, before: int, limit: int) -> int:
        """Forget up to `limit` rows of each table that ended before `before`, and return how many went.

        A retired signing key goes when no token row names it any more; then `keys` is bumped.
        """
        ...


def row_digests(rows: Iterable[Row]) -> list[str]:
    """Return what the audit leaf of a change carries: SHA-256 (hex) of each row's seal."""
    return [sha256(row.seal).hexdigest() for row in rows]

"""What a change makes of a secret: pure decisions over rows, without keys, time or storage.

Always true here: version numbers only grow and are never used again; a version's value never
changes; a destroyed version stays destroyed; at most `max_versions` are kept, the newest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from tradewarden.errors import (
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    SecretNotFoundError,
)
from tradewarden.secrets.limits import (
    MAX_CUSTOM,
    MAX_CUSTOM_KEY,
    MAX_CUSTOM_VALUE,
    MAX_KEPT,
    MAX_PICKED,
    MAX_VERSION,
)
from tradewarden.secrets.store import SecretHead, SecretState, SecretVersion

if TYPE_CHECKING:
    from tradewarden.secrets.commands import SetSecretMetadata

_encode = msgspec.json.Encoder(order="sorted").encode


class Step(NamedTuple):
    """Rows to write, unsealed, and the version below which all are forgotten (0: none)."""

    head: SecretHead
    rows: tuple[SecretVersion, ...] = ()
    drop_below: int = 0


class Author(NamedTuple):
    """Who writes, when, and what a path that is new starts with; `incarnation` may be empty for one that is not."""

    name: str
    now: float
    incarnation: bytes
    max_versions: int


def put(state: SecretState | None, path: str, author: Author, cas: int | None, custom: bytes | None) -> Step:
    """Decide a new version; raises `ConflictError` naming both versions when `cas` misses."""
    head = state.head if state else None
    current = head.current if head else 0
    if cas is not None and cas != current:
        raise ConflictError(f"Secret '{path}' is at version {current}, not at version {cas}; read it again")
    number = current + 1
    if head is None:
        written = SecretHead(
            path,
            author.incarnation,
            number,
            1,
            author.max_versions,
            b"{}" if custom is None else custom,
            author.now,
            author.now,
        )
    else:
        written = replace(
            head,
            current=number,
            oldest=_oldest(head.oldest, number, head.max_versions),
            custom=head.custom if custom is None else custom,
            updated_at=author.now,
            seal=b"",
        )
    row = SecretVersion(path, number, written.incarnation, author.now, author.name, 0.0, 0)
    return Step(written, (row,), _drop_below(head, written))


def _oldest(oldest: int, current: int, kept: int) -> int:
    return max(oldest, current - kept + 1)


def _drop_below(before: SecretHead | None, after: SecretHead) -> int:
    return after.oldest if before is not None and after.oldest > before.oldest else 0


def delete(state: SecretState | None, path: str, versions: Sequence[int], now: float) -> Step:
    """Decide to hide versions until they are undeleted; what is hidden already stays as it is."""
    head, rows = _standing(state, path, versions)
    hidden = [replace(row, deleted_at=row.deleted_at or now) for row in rows]
    return Step(replace(head, updated_at=now), tuple(hidden))


def undelete(state: SecretState | None, path: str, versions: Sequence[int], now: float) -> Step:
    """Decide to show deleted versions again."""
    head, rows = _standing(state, path, versions)
    return Step(replace(head, updated_at=now), tuple(replace(row, deleted_at=0.0) for row in rows))


def destroy(state: SecretState | None, path: str, versions: Sequence[int], now: float) -> Step:
    """Decide to erase versions for good; the caller erases their values with them."""
    head, rows = _standing(state, path, versions, destroyed_too=True)
    return Step(replace(head, updated_at=now), tuple(replace(row, destroyed=1) for row in rows))


def _standing(
    state: SecretState | None,
    path: str,
    versions: Sequence[int],
    *,
    destroyed_too: bool = False,
) -> tuple[SecretHead, list[SecretVersion]]:
    """Return the head and all named versions; raises `SecretNotFoundError` if one is missing."""
    if state is None:
        raise SecretNotFoundError(path, reason="no such path")
    rows = [kept(state.head, state.versions.get(version), version) for version in versions]
    for row in rows:
        if row.destroyed and not destroyed_too:
            raise SecretNotFoundError(path, reason=f"version {row.version} is destroyed")
    return state.head, rows


def kept(head: SecretHead, row: SecretVersion | None, version: int) -> SecretVersion:
    """Return the row of a version that is kept, of this incarnation; `SecretNotFoundError` else."""
    if row is None or not head.oldest <= version <= head.current:
        raise SecretNotFoundError(head.path, reason=f"version {version} is not kept")
    return row


def readable(head: SecretHead, row: SecretVersion | None, version: int) -> SecretVersion:
    """Return the row of a version whose value may be read; raises `SecretNotFoundError`."""
    row = kept(head, row, version)
    if row.destroyed:
        raise SecretNotFoundError(head.path, reason=f"version {version} is destroyed")
    if row.deleted_at:
        raise SecretNotFoundError(head.path, reason=f"version {version} is deleted")
    return row


def settings(state: SecretState | None, command: SetSecretMetadata, now: float) -> Step:
    """Decide new metadata; keeping fewer versions forgets the oldest at once."""
    if state is None:
        raise SecretNotFoundError(command.path, reason="no such path")
    head = state.head
    kept_versions = head.max_versions if command.max_versions is None else command.max_versions
    changed = replace(
        head,
        max_versions=kept_versions,
        oldest=_oldest(head.oldest, head.current, kept_versions),
        custom=head.custom if command.custom is None else encode_custom(command.custom),
        updated_at=now,
    )
    return Step(changed, (), _drop_below(head, changed))


def encode_custom(custom: Mapping[str, str]) -> bytes:
    """Return the user's own metadata as JSON; raises `LimitExceededError`."""
    too_long = any(len(key) > MAX_CUSTOM_KEY or len(text) > MAX_CUSTOM_VALUE for key, text in custom.items())
    if len(custom) > MAX_CUSTOM or too_long:
        raise LimitExceededError(
            f"custom takes {MAX_CUSTOM} keys at most, keys up to {MAX_CUSTOM_KEY} and texts up to "
            f"{MAX_CUSTOM_VALUE} characters"
        )
    try:
        return _encode(dict(custom))
    except UnicodeEncodeError:
        raise InvalidInputError("custom holds text that is not valid Unicode") from None


def check_version(version: int) -> int:
    """Return `version` when it can be the number of one; raises `InvalidInputError`."""
    if not 1 <= version <= MAX_VERSION:
        raise InvalidInputError("version must be a positive number")
    return version


def check_picked(versions: Sequence[int]) -> tuple[int, ...]:
    """Return the named versions, each once, in order; raises `InvalidInputError`."""
    if not 1 <= len(versions) <= MAX_PICKED:
        raise InvalidInputError(f"versions must name 1 to {MAX_PICKED} versions")
    return tuple(sorted({check_version(version) for version in versions}))


def check_kept(number: int) -> int:
    """Return how many versions may be kept; raises `InvalidInputError`."""
    if not 1 <= number <= MAX_KEPT:
        raise InvalidInputError(f"max_versions must be 1 to {MAX_KEPT}")
    return number

"""What can be asked of the secrets room, and what it answers. Times are seconds since the epoch."""

from __future__ import annotations

import msgspec

from tradewarden.clock import rfc3339
from tradewarden.secrets.limits import Custom, Expected, Kept, Value, Version, Versions
from tradewarden.secrets.path import SecretPath

_decode = msgspec.json.Decoder(dict[str, object]).decode


class PutSecret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Write a new version. `cas`: the version that must be current, 0 when there must be none."""

    path: SecretPath
    data: Value
    cas: Expected | None = None
    custom: Custom | None = None

    def __repr__(self) -> str:
        return f"PutSecret(path={self.path!r}, cas={self.cas})"


class PickVersions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Versions of one secret, to delete (none named: the current one), undelete or destroy."""

    path: SecretPath
    versions: Versions = ()


class RollbackSecret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Write an old version's value again, as a new version."""

    path: SecretPath
    version: Version
    cas: Expected | None = None


class SetSecretMetadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Change the user's own metadata or how many versions are kept; None leaves it alone."""

    path: SecretPath
    custom: Custom | None = None
    max_versions: Kept | None = None


class SecretWritten(msgspec.Struct, frozen=True):
    """A version that now stands."""

    path: str
    version: int
    created_at: float


class SecretRead(msgspec.Struct, frozen=True):
    """A value. `data` is its JSON, ready to be sent on.

    `stale_since` is set when it is only what was read at that time: the place where it is kept cannot be reached.
    """

    path: str
    data: msgspec.Raw
    version: int
    created_at: float
    stale_since: float | None = None

    def __repr__(self) -> str:
        return f"SecretRead(path={self.path!r}, version={self.version})"

    def value(self) -> dict[str, object]:
        """Return the value as Python objects."""
        return _decode(self.data)

    @property
    def note(self) -> str:
        """What the audit entry of a reading says; empty for a value that is as good as new."""
        if self.stale_since is None:
            return ""
        return f"stale: version {self.version} as of {rfc3339(self.stale_since)}, Vault cannot be reached"


class SecretsPicked(msgspec.Struct, frozen=True):
    """The versions that were deleted, undeleted or destroyed."""

    path: str
    versions: tuple[int, ...]


class VersionMetadata(msgspec.Struct, frozen=True):
    """One kept version, without its value. `deleted_at` is None when it is not deleted."""

    version: int
    created_at: float
    created_by: str
    deleted_at: float | None
    destroyed: bool


class SecretSettings(msgspec.Struct, frozen=True):
    """What `SetSecretMetadata` left standing."""

    path: str
    max_versions: int
    custom: dict[str, str]
    updated_at: float


class SecretMetadata(msgspec.Struct, frozen=True):
    """All that is known of a secret but its values; versions oldest first."""

    path: str
    current_version: int
    oldest_version: int
    created_at: float
    updated_at: float
    max_versions: int
    custom: dict[str, str]
    versions: tuple[VersionMetadata, ...]


class SecretNames(msgspec.Struct, frozen=True):
    """One page of names. `next` is what to ask `after` for the following page; None at the end."""

    keys: tuple[str, ...]
    next: str | None


class Rewrapped(msgspec.Struct, frozen=True):
    """One batch of a rewrap job. `after` goes into the next call; None: there is nothing left.

    `refused` are the paths of rows that do not verify and were left as they are.
    """

    moved: int
    refused: tuple[str, ...]
    after: tuple[str, int] | None

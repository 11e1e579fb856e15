"""`/secrets`: store, read, list, delete, bring back, destroy, roll back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from tradewarden.access.paging import PageSize
from tradewarden.clock import rfc3339
from tradewarden.errors import InvalidInputError, SecretNotFoundError
from tradewarden.secrets.commands import (
    PickVersions,
    PutSecret,
    RollbackSecret,
    SecretNames,
    SecretsPicked,
    SetSecretMetadata,
)
from tradewarden.secrets.limits import Version
from tradewarden.secrets.path import PathPrefix, SecretPath

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry
    from tradewarden.secrets.commands import SecretMetadata, SecretWritten


class ReadSecret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Read the current version, the one named, or (`metadata=true`) what is known of all of them.

    `stage=previous` reads the newest version before the current one that can be read: after a rotation, the old value.
    """

    path: SecretPath
    version: Version | None = None
    metadata: bool = False
    stage: Literal["current", "previous"] = "current"


class ListSecrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """List paths that start with `prefix`; `after` continues where the last page ended."""

    prefix: PathPrefix = ""
    after: PathPrefix = ""
    limit: PageSize = 100


class DeleteSecret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Delete the current version, or the one named; it can be undeleted."""

    path: SecretPath
    version: Version | None = None


class SecretStored(msgspec.Struct, frozen=True):
    """A version that now stands."""

    path: str
    version: int
    created_at: str


class SecretValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """A secret's value in one version.

    `stale` and `stale_since` stand there only while Vault cannot be reached: this is what it told at that time.
    """

    path: str
    data: msgspec.Raw
    version: int
    created_at: str
    stale: bool = False
    stale_since: str = ""


class VersionShown(msgspec.Struct, frozen=True):
    """One kept version, without its value."""

    version: int
    created_at: str
    created_by: str
    deleted_at: str | None
    destroyed: bool


class MetadataShown(msgspec.Struct, frozen=True):
    """All that is known of a secret but its values; versions oldest first."""

    path: str
    current_version: int
    oldest_version: int
    created_at: str
    updated_at: str
    max_versions: int
    custom: dict[str, str]
    versions: tuple[VersionShown, ...]


class SettingsShown(msgspec.Struct, frozen=True):
    """What stands after a change of metadata."""

    path: str
    max_versions: int
    custom: dict[str, str]
    updated_at: str


def _stored(written: SecretWritten) -> SecretStored:
    return SecretStored(written.path, written.version, rfc3339(written.created_at))


async def store(warden: Warden, grant: Grant, command: PutSecret, entry: Entry) -> SecretStored:
    """Write a new version of a secret."""
    return _stored(await warden.secrets.put(grant, command, entry))


async def read(warden: Warden, grant: Grant, command: ReadSecret, entry: Entry) -> SecretValue | MetadataShown:
    """Read a secret, or its metadata."""
    if command.metadata:
        if command.version is not None or command.stage != "current":
            raise InvalidInputError("metadata=true tells of all versions; leave version and stage out")
        return _metadata(await warden.secrets.metadata(grant, command.path))
    version = command.version if command.stage == "current" else await _previous(warden, grant, command)
    found = await warden.secrets.get(grant, command.path, version)
    if found.stale_since is None:
        return SecretValue(found.path, found.data, found.version, rfc3339(found.created_at))
    entry.reason, since = found.note, rfc3339(found.stale_since)
    return SecretValue(found.path, found.data, found.version, rfc3339(found.created_at), stale=True, stale_since=since)


async def _previous(warden: Warden, grant: Grant, command: ReadSecret) -> int:
    """Return the newest version before the current one that can be read; raises `SecretNotFoundError`."""
    if command.version is not None:
        raise InvalidInputError("stage and version both choose a version; leave one out")
    known = await warden.secrets.metadata(grant, command.path)
    before = [each for each in known.versions if each.version < known.current_version]
    found = [each.version for each in before if not each.destroyed and each.deleted_at is None]
    if not found:
        raise SecretNotFoundError(command.path, reason="no version before the current one can be read")
    return max(found)


def _metadata(found: SecretMetadata) -> MetadataShown:
    versions = tuple(
        VersionShown(
            each.version,
            rfc3339(each.created_at),
            each.created_by,
            None if each.deleted_at is None else rfc3339(each.deleted_at),
            each.destroyed,
        )
        for each in found.versions
    )
    return MetadataShown(
        found.path,
        found.current_version,
        found.oldest_version,
        rfc3339(found.created_at),
        rfc3339(found.updated_at),
        found.max_versions,
        found.custom,
        versions,
    )


async def listing(warden: Warden, grant: Grant, command: ListSecrets, entry: Entry) -> SecretNames:
    """List names, of those that the caller may see."""
    entry.resource = command.prefix
    return await warden.secrets.list(grant, command.prefix, command.after, command.limit)


async def delete(warden: Warden, grant: Grant, command: DeleteSecret, entry: Entry) -> SecretsPicked:
    """Delete a version until it is undeleted."""
    versions = () if command.version is None else (command.version,)
    return await warden.secrets.delete(grant, PickVersions(command.path, versions), entry)


async def undelete(warden: Warden, grant: Grant, command: PickVersions, entry: Entry) -> SecretsPicked:
    """Bring deleted versions back."""
    return await warden.secrets.undelete(grant, command, entry)


async def destroy(warden: Warden, grant: Grant, command: PickVersions, entry: Entry) -> SecretsPicked:
    """Erase the values of versions for good."""
    return await warden.secrets.destroy(grant, command, entry)


async def rollback(warden: Warden, grant: Grant, command: RollbackSecret, entry: Entry) -> SecretStored:
    """Write an old version's value again, as the newest."""
    return _stored(await warden.secrets.rollback(grant, command, entry))


async def metadata(warden: Warden, grant: Grant, command: SetSecretMetadata, entry: Entry) -> SettingsShown:
    """Change a secret's own metadata, or how many versions are kept."""
    found = await warden.secrets.set_metadata(grant, command, entry)
    return SettingsShown(found.path, found.max_versions, found.custom, rfc3339(found.updated_at))

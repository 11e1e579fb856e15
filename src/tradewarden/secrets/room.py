"""What the secrets room does for its callers, wherever the secrets are kept: our own store, or Vault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.secrets.commands import (
        PickVersions,
        PutSecret,
        RollbackSecret,
        SecretMetadata,
        SecretNames,
        SecretRead,
        SecretSettings,
        SecretsPicked,
        SecretWritten,
        SetSecretMetadata,
    )


class SecretsRoom(Protocol):
    """Versioned secrets. Every method takes the grant first, checks it first, and says why not."""

    async def get(self, grant: Grant, path: str, version: int | None = None) -> SecretRead:
        """Return a version's value (None: the current one's); raises `SecretNotFoundError`."""
        ...

    async def metadata(self, grant: Grant, path: str) -> SecretMetadata:
        """Return all that is known of a secret but its values; raises `SecretNotFoundError`."""
        ...

    async def list(self, grant: Grant, prefix: str = "", after: str = "", limit: int = 100) -> SecretNames:
        """Return one page of the paths that start with `prefix` and the grant may see, in order."""
        ...

    async def put(self, grant: Grant, command: PutSecret, entry: Entry) -> SecretWritten:
        """Write a new version; raises `ConflictError` when `cas` misses."""
        ...

    async def rollback(self, grant: Grant, command: RollbackSecret, entry: Entry) -> SecretWritten:
        """Write an old version's value again as the newest; raises `SecretNotFoundError`."""
        ...

    async def delete(self, grant: Grant, command: PickVersions, entry: Entry) -> SecretsPicked:
        """Hide versions until they are undeleted; none named: the current one."""
        ...

    async def undelete(self, grant: Grant, command: PickVersions, entry: Entry) -> SecretsPicked:
        """Show deleted versions again; a destroyed one is a `SecretNotFoundError`."""
        ...

    async def destroy(self, grant: Grant, command: PickVersions, entry: Entry) -> SecretsPicked:
        """Erase the values of versions for good."""
        ...

    async def set_metadata(self, grant: Grant, command: SetSecretMetadata, entry: Entry) -> SecretSettings:
        """Change custom metadata or how many versions are kept (fewer: the oldest go at once)."""
        ...

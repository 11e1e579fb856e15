"""What a rotation sees of the secrets room: the versions of its own secret, and what its rotator asks for.

Always true here: a rotation reads and writes its own secret by the right to rotate it; any other secret only as far as
whoever wrote its policy could read that one then.
"""

from __future__ import annotations

from copy import copy
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Protocol

import msgspec

from tradewarden.access.grant import authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.errors import PermissionDeniedError, RotationFailedError, SecretNotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tradewarden.access.grant import Grant
    from tradewarden.access.principal import Principal
    from tradewarden.audit.entry import Entry
    from tradewarden.secrets.commands import PutSecret, SecretMetadata, SecretRead, SecretWritten

_canonical = msgspec.json.Encoder(order="sorted").encode


class SecretsRoom(Protocol):
    """Versioned secrets (`tradewarden.secrets.secrets.Secrets`)."""

    async def get(self, grant: Grant, path: str, version: int | None = None) -> SecretRead:
        """Return a version's value (None: the current one's); raises `SecretNotFoundError`."""
        ...

    async def metadata(self, grant: Grant, path: str) -> SecretMetadata:
        """Return all that is known of a secret but its values; raises `SecretNotFoundError`."""
        ...

    async def put(self, grant: Grant, command: PutSecret, entry: Entry) -> SecretWritten:
        """Write a new version; raises `ConflictError` when `cas` misses."""
        ...


class Versions(msgspec.Struct, frozen=True):
    """The versions of a secret: the current one (0: none yet), when it was written, and those that can be read.

    `gone` tells that the current one was deleted or destroyed. `kept` is how many are kept (0: not known).
    """

    current: int = 0
    created_at: float | None = None
    gone: bool = False
    kept: int = 0
    readable: tuple[int, ...] = ()


class Reader:
    """Reads and writes for one rotation, as `principal`; `reads` are the permissions of the policy's author."""

    def __init__(
        self, secrets: SecretsRoom, principal: Principal, path: str, reads: tuple[str, ...], entry: Entry
    ) -> None:
        self._secrets = secrets
        self.principal = principal
        self._path = path
        self._own = PermissionSet((f"secrets:read:{path}", f"secrets:write:{path}"))
        self._reads = PermissionSet(reads)
        self._entry = entry

    def grant(self, action: str) -> Grant:
        """Return the grant of an action on the rotation's own secret."""
        return authorize(self.principal, self._own, action, self._path)

    async def versions(self) -> Versions:
        """Return the versions of the rotation's own secret."""
        return await versions_of(self._secrets, self.grant("secrets:read"), self._path)

    async def value(self, version: int) -> dict[str, object] | None:
        """Return the value of one version of it; None when it cannot be read any more."""
        try:
            found = await self._secrets.get(self.grant("secrets:read"), self._path, version)
        except SecretNotFoundError:
            return None
        return _fresh(found).value()

    async def write(self, command: PutSecret, reason: str) -> int:
        """Write a version of it, with an entry of its own; return its number. Raises `ConflictError`."""
        entry = step_entry(self._entry)
        entry.action, entry.reason = "write", reason
        async with entry:
            return (await self._secrets.put(self.grant("secrets:write"), command, entry)).version

    async def other(self, name: str) -> Mapping[str, object]:
        """Return the value of another secret, for the rotator, with an entry of its own."""
        entry = step_entry(self._entry)
        entry.action, entry.resource, entry.reason = "read", name, f"for the rotation of {self._path}"
        try:
            async with entry:
                permissions = self._own if name == self._path else self._reads
                grant = authorize(self.principal, permissions, "secrets:read", name)
                return _fresh(await self._secrets.get(grant, name)).value()
        except PermissionDeniedError as error:
            raise RotationFailedError(
                f"The rotation of secret '{self._path}' needs secret '{name}', which whoever wrote its policy may not "
                "read; let somebody who may write the policy again",
                reason=error.reason,
            ) from error
        except SecretNotFoundError as error:
            raise RotationFailedError(
                f"The rotation of secret '{self._path}' needs secret '{name}', which is not there; write it first"
            ) from error


def _fresh(found: SecretRead) -> SecretRead:
    """Return what was read; raises `UnavailableError` for what is only the last known value of an outage."""
    if found.stale_since is not None:
        raise UnavailableError("The secrets cannot be reached just now; a rotation waits until they can")
    return found


def step_entry(entry: Entry) -> Entry:
    """Return an entry of the same call, for one step of it."""
    copied = copy(entry)
    copied.committed = False
    return copied


async def versions_of(secrets: SecretsRoom, grant: Grant, path: str) -> Versions:
    """Return the versions of a secret; of one that is not there, none."""
    try:
        found = await secrets.metadata(grant, path)
    except SecretNotFoundError:
        return Versions()
    rows = {each.version: each for each in found.versions}
    current = rows.get(found.current_version)
    readable = tuple(sorted(number for number, row in rows.items() if not row.destroyed and row.deleted_at is None))
    return Versions(
        found.current_version,
        found.updated_at if current is None else current.created_at,
        found.current_version not in readable,
        found.max_versions,
        readable,
    )


def same(one: Mapping[str, object] | None, other: Mapping[str, object] | None) -> bool:
    """Tell whether two values are the same, without telling by its time how far they are."""
    if one is None or other is None:
        return False
    return compare_digest(sha256(_canonical(one)).digest(), sha256(_canonical(other)).digest())

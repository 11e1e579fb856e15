"""The secrets room: versioned values under paths, a change with its audit entry or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.errors import InvalidInputError, SecretNotFoundError
from tradewarden.secrets import rules
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
    VersionMetadata,
)
from tradewarden.secrets.listing import MAX_PAGE, visible_parts
from tradewarden.secrets.path import path_prefix, secret_path
from tradewarden.secrets.protection import Protection
from tradewarden.secrets.recent import Readable, Recent
from tradewarden.secrets.value import MAX_BYTES, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.keys.port import Keys
    from tradewarden.secrets.store import SecretChange, SecretState, SecretStore

INCARNATION_BYTES = 16
_decode_custom = msgspec.json.Decoder(dict[str, str]).decode


class SecretLimits(msgspec.Struct, frozen=True):
    """The largest value in bytes of JSON, and how many versions a new path keeps."""

    value_bytes: int = MAX_BYTES
    max_versions: int = 10


class Secrets:
    """Versioned secrets. Every method takes the grant first, checks it first, and says why not."""

    def __init__(
        self,
        store: SecretStore,
        keys: Keys,
        clock: Clock,
        randomness: Randomness,
        limits: SecretLimits = SecretLimits(),  # noqa: B008  (frozen)
    ) -> None:
        self._store = store
        self._protection = Protection(keys)
        self._clock = clock
        self._randomness = randomness
        self._limits = limits
        self._recent = Recent()

    async def get(self, grant: Grant, path: str, version: int | None = None) -> SecretRead:
        """Return a version's value (None: the current one's); raises `SecretNotFoundError`."""
        grant.require("secrets:read", path)
        mark = await self._store.mark()
        found = self._recent.find(mark, path, version)
        if found is None:
            found = await self._readable(secret_path(path), version)
            self._recent.keep(mark, path, version, found)
        row = found.row
        value = self._protection.decrypt(row, found.envelope)
        return SecretRead(path, msgspec.Raw(value), row.version, row.created_at)

    async def _readable(self, path: str, version: int | None) -> Readable:
        if version is not None:
            rules.check_version(version)
        found = await self._store.read(path, version)
        if found is None:
            raise SecretNotFoundError(path, reason="no such path")
        protection = self._protection
        head = protection.head(found[0], path)
        wanted = head.current if version is None else version
        row = found[1]
        if row is not None:
            protection.version(head, row, wanted)
        return Readable(rules.readable(head, row, wanted), found[2])

    async def metadata(self, grant: Grant, path: str) -> SecretMetadata:
        """Return all that is known of a secret but its values; raises `SecretNotFoundError`."""
        grant.require("secrets:read", path)
        state = self._protection.state(await self._store.history(secret_path(path)), path)
        if state is None:
            raise SecretNotFoundError(path, reason="no such path")
        head = state.head
        rows = [row for row in state.versions.values() if row.version >= head.oldest]
        return SecretMetadata(
            path,
            head.current,
            head.oldest,
            head.created_at,
            head.updated_at,
            head.max_versions,
            _decode_custom(head.custom),
            tuple(
                VersionMetadata(
                    row.version,
                    row.created_at,
                    row.created_by,
                    row.deleted_at or None,
                    bool(row.destroyed),
                )
                for row in rows
            ),
        )

    async def list(self, grant: Grant, prefix: str = "", after: str = "", limit: int = 100) -> SecretNames:
        """Return one page of the paths that start with `prefix` and the grant may see, in order."""
        grant.require("secrets:list", grant.resource)
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"limit must be 1 to {MAX_PAGE}")
        path_prefix(prefix)
        path_prefix(after)
        keys: list[str] = []
        for part in visible_parts(grant, prefix):
            wanted = 1 if part.whole else limit + 1 - len(keys)
            for head in await self._store.heads(part.text, after, wanted):
                path = self._protection.head(head, head.path).path
                if grant.sees(path):
                    keys.append(path)
            if len(keys) > limit:
                return SecretNames(tuple(keys[:limit]), keys[limit - 1])
        return SecretNames(tuple(keys), None)

    async def put(self, grant: Grant, command: PutSecret, entry: Entry) -> SecretWritten:
        """Write a new version; raises `ConflictError` when `cas` misses."""
        grant.require("secrets:write", command.path)
        path = secret_path(command.path)
        data = parse_object(bytes(command.data), self._limits.value_bytes)
        custom = None if command.custom is None else rules.encode_custom(command.custom)
        return await self._write(grant, path, data, command.cas, custom, entry)

    async def rollback(self, grant: Grant, command: RollbackSecret, entry: Entry) -> SecretWritten:
        """Write an old version's value again as the newest; raises `SecretNotFoundError`."""
        grant.require("secrets:write", command.path)
        path, version = secret_path(command.path), rules.check_version(command.version)
        found = await self._store.read(path, version)
        if found is None:
            raise SecretNotFoundError(path, reason="no such path")
        head, row, envelope = found
        self._protection.head(head, path)
        if row is not None:
            self._protection.version(head, row, version)
        data = self._protection.decrypt(rules.readable(head, row, version), envelope)
        return await self._write(grant, path, data, command.cas, None, entry, source=version)

    async def _write(
        self,
        grant: Grant,
        path: str,
        data: bytes,
        cas: int | None,
        custom: bytes | None,
        entry: Entry,
        source: int | None = None,
    ) -> SecretWritten:
        protection, draft = self._protection, entry.draft
        name, now = str(grant.principal), self._clock.now()
        await protection.reserve()

        def decide(state: SecretState | None) -> SecretChange[SecretWritten]:
            protection.state(state, path)
            if source is not None and state is not None:  # it may have gone since it was read
                rules.readable(state.head, state.versions.get(source), source)
            incarnation = self._randomness(INCARNATION_BYTES) if state is None else b""
            author = rules.Author(name, now, incarnation, self._limits.max_versions)
            step = rules.put(state, path, author, cas, custom)
            row = step.rows[0]
            answer = SecretWritten(path, row.version, row.created_at)
            return protection.change(step, answer, draft, {row.version: protection.encrypt(row, data)})

        written = await self._store.change(path, () if source is None else (source,), decide)
        entry.commit()
        return written

    async def delete(self, grant: Grant, command: PickVersions, entry: Entry) -> SecretsPicked:
        """Hide versions until they are undeleted; none named: the current one."""
        grant.require("secrets:delete", command.path)
        if command.versions:
            return await self._pick(command, rules.delete, entry)
        return await self._pick(await self._current(command.path), rules.delete, entry)

    async def _current(self, path: str) -> PickVersions:
        found = await self._store.read(secret_path(path), None)
        if found is None:
            raise SecretNotFoundError(path, reason="no such path")
        return PickVersions(path, (self._protection.head(found[0], path).current,))

    async def undelete(self, grant: Grant, command: PickVersions, entry: Entry) -> SecretsPicked:
        """Show deleted versions again; a destroyed one is a `SecretNotFoundError`."""
        grant.require("secrets:write", command.path)
        return await self._pick(command, rules.undelete, entry)

    async def destroy(self, grant: Grant, command: PickVersions, entry: Entry) -> SecretsPicked:
        """Erase the values of versions for good."""
        grant.require("secrets:write", command.path)
        return await self._pick(command, rules.destroy, entry, erase=True)

    async def _pick(
        self,
        command: PickVersions,
        rule: Callable[[SecretState | None, str, Sequence[int], float], rules.Step],
        entry: Entry,
        *,
        erase: bool = False,
    ) -> SecretsPicked:
        path, versions = secret_path(command.path), rules.check_picked(command.versions)
        protection, draft, now = self._protection, entry.draft, self._clock.now()
        answer = SecretsPicked(path, versions)
        values = dict.fromkeys(versions, b"") if erase else {}

        def decide(state: SecretState | None) -> SecretChange[SecretsPicked]:
            step = rule(protection.state(state, path), path, versions, now)
            return protection.change(step, answer, draft, values)

        picked = await self._store.change(path, versions, decide)
        entry.commit()
        return picked

    async def set_metadata(self, grant: Grant, command: SetSecretMetadata, entry: Entry) -> SecretSettings:
        """Change custom metadata or how many versions are kept (fewer: the oldest go at once)."""
        grant.require("secrets:write", command.path)
        path = secret_path(command.path)
        if command.max_versions is not None:
            rules.check_kept(command.max_versions)
        protection, draft, now = self._protection, entry.draft, self._clock.now()

        def decide(state: SecretState | None) -> SecretChange[SecretSettings]:
            step = rules.settings(protection.state(state, path), command, now)
            head = step.head
            answer = SecretSettings(path, head.max_versions, _decode_custom(head.custom), now)
            return protection.change(step, answer, draft)

        changed = await self._store.change(path, (), decide)
        entry.commit()
        return changed

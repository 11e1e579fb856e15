"""The admin token: how the first person gets in (decision 5).

It lies in `admin.token` in the data directory, 0600, and only its keyed hash is kept. It is void
after 24 hours, or once a first admin is enrolled; `tradewarden admin token` on the host makes
another. Whoever can read the file runs as the service's own user.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tradewarden.access.permission import ALL, PermissionSet
from tradewarden.access.principal import Kind, Principal
from tradewarden.crypto.keyfile import write_private
from tradewarden.errors import AuthenticationError, NotFoundError
from tradewarden.identity.credential import (
    ADMIN_TOKEN_PREFIX,
    credential_hash,
    matches,
    new_credential,
)
from tradewarden.identity.store import AdminTokenChange, AdminTokenRow, ServiceStore, row_digest
from tradewarden.keys.purpose import Purpose

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.identity.services import Revisions
    from tradewarden.keys.port import Keys

ADMIN = Principal(Kind.USER, "admin")
LIFETIME_SECONDS = 24 * 3600
FILE_NAME = "admin.token"
_LOCK_POLL_SECONDS = 0.01


class AdminToken:
    """The admin token of one data directory."""

    def __init__(
        self,
        store: ServiceStore,
        keys: Keys,
        directory: Path,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self.path = directory / FILE_NAME
        self._store = store
        self._sealer = keys.sealer(Purpose.IDENTITY)
        self._mac = keys.mac(Purpose.IDENTITY, "admin-token")
        self._clock = clock
        self._randomness = randomness
        self._cached: AdminTokenRow | None = None
        self._cached_at = -1

    async def ensure(self, entry: Entry) -> bool:
        """Make the first token at the first start, and tell whether one was made.

        Of several processes that start together one makes it. A crash between row and file is made
        good at the next start, as long as the token that nobody has seen would still be good.
        """

        def wanted(row: AdminTokenRow | None) -> bool:
            return row is None or (self._is_good(row) and not self.path.exists())

        return await self._make(entry, wanted)

    async def issue(self, entry: Entry) -> Path:
        """Make another token, which voids the one before, and return the file it lies in."""
        await self._make(entry, lambda _: True)
        return self.path

    async def authenticate(self, token: str, revisions: Revisions) -> tuple[Principal, PermissionSet]:
        """Return the admin and all permissions; raises `AuthenticationError`, one for every cause.

        `revisions` were read for this call: a token that another process made, or voided, counts at once.
        """
        row = self._cached if revisions.services == self._cached_at else await self._checked(revisions.services)
        if not matches(self._mac, token, row.secret if row is not None else None):
            raise AuthenticationError("Authentication failed", reason="admin token is wrong")
        if row is None or not self._is_good(row):
            raise AuthenticationError(
                "Authentication failed",
                reason="admin token is void: a day old, or an admin is enrolled",
            )
        return ADMIN, ALL

    async def enrolled(self, entry: Entry) -> None:
        """Void the token for good, because a first admin is enrolled; raises `NotFoundError` without one."""
        now = int(self._clock.now())

        def decide(row: AdminTokenRow | None) -> AdminTokenChange[None]:
            if row is None:
                raise NotFoundError("There is no admin token to void")
            sealed = self._sealer.seal(replace(self._sealer.check(row), enrolled_at=now))
            return AdminTokenChange(None, entry.draft(row_digest(sealed)), sealed)

        await self._store.change_admin_token(decide)
        entry.commit()

    async def _checked(self, revision: int) -> AdminTokenRow | None:
        """Read the row and keep it until the revision of the services moves, as it does with every change of it."""
        row = await self._store.read_admin_token()
        if row is not None:
            self._sealer.check(row)
        self._cached, self._cached_at = row, revision
        return row

    def _is_good(self, row: AdminTokenRow) -> bool:
        return not row.enrolled_at and self._clock.now() < row.expires_at

    async def _make(self, entry: Entry, wanted: Callable[[AdminTokenRow | None], bool]) -> bool:
        token = new_credential(ADMIN_TOKEN_PREFIX, self._randomness)
        now = int(self._clock.now())
        row = self._sealer.seal(
            AdminTokenRow("admin", credential_hash(self._mac, token), now, now + LIFETIME_SECONDS, 0)
        )

        def decide(before: AdminTokenRow | None) -> AdminTokenChange[bool]:
            if before is not None:
                self._sealer.check(before)
            if not wanted(before):
                return AdminTokenChange(answer=False)
            return AdminTokenChange(answer=True, entry=entry.draft(row_digest(row)), row=row)

        # Row and file change together only while nobody else changes either.
        async with _alone(self.path):
            made = await self._store.change_admin_token(decide)
            if made:
                entry.commit()
                await asyncio.to_thread(write_private, self.path, f"{token}\n".encode())
        return made


@asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[None]:
    """Hold the lock file beside `path`; the kernel frees it when the process dies."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path.with_suffix(".lock"), flags, 0o600)
    try:
        while not _locked(descriptor):  # noqa: ASYNC110  (another process holds it; no event tells of that)
            await asyncio.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

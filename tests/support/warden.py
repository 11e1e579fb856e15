"""An installation that is open in a test's own process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tradewarden import Warden, load_settings
from tradewarden.access.grant import authorize
from tradewarden.access.permission import ALL
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.entry import EventType
from tradewarden.pki.credentials import IssueCredentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tradewarden.clock import Clock
    from tradewarden.pki.credentials import Credentials

ADMIN = Principal(Kind.USER, "admin")


@asynccontextmanager
async def opened(directory: Path, clock: Clock | None = None, **settings: str) -> AsyncIterator[Warden]:
    """Open an installation without background work."""
    chosen = load_settings({"TRADEWARDEN_DATA_DIR": str(directory / "data"), **settings})
    warden = await Warden.start(chosen, clock=clock)
    try:
        yield warden
    finally:
        await warden.close()


async def issue(warden: Warden, service: str) -> Credentials:
    """Issue a certificate to a service."""
    async with warden.entry(EventType.CERTIFICATE, "issue") as entry:
        grant = authorize(ADMIN, ALL, "credentials:issue", service)
        return await warden.authority.issue(grant, IssueCredentials(service), entry)

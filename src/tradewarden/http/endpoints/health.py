"""`/health`: alive, ready, and what is on. These answer without a journal, so that they can tell of a broken one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from tradewarden.clock import rfc3339
from tradewarden.http.route import Content, Nothing
from tradewarden.pki.store import Tally

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry


class Components(msgspec.Struct, frozen=True):
    """Which parts are on and working."""

    mtls: bool
    jwt: bool
    vault: bool
    storage: bool
    audit: bool


class Health(msgspec.Struct, frozen=True):
    """TradPal's health answer."""

    service: str
    status: Literal["healthy", "degraded", "stopped"]
    timestamp: str
    version: str
    components: Components
    active_credentials: int
    active_tokens: int


class Live(msgspec.Struct, frozen=True):
    """The process runs and answers."""

    status: str = "live"


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether requests can be answered now, and if not, why not; `warnings` are what an operator should see to."""

    status: Literal["ready", "not_ready"]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()


async def health(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Health:
    """Say what is on and how much is active."""
    del grant, command, entry
    return await health_of(warden)


async def health_of(warden: Warden) -> Health:
    """Return the health of an open warden."""
    state = await warden.readiness()
    settings = warden.settings
    components = Components(
        settings.enable_mtls and not warden.mtls_fault,
        settings.enable_jwt,
        settings.enable_vault and not settings.vault_missing and state.vault,
        state.storage,
        state.audit,
    )
    credentials, tokens = await warden.active() if state.storage else (Tally(), 0)
    return Health(
        "security_service",
        "degraded" if state.reasons else "healthy",
        rfc3339(warden.clock.now()),
        warden.version,
        components,
        credentials.active,
        tokens,
    )


async def live(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Live:
    """Say that the process runs."""
    del warden, grant, command, entry
    return Live()


async def ready(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Content:
    """Say whether requests can be answered: 200, or 503 with the reasons."""
    del grant, command, entry
    state = await warden.readiness()
    reasons = state.reasons
    body = msgspec.json.encode(Ready("not_ready" if reasons else "ready", reasons, state.warnings))
    return Content(body, "application/json", 503 if reasons else 200)

"""An open installation as those inside the process see it; `tradewarden.app.Warden` is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.acme.acme import Acme
    from tradewarden.audit.clerk import Clerk
    from tradewarden.audit.entry import Entry, EventType
    from tradewarden.audit.log import AuditLog
    from tradewarden.clock import Clock
    from tradewarden.identity.enrolment import Enrolment
    from tradewarden.identity.services import Services
    from tradewarden.pki.authority import Authority
    from tradewarden.secrets.room import SecretsRoom
    from tradewarden.secrets.rotation.rotations import Rotations
    from tradewarden.settings import Settings
    from tradewarden.storage.database import Revisions
    from tradewarden.timefloor.floor import TimeFloor
    from tradewarden.tokens.tokens import Tokens


class Rooms(Protocol):
    """Every room, settings, clock with its floor and clerk, and the entry that an action of this process leaves."""

    settings: Settings
    clock: Clock
    floor: TimeFloor
    clerk: Clerk
    secrets: SecretsRoom
    rotations: Rotations
    services: Services
    enrolment: Enrolment
    tokens: Tokens
    authority: Authority
    acme: Acme
    audit_log: AuditLog

    def entry(self, event: EventType, action: str, resource: str = "") -> Entry:
        """Return the audit entry of something that this process does by itself."""
        ...

    def rotating(self, path: str) -> tuple[Grant, Entry]:
        """Return the grant and the entry under which this process rotates a secret by itself."""
        ...

    def require(self, feature: str) -> None:
        """Raise `FeatureDisabledError` when a setting turns this part off."""
        ...

    async def revisions(self) -> Revisions:
        """Return the revisions as of now; a key rotation of another process is followed first."""
        ...

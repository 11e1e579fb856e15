"""Takes a service off the register, and ends what it had.

Always true here: its tokens end before the registration goes, all of them, also those from before it was registered. So
a failure in between leaves more ended, and the same call again does the rest.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Final

from tradewarden.access.grant import Grant, authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.audit.entry import Entry, EventType
from tradewarden.tokens.commands import RevokeToken

if TYPE_CHECKING:
    from tradewarden.rooms import Rooms

_REVOKE: Final = "tokens:revoke"


async def unregister(rooms: Rooms, grant: Grant, name: str, entry: Entry) -> None:
    """Delete a registration and end every token of the service; raises as `Services.delete` does, before anything.

    Who may delete a service may end its tokens with it.
    """
    await rooms.services.require_deletable(grant, name, entry)
    revoking = authorize(grant.principal, PermissionSet((f"{_REVOKE}:{name}",)), _REVOKE, name, grant.credential)
    ending = copy(entry)
    ending.event_type, ending.action = EventType.TOKEN.value, "revoke"
    ending.reason = f"service {name} is deleted"
    async with ending:
        await rooms.tokens.revoke(revoking, RevokeToken(service_name=name), ending)
    await rooms.services.delete(grant, name, entry)

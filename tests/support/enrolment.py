"""A room for join tokens over memory, with a register of services beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.identity import IdentityRoom, identity_room
from tests.support.tokens import admin
from tradewarden.clock import system_randomness
from tradewarden.identity.commands import JoinTokenMade, MakeJoinToken, RegisterService
from tradewarden.identity.enrolment import Enrolment, Joining
from tradewarden.storage.memory_enrolment import MemoryJoinStore

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.identity.joins import JoinStore

PIN = "ab" * 32
"""The fingerprint of the root CA."""
ISSUE = "credentials:issue"


@dataclass
class EnrolmentRoom:
    """The room and everything around it; `issued` are those that were let in."""

    enrolment: Enrolment
    store: JoinStore
    identity: IdentityRoom
    issued: list[Joining]

    def entry(self) -> Entry:
        """Return a fresh audit entry."""
        return self.identity.entry("enroll")

    async def invite(self, name: str = "bot", grant: Grant | None = None, **asked: object) -> JoinTokenMade:
        """Make a join token."""
        command = MakeJoinToken(name, **asked)  # type: ignore[arg-type]
        return await self.enrolment.invite(grant or admin(ISSUE, name), command, self.entry())

    async def certify(self, joining: Joining) -> str:
        """Use the token up and pretend to sign."""
        await joining.spend()
        self.issued.append(joining)
        return f"certificate of {joining.service_name}"

    async def enroll(self, token: str, entry: Entry | None = None) -> str:
        """Come in with a join token."""
        return await self.enrolment.enroll(token, entry or self.entry(), self.certify)

    async def register(self, name: str = "bot") -> None:
        """Register a service."""
        await self.identity.services.register(
            admin("services:manage", name), RegisterService(name, ("read",)), self.entry()
        )


async def enrolment_room(store: JoinStore | None = None) -> EnrolmentRoom:
    """Return a room over memory, or over the given store."""
    identity = await identity_room()
    store = store or MemoryJoinStore(identity.database)
    room = Enrolment(store, identity.keys, identity.services, identity.clock, system_randomness, lambda: PIN)
    return EnrolmentRoom(room, store, identity, [])

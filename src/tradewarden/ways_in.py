"""Every way in that a service has, and its end.

Always true here: what gives new credentials ends before the credentials that it gave. A new incarnation of the
registration comes first. In one change it voids the client secret and all that goes back to the registration: join
tokens, external account keys, ACME accounts, tokens, renewals. What was under way meanwhile is found by what follows:
certificates are revoked until a listing finds none, tokens end again after them, and both once more when the log has
settled. So a run that was cut off anywhere is simply made again.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tradewarden.access.grant import ANY, Grant, authorize
from tradewarden.audit.entry import Entry, EventType
from tradewarden.errors import FeatureDisabledError, NotFoundError, TradewardenError, UnavailableError
from tradewarden.identity.commands import WithdrawJoinTokens
from tradewarden.pki import inventory
from tradewarden.pki.credentials import Reason, RevokeCertificate, State
from tradewarden.tokens.commands import RevokeToken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tradewarden.rooms import Rooms

LISTINGS: Final = 20
"""So often certificates are listed and revoked before a person is told that somebody goes on making them."""
_PAGE: Final = 1000
_HOUR: Final = 3600


class ByHand(msgspec.Struct, frozen=True):
    """What is still to be done by a person, and why."""

    what: str
    why: str


class Call:
    """One call: who makes it, and entries of their own for all that it does."""

    def __init__(self, rooms: Rooms, grant: Grant, entry: Entry) -> None:
        self._rooms = rooms
        self._grant = grant
        self._entry = entry

    def grant(self, action: str, resource: str) -> Grant:
        """Return the grant of another action, if the caller may; raises `PermissionDeniedError`."""
        grant = self._grant
        return authorize(grant.principal, grant.permissions, action, resource, grant.credential)

    def entry(self, event: EventType, action: str, resource: str) -> Entry:
        """Return an entry for one thing that is done, to be used as `async with`."""
        entry = copy(self._entry)
        entry.event_type, entry.action, entry.resource, entry.committed = event.value, action, resource, False
        entry.reason = f"service {self._entry.resource} is compromised"
        return entry

    def off(self, feature: str) -> bool:
        """Tell whether a part of the service is turned off."""
        try:
            self._rooms.require(feature)
        except FeatureDisabledError:
            return True
        return False


class _Way(NamedTuple):
    """One way in: the setting that turns it off, what it is called, and what ends it and says so."""

    feature: str
    what: str
    end: Callable[[Rooms, Call, str], Awaitable[str]]


class _Outcome:
    """What has ended, and what could not be ended the last time that it was tried."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.left: dict[str, str] = {}

    async def end(self, way: _Way, rooms: Rooms, call: Call, name: str) -> None:
        """End one way in; what fails is left for a person."""
        if way.feature and call.off(way.feature):
            return
        try:
            done = await way.end(rooms, call, name)
        except TradewardenError as error:
            self.left[way.what] = error.detail
        else:
            self.left.pop(way.what, None)
            self.ended += [done] if done and done not in self.ended else []


async def cut_off(rooms: Rooms, call: Call, name: str) -> tuple[Sequence[str], Sequence[ByHand]]:
    """End every way in that a service has, and say which; what fails is left for a person, and the others still end."""
    outcome = _Outcome()
    for way in (*_GIVING, *_GIVEN):
        await outcome.end(way, rooms, call, name)
    await rooms.clerk.settle()
    for way in _GIVEN:  # once more: what was under way as its proof ended may have been made since, for nobody to have
        await outcome.end(way, rooms, call, name)
    return outcome.ended, [ByHand(what, why) for what, why in outcome.left.items()]


async def certified(rooms: Rooms, call: Call, name: str) -> bool:
    """Tell whether a certificate was ever issued to a service; False while certificates are turned off."""
    if call.off("ENABLE_MTLS"):
        return False
    page = await rooms.authority.list(call.grant("credentials:read", name), service=name, limit=1)
    return bool(page.items)


async def _end_client_secret(rooms: Rooms, call: Call, name: str) -> str:
    try:
        async with call.entry(EventType.CONFIGURATION_CHANGE, "manage", name) as entry:
            await rooms.services.end_access(call.grant("services:manage", name), name, entry)
    except NotFoundError:
        return ""
    return "its client secret"


async def _end_join_tokens(rooms: Rooms, call: Call, name: str) -> str:
    async with call.entry(EventType.CERTIFICATE, "withdraw", name) as entry:
        issue = call.grant("credentials:issue", name)
        done = await rooms.enrolment.withdraw(issue, WithdrawJoinTokens(name), entry)
    return _counted(done.withdrawn, "join token")


async def _end_accounts(rooms: Rooms, call: Call, name: str) -> str:
    read, manage = call.grant("acme:read", ANY), call.grant("acme:manage", ANY)
    accounts: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await rooms.acme.accounts.list(read, after, _PAGE)
        accounts += [each.id for each in page.accounts if each.service_name == name and each.status == "valid"]
        after = page.next or None
    for account in accounts:
        async with call.entry(EventType.CERTIFICATE, "manage", name) as entry:
            await rooms.acme.accounts.end(manage, account, entry)
    return _counted(len(accounts), "ACME account")


async def _end_tokens(rooms: Rooms, call: Call, name: str) -> str:
    async with call.entry(EventType.TOKEN, "revoke", name) as entry:
        await rooms.tokens.revoke(call.grant("tokens:revoke", name), RevokeToken(service_name=name), entry)
    return "all of its tokens"


async def _end_certificates(rooms: Rooms, call: Call, name: str) -> str:
    """Revoke until a listing finds none: a certificate can be renewed while the others are revoked."""
    revoke, ended = call.grant("credentials:revoke", name), 0
    for _ in range(LISTINGS):
        serials = await _standing(rooms, call, name)
        if not serials:
            return _counted(ended, "certificate")
        for serial in serials:
            async with call.entry(EventType.CERTIFICATE, "revoke", name) as entry:
                await rooms.authority.revoke(revoke, RevokeCertificate(serial, Reason.KEY_COMPROMISE), entry)
        ended += len(serials)
    raise UnavailableError(
        f"{_counted(ended, 'certificate')} ended, and there are new ones again and again: see in the audit log who "
        "issues or renews them, end that, then run this again"
    )


async def _standing(rooms: Rooms, call: Call, name: str) -> Sequence[str]:
    """Return the certificates that count, or that a proof of their key could still renew."""
    read, grace = call.grant("credentials:read", name), rooms.settings.renewal_grace_hours * _HOUR
    serials: list[str] = []
    after: str | None = inventory.cursor_at(rooms.clock.now() - grace)
    while after is not None:
        page = await rooms.authority.list(read, service=name, after=after, limit=_PAGE)
        serials += [item.serial_number for item in page.items if item.state is not State.REVOKED]
        after = page.next or None
    return serials


def _counted(number: int, what: str) -> str:
    """Say how many there were; empty for none."""
    return f"{number} {what}{'s' * (number != 1)}" if number else ""


_GIVING: Final = (
    _Way("", "its client secret", _end_client_secret),
    _Way("ENABLE_MTLS", "its join tokens", _end_join_tokens),
    _Way("ENABLE_MTLS", "its ACME accounts", _end_accounts),
)
"""What gives new credentials."""
_GIVEN: Final = (
    _Way("ENABLE_JWT", "its tokens", _end_tokens),
    _Way("ENABLE_MTLS", "its certificates", _end_certificates),
    _Way("ENABLE_JWT", "its tokens", _end_tokens),  # a certificate may have asked for one meanwhile
)
"""What was given, from that which is asked most."""

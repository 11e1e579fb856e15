"""The day a service is compromised: its access is ended, and everything that it has seen is rotated.

Always true here: access is ended before anything is rotated, so that the service cannot read the new values; what it
has seen comes from the whole audit log, also what has no number yet; what is not done is in the answer, in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.access.grant import ANY
from tradewarden.access.principal import OWN_NAME, Kind, Principal, ServiceName, service_name
from tradewarden.audit.entry import EventType, Result
from tradewarden.audit.log import ACTION as READ_LOG
from tradewarden.audit.log import RESOURCE as LOG
from tradewarden.audit.query import MAX_LIMIT, Filter, Query
from tradewarden.audit.store import Columns, read_columns
from tradewarden.errors import InvalidInputError, NotFoundError, TradewardenError
from tradewarden.secrets.path import secret_path
from tradewarden.secrets.rotation.commands import RunRotation
from tradewarden.secrets.rotation.rotations import ROTATE
from tradewarden.ways_in import ByHand, Call, certified, cut_off

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.rooms import Rooms
    from tradewarden.secrets.rotation.commands import Rotated

WRITE: Final = "write"
"""The action of all that sets a value or brings one back: writing, rolling back, undeleting."""
INTENT: Final = "write.intent"
"""What stands in the log when the process died before it knew, or Vault did not say, whether a value was written."""
BUDGET_SECONDS: Final = 5.0
"""How long one call goes on to rotate; the next call goes on behind it."""
_RIGHTS: Final = (
    ("ENABLE_JWT", "tokens:revoke"),
    ("ENABLE_MTLS", "credentials:read"),
    ("ENABLE_MTLS", "credentials:revoke"),
    ("ENABLE_MTLS", "credentials:issue"),
    ("ENABLE_MTLS", "acme:read"),
    ("ENABLE_MTLS", "acme:manage"),
    ("", "services:manage"),
)
_PER_ITEM: Final = frozenset({"acme:read", "acme:manage"})


class CompromisedService(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """End a service's access and rotate what it has seen; `after` goes on behind an earlier answer's `next`."""

    service_name: ServiceName
    after: str = ""


class RotatedNow(msgspec.Struct, frozen=True):
    """A secret that has a new version."""

    path: str
    version: int


class Contained(msgspec.Struct, frozen=True):
    """What was done and what is left; `seen` counts all secrets that the service has read or written.

    `next` is what to ask `after` to go on; None: every secret that it has seen was gone through.
    """

    service_name: str
    seen: int
    ended: tuple[str, ...]
    rotated: tuple[RotatedNow, ...]
    by_hand: tuple[ByHand, ...]
    next: str | None


async def contain(rooms: Rooms, grant: Grant, command: CompromisedService, entry: Entry) -> Contained:
    """End the access of a service, then rotate what it has seen for a while; call again with `after` until it is done.

    The caller needs the rights to read the log, to end tokens, certificates and ACME accounts, to manage the service
    and to rotate secrets; nothing is done when one is missing. Raises `PermissionDeniedError`, `UnavailableError`,
    `NotFoundError` for a service that is not registered and has left no trace.
    """
    name = service_name(command.service_name)
    if name == OWN_NAME:
        raise InvalidInputError(f"'{name}' is this service itself, which has read what it rotates; name another")
    entry.resource = name
    grant.require(ROTATE, ANY)
    call = Call(rooms, grant, entry)
    for feature, action in _RIGHTS:
        if not feature or not call.off(feature):
            call.grant(action, ANY if action in _PER_ITEM else name)
    reading = call.grant(READ_LOG, LOG)
    if not await certified(rooms, call, name):
        await _require_known(rooms, reading, name)
    ended: Sequence[str] = ()
    left: Sequence[ByHand] = ()
    if not command.after:
        ended, left = await cut_off(rooms, call, name)
    await rooms.clerk.settle()
    paths = await _seen(rooms, reading, name)
    rotated, by_hand, following = await _rotate(rooms, call, [path for path in paths if path > command.after])
    policies = () if following else await _policies(rooms, call, name)
    return Contained(name, len(paths), tuple(ended), tuple(rotated), (*left, *by_hand, *policies), following)


async def _require_known(rooms: Rooms, grant: Grant, name: str) -> None:
    """Raise `NotFoundError` for a service that is not registered and that the log does not know: a typing error."""
    if await rooms.services.registered(name) is not None:
        return
    await rooms.clerk.settle()
    async for _ in _entries(rooms, grant, Filter(user=str(Principal(Kind.SERVICE, name)))):
        return
    async for each in _entries(rooms, grant, Filter(resource=name, result=Result.SUCCESS.value)):
        if each.event_type != EventType.SECRET_ACCESS:
            return
    raise NotFoundError(f"There is no service '{name}', and the audit log knows none; nothing was done")


async def _policies(rooms: Rooms, call: Call, name: str) -> Sequence[ByHand]:
    """Return the policies that the service wrote: they say what is made, and where it is tried."""
    written = await rooms.rotations.written_by(call.grant(ROTATE, ANY), str(Principal(Kind.SERVICE, name)))
    return [
        ByHand(path, "the author of its policy is compromised; look at the policy and write it anew")
        for path in written
    ]


async def _seen(rooms: Rooms, grant: Grant, name: str) -> Sequence[str]:
    """Return the paths of all secrets that the service has read or written, in order."""
    wanted = Filter(user=str(Principal(Kind.SERVICE, name)), event_type=EventType.SECRET_ACCESS.value)
    return sorted({each.resource async for each in _entries(rooms, grant, wanted) if _knows(each)})


def _knows(each: Columns) -> bool:
    """Tell whether a service knows, or may know, a value of a secret after this.

    A reading has to have worked. Of a write that did not, only a refusal by our own rules is sure to have set nothing.
    """
    if each.action == WRITE:
        counts = each.result != Result.DENIED
    else:
        counts = each.action == INTENT or (each.action == "read" and each.result == Result.SUCCESS)
    return counts and _is_path(each.resource)


def _is_path(text: str) -> bool:
    try:
        secret_path(text)
    except InvalidInputError:
        return False
    return True


async def _entries(rooms: Rooms, grant: Grant, wanted: Filter) -> AsyncIterator[Columns]:
    cursor, more = "", True
    while more:
        page = await rooms.audit_log.search(grant, Query(wanted, MAX_LIMIT, cursor))
        for line in page.entries:
            yield read_columns(line)
        cursor, more = page.cursor, bool(page.cursor)


async def _anew(rooms: Rooms, call: Call, path: str) -> Rotated:
    """Rotate a secret and end its old value at once. The value of a run that was under way may have been seen too."""
    done = await _run(rooms, call, path)
    if not done.resumed:
        return done
    if done.waits:
        async with call.entry(EventType.SECRET_ACCESS, "rotate", path) as entry:
            await rooms.rotations.abandon(call.grant(ROTATE, path), path, entry)
    return await _run(rooms, call, path)


async def _run(rooms: Rooms, call: Call, path: str) -> Rotated:
    async with call.entry(EventType.SECRET_ACCESS, "rotate", path) as entry:
        return await rooms.rotations.run(call.grant(ROTATE, path), RunRotation(path, urgent=True), entry)


def _still_open(done: Rotated) -> Sequence[ByHand]:
    """Return what a rotation left as the service has seen it."""
    found = []
    if done.waits:
        found.append(ByHand(done.path, f"its old value still works: {done.waits}"))
    if done.untouched:
        fields = ", ".join(f"'{name}'" for name in done.untouched)
        found.append(
            ByHand(done.path, f"its policy does not replace {fields}: replace that by hand, where it is secret")
        )
    return found


async def _rotate(
    rooms: Rooms, call: Call, paths: Sequence[str]
) -> tuple[Sequence[RotatedNow], Sequence[ByHand], str | None]:
    """Rotate paths in their order until the time is up; return also the last one when there are more."""
    rotated: list[RotatedNow] = []
    by_hand: list[ByHand] = []
    until = rooms.clock.monotonic() + BUDGET_SECONDS
    for number, path in enumerate(paths):
        try:
            why = await rooms.rotations.way(path)
            if why:
                by_hand.append(ByHand(path, why))
            else:
                done = await _anew(rooms, call, path)
                rotated.append(RotatedNow(path, done.version))
                by_hand += _still_open(done)
        except TradewardenError as error:
            by_hand.append(ByHand(path, error.detail))
        if rooms.clock.monotonic() > until and number + 1 < len(paths):
            return rotated, by_hand, path
    return rotated, by_hand, None

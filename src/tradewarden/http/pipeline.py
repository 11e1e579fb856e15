"""The door: the one way that every request goes through; `Door._pass` is the whole story.

Always true here: the answer leaves after its audit entry stands. What only a flood of strangers could write is counted
into one entry a window instead, so that nobody can fill the log from outside (`Door._admit_peer`, `Door._charge`).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

import structlog

from tradewarden.abreast import abreast
from tradewarden.access.address import require_listed
from tradewarden.access.grant import ANY, authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import ANONYMOUS
from tradewarden.access.throttle import Throttle, peer_key
from tradewarden.audit.entry import EventType
from tradewarden.errors import (
    AuthenticationError,
    RateLimitedError,
    TimeoutExceededError,
    TradewardenError,
)
from tradewarden.http import acme
from tradewarden.http.authentication import Authentication, Caller
from tradewarden.http.command import read_command
from tradewarden.http.conditional import answer_to
from tradewarden.http.connection import Connection
from tradewarden.http.endpoints.acme import finished
from tradewarden.http.named import misnamed
from tradewarden.http.problem import problem
from tradewarden.http.render import render
from tradewarden.http.room import Room
from tradewarden.http.route import Content, Proof, Rate, Route
from tradewarden.http.router import Router

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import msgspec
    from starlette.types import Receive, Scope, Send

    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry
    from tradewarden.http.deadline import Deadlines
    from tradewarden.http.metrics import Slot
    from tradewarden.http.peers import Peers
    from tradewarden.http.render import Answer

OPEN = PermissionSet(("service:view",))
_NOBODY = str(ANONYMOUS)
_log = structlog.get_logger("tradewarden.http")


class Door:
    """The ASGI application of one worker."""

    def __init__(
        self, warden: Warden, routes: Sequence[Route], slot: Slot, deadlines: Deadlines, peers: Peers | None = None
    ) -> None:
        settings = warden.settings
        self._warden = warden
        self._router = Router(routes)
        self._slot = slot
        self._deadlines = deadlines
        self._authentication = Authentication(warden, peers)
        plain_behind_proxies = not settings.development and settings.tls_cert is None
        self._only_proxies = settings.trusted_proxies if plain_behind_proxies else ()
        self._max_body = settings.max_body_bytes
        self._room = Room(settings.max_concurrency)
        self._strangers = Throttle(*settings.rate_limits["anonymous"], warden.clock)
        self._rates: Mapping[Rate, Throttle] = {
            rate: Throttle(*settings.rate_limits[rate.value], warden.clock) for rate in Rate
        }
        self._prefix = warden.randomness(5).hex()
        self._numbers = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        request_id = f"{self._prefix}{next(self._numbers):010x}"
        connection = Connection(scope, receive, request_id, self._warden.settings.trusted_proxies, self._room)
        task = self._deadlines.enter()
        self._room.enter()
        try:
            route, answer = await self._answer(connection)
        finally:
            self._room.leave()
            self._deadlines.leave(task)
        if route is not None and route.proof is Proof.ACME and isinstance(answer, Content):
            answer = finished(self._warden, answer)
        status, headers, body = render(answer, request_id)
        self._slot.observe(route, status, time.perf_counter() - started)
        await abreast()
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, connection: Connection) -> tuple[Route | None, Answer]:
        """Return what to answer, errors included; nothing escapes but the end of the process."""
        route = None
        try:
            route, argument = await self._find(connection)
            if route.proof is Proof.OPEN:
                return route, await self._pass_open(connection, route, argument)
            return route, await self._pass(connection, route, argument)
        except TradewardenError as error:
            return route, _refusal(route, error, connection)
        except asyncio.CancelledError:
            self._deadlines.excuse()
            return route, _refusal(route, TimeoutExceededError(), connection)
        except Exception as error:  # noqa: BLE001  (the last resort: logged, answered, and the process goes on)
            _log.exception("request failed", request_id=connection.origin.request_id, exc_info=error)
            return route, _refusal(route, error, connection)

    async def _pass(self, connection: Connection, route: Route, argument: str) -> Answer:
        await self._admit_peer(connection)
        async with self._warden.auditor.entry(route.event, route.action, connection.origin) as entry:
            command: msgspec.Struct | None = None
            try:
                caller = await self._prove(connection, route, entry)
                await abreast()
                self._admit(connection, caller, route)
                command = await read_command(route, argument, connection, self._max_body)
                # A body can be held back; what ended meanwhile must not count. A signed one is the proof itself.
                if connection.held and route.proof is not Proof.ACME:
                    caller = await self._prove(connection, route, entry)
                entry.resource = resource = route.resource(command) if route.resource else ANY
                grant = authorize(caller.principal, caller.permissions, route.permission, resource, caller.credential)
                answer = await route.handler(self._warden, grant, command, entry)
                # Who was revoked while the call was under way gets no credential from it; what was made, nobody has.
                if route.lasting and await self._authentication.has_moved(connection):
                    caller = await self._prove(connection, route, entry)
                    authorize(caller.principal, caller.permissions, route.permission, resource, caller.credential)
            except (Exception, asyncio.CancelledError) as error:
                if field := misnamed(command, entry.resource):
                    entry.resource = self._warden.hidden(field, entry.resource)
                await self._charge(connection, entry, error)
                raise
            return answer

    async def _pass_open(self, connection: Connection, route: Route, argument: str) -> Answer:
        """An open route protects nothing; it answers without a journal, so that /health can tell of a broken one."""
        address = peer_key(connection.origin.ip_address)
        self._rates[Rate.OPEN].require(address)
        await self._authentication.require_peer(connection)
        if route.feature:
            self._warden.require(route.feature)
        self._warden.visits.note(address)
        command = await read_command(route, argument, connection, self._max_body)
        entry = self._warden.auditor.entry(route.event, route.action, connection.origin)
        grant = authorize(ANONYMOUS, OPEN, route.permission, ANY)
        answer = await route.handler(self._warden, grant, command, entry)
        return answer_to(answer, connection.headers) if isinstance(answer, Content) else answer

    async def _find(self, connection: Connection) -> tuple[Route, str]:
        """Return the route; a request that is malformed or leads nowhere is recorded as such."""
        try:
            connection.require_sound()
            return self._router.find(connection.method, connection.path)
        except TradewardenError as error:
            await self._admit_peer(connection)
            async with self._warden.auditor.entry(EventType.API_ACCESS, "refuse", connection.origin) as entry:
                entry.user = _NOBODY
                entry.resource = self._warden.hidden("path", connection.path)
                await self._charge(connection, entry, error)
                raise error from None

    async def _admit_peer(self, connection: Connection) -> None:
        """Stop strangers from a listed-out or exhausted address before anything costly; count them, record none."""
        address = peer_key(connection.origin.ip_address)
        try:
            if connection.peer_certificate is None:  # mTLS comes to us without a proxy between
                require_listed(connection.peer, self._only_proxies)
            require_listed(connection.origin.ip_address, self._warden.settings.allowed_ips)
            self._room.require()
            seconds = self._strangers.wait(address) or (0 if self._warden.journal.spare() else 1.0)
            if seconds and not await self._authentication.knows(connection):
                raise _throttled(seconds)
        except TradewardenError:
            await self._count(address)
            raise

    async def _count(self, address: str) -> None:
        """Count a call of strangers in its window; the first of an address is recorded as their beginning."""
        if self._warden.flood.note(address) and self._warden.journal.spare():
            await self._warden.flood.begin(address)

    async def _charge(self, connection: Connection, entry: Entry, error: BaseException) -> None:
        """Let strangers pay for the entry of a call that failed, and who gave a credential that is not accepted.

        A stranger's call that nothing is left for is counted instead, whatever it failed of: many can be let in before
        the first of them fails.
        """
        stranger, limited = entry.user == _NOBODY, isinstance(error, RateLimitedError)
        if not stranger and not isinstance(error, AuthenticationError):
            return
        address = peer_key(connection.origin.ip_address)
        seconds = 0.0 if limited else self._strangers.spend(address)
        if not stranger or entry.committed or not (limited or seconds):
            return
        entry.counted = True
        await self._count(address)
        if seconds and isinstance(error, TradewardenError):
            raise _throttled(seconds) from None

    async def _prove(self, connection: Connection, route: Route, entry: Entry) -> Caller:
        entry.user = _NOBODY
        if route.feature:
            self._warden.require(route.feature)
        caller = await self._authentication.prove(connection, route)
        connection.proven = caller.principal is not ANONYMOUS
        entry.user = caller.user
        entry.method = caller.credential.method
        return caller

    def _admit(self, connection: Connection, caller: Caller, route: Route) -> None:
        """Spend from the caller's own bucket; who is not proven yet spends from that of the address."""
        stranger = caller.principal is ANONYMOUS
        self._rates[route.rate].require(peer_key(connection.origin.ip_address) if stranger else caller.user)


def _throttled(seconds: float) -> RateLimitedError:
    return RateLimitedError(f"Too many requests; try again in {seconds:.1f} s", retry_after=seconds)


def _refusal(route: Route | None, error: BaseException, connection: Connection) -> Content:
    """Return the answer for an error, as the clients of this route read it."""
    request_id = connection.origin.request_id
    if route is not None and route.proof is Proof.ACME:
        return acme.problem(error, request_id)
    return problem(error, request_id, route, connection.headers.get(b"authorization", b""))

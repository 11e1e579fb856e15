"""`tradewarden serve`: prepares the data directory, then supervises the workers and the clerk."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import structlog

from tradewarden.access.throttle import peer_key
from tradewarden.app import Warden, close_windows
from tradewarden.audit.flood import WINDOW_SECONDS
from tradewarden.background import work
from tradewarden.errors import TradewardenError
from tradewarden.http import listener
from tradewarden.http.balance import Balance
from tradewarden.http.banner import banner
from tradewarden.http.binding import Place, Port
from tradewarden.http.deadline import Deadlines
from tradewarden.http.head import ServerLimits
from tradewarden.http.live import LiveTls
from tradewarden.http.logs import configure
from tradewarden.http.metrics import Gauge, Metrics, Slot
from tradewarden.http.peers import Peers
from tradewarden.http.pipeline import Door
from tradewarden.http.render import EVERYWHERE, LOCKED_DOWN
from tradewarden.http.routes import ROUTES, offered
from tradewarden.http.supervisor import supervise
from tradewarden.policies import warnings

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from starlette.types import ASGIApp

    from tradewarden.audit.clerk import Lag
    from tradewarden.http.balance import Share
    from tradewarden.settings import Settings

_log = structlog.get_logger("tradewarden.serve")
_TICK_SECONDS = 1.0


def main(settings: Settings) -> int:
    """Serve until a signal; returns the exit code. Raises `ConfigurationError` when it cannot start."""
    configure(settings.log_level, settings.log_format)
    lineage = asyncio.run(_prepare(settings))
    clerk = settings.workers
    metrics = Metrics(ROUTES, [*(f"worker-{index}" for index in range(settings.workers)), "clerk"])

    places = _places(settings)
    balances = {port: Balance(settings.workers) for port in places}

    def run_worker(index: int, sockets: Sequence[Sequence[socket.socket]], ready: Callable[[], None]) -> None:
        bound = zip(balances.items(), sockets, strict=True)
        listeners = {port: Listening(each, balance.share(index)) for (port, balance), each in bound}
        listener.run(_worker(settings, lineage, metrics, index, listeners, ready))

    def run_clerk(ready: Callable[[], None]) -> None:
        listener.run(_clerk(settings, lineage, metrics.slot(clerk), ready))

    def announce(ports: Sequence[int]) -> None:
        with suppress(OSError):  # its disk is full: the service is up all the same
            sys.stderr.write(banner(settings, dict(zip(places, ports, strict=True))) + "\n")
            sys.stderr.flush()

    return supervise(settings, list(places.values()), run_worker, run_clerk, _log, announce)


class Listening(NamedTuple):
    """What a worker listens on at one place, and its share of what comes there."""

    sockets: Sequence[socket.socket]
    share: Share


def _places(settings: Settings) -> dict[Port, Place]:
    """Return where to listen: the HTTP API, and unless it is off mTLS; what verifiers fetch where it has a port."""
    places = {Port.API: Place(settings.host, settings.port)}
    if settings.enable_mtls:
        places[Port.MUTUAL] = Place(settings.host, settings.mtls_port, "TRADEWARDEN_MTLS_PORT")
    if settings.enable_mtls and settings.ca_http_port is not None:
        places[Port.CA] = Place(settings.host, settings.ca_http_port, "TRADEWARDEN_CA_HTTP_PORT")
    return places


async def _prepare(settings: Settings) -> bytes:
    """Open and close everything once, so that what is wrong is said before anything is forked.

    Returns the lineage of the keys, by which a process that is replaced later knows them under another root key.
    """
    warden = await Warden.start(settings)
    for warning in warnings(settings):
        _log.warning(warning)
    lineage = warden.keyring.lineage
    await warden.close()
    return lineage


async def _worker(
    settings: Settings,
    lineage: bytes,
    metrics: Metrics,
    index: int,
    listeners: Mapping[Port, Listening],
    ready: Callable[[], None],
) -> None:
    stop = asyncio.Event()
    listener.stop_on_signals(stop)
    slot = metrics.slot(index)
    warden = await Warden.start(settings, follow=lineage)
    warden.metrics = metrics
    deadlines = Deadlines(settings.request_seconds)
    peers = Peers(warden)
    live = LiveTls(warden, peers)
    routes = offered(development=settings.development)
    door = _with_cors(Door(warden, routes, slot, deadlines, peers), settings)
    doors: dict[Port, ASGIApp] = {
        Port.API: door,
        Port.MUTUAL: door,
        Port.CA: Door(warden, [each for each in routes if each.of_verifiers], slot, deadlines, peers),
    }
    tasks = [asyncio.create_task(_every_second(warden, slot, deadlines))]
    try:
        await live.open()
        tasks.append(asyncio.create_task(live.follow()))
        await _serve(warden, doors, listeners, live, peers, ready, stop)
    finally:
        for task in tasks:
            task.cancel()
        deadlines.stop()
        await peers.close()
        await warden.close()


async def _serve(
    warden: Warden,
    doors: Mapping[Port, ASGIApp],
    listeners: Mapping[Port, Listening],
    live: LiveTls,
    peers: Peers,
    ready: Callable[[], None],
    stop: asyncio.Event,
) -> None:
    """Serve at each place until `stop`; `ready` is called once requests are taken at all of them."""
    settings = warden.settings
    limits = ServerLimits(body_seconds=settings.request_seconds, shutdown_seconds=settings.shutdown_seconds)
    waiting = [object() for _ in listeners]

    def one_is_ready() -> None:
        waiting.pop()
        if not waiting:
            ready()

    contexts = {Port.API: live.plain, Port.MUTUAL: live.mutual, Port.CA: None}
    async with asyncio.TaskGroup() as group:
        for port, (bound, share) in listeners.items():
            group.create_task(
                listener.serve(
                    doors[port],
                    bound,
                    limits,
                    contexts[port],
                    one_is_ready,
                    stop,
                    on_refused=partial(_refused, warden),
                    headers=(*EVERYWHERE, LOCKED_DOWN),
                    share=share,
                    peers=peers if port is Port.MUTUAL else None,
                )
            )


def _refused(warden: Warden, reason: str, address: str) -> None:
    """Count what the listener refused by itself; the window's end records it."""
    _log.debug("refused a connection or request", reason=reason, address=address)
    warden.flood.note(peer_key(address))


async def _clerk(settings: Settings, lineage: bytes, slot: Slot, ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    listener.stop_on_signals(stop)
    warden = await Warden.start(settings, follow=lineage)
    try:
        ready()
        await work(warden, stop, partial(_set_progress, warden, slot))
    finally:
        await warden.close()


def _set_progress(warden: Warden, slot: Slot, lag: Lag | None) -> None:
    slot.beat()
    slot.measure()
    if lag is not None:
        slot.set(Gauge.AUDIT_UNSHIPPED_BYTES, lag.unshipped_bytes)
        slot.set(Gauge.AUDIT_UNNUMBERED_ENTRIES, lag.unnumbered)
        slot.set(Gauge.AUDIT_LAG_SECONDS, lag.oldest_seconds)
    slot.set(Gauge.ROTATIONS_OVERDUE, warden.rotations.tending.late)
    slot.set(Gauge.CLOCK_BEHIND_SECONDS, warden.floor.behind())
    held, now = warden.authority.revocation.held(), warden.clock.now()
    if held is not None:
        slot.set(Gauge.CRL_NUMBER, held.number)
        slot.set(Gauge.CRL_AGE_SECONDS, now - held.this_update)
        slot.set(Gauge.CRL_NEXT_UPDATE_SECONDS, held.next_update - now)


async def _every_second(warden: Warden, slot: Slot, deadlines: Deadlines) -> None:
    """Set this worker's gauges, and close the windows in which strangers are counted."""
    opened = warden.clock.monotonic()
    await _count(warden, slot)
    while True:
        slot.beat()
        slot.set(Gauge.WRITER_QUEUE, warden.database.waiting)
        slot.set(Gauge.IN_FLIGHT, len(deadlines))
        if warden.clock.monotonic() - opened >= WINDOW_SECONDS:
            opened = warden.clock.monotonic()
            slot.measure()
            await close_windows(warden)
            await _count(warden, slot)
        await asyncio.sleep(_TICK_SECONDS)


async def _count(warden: Warden, slot: Slot) -> None:
    root, issuing = warden.authority.cas.expiries()
    slot.set(Gauge.CA_ROOT_EXPIRY_SECONDS, root)
    slot.set(Gauge.CA_ISSUING_EXPIRY_SECONDS, issuing)
    with suppress(TradewardenError):  # the gauges keep their last value; readiness tells why
        certificates, tokens = await warden.active()
        slot.set(Gauge.ACTIVE_TOKENS, tokens)
        slot.set(Gauge.ACTIVE_CERTIFICATES, certificates.active)
        if certificates.soonest_expiry:
            slot.set(Gauge.CERTIFICATE_EXPIRY_SECONDS, certificates.soonest_expiry - warden.clock.now())


def _with_cors(door: Door, settings: Settings) -> ASGIApp:
    if not settings.cors_origins:
        return door
    from starlette.middleware.cors import CORSMiddleware

    return CORSMiddleware(
        door,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["authorization", "content-type"],
        max_age=600,
    )

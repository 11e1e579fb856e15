"""`tradewarden serve`: prepares the data directory, then supervises the workers and the clerk."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import structlog

from tradewarden.access.throttle import peer_key
from tradewarden.app import Warden, close_windows
from tradewarden.audit.flood import WINDOW_SECONDS
from tradewarden.background import work
from tradewarden.errors import TradewardenError
from tradewarden.http import listener
from tradewarden.http.balance import Balance
from tradewarden.http.banner import banner
from tradewarden.http.deadline import Deadlines
from tradewarden.http.head import ServerLimits
from tradewarden.http.logs import configure
from tradewarden.http.metrics import Gauge, Metrics, Slot
from tradewarden.http.pipeline import Door
from tradewarden.http.render import EVERYWHERE, LOCKED_DOWN
from tradewarden.http.routes import ROUTES
from tradewarden.http.supervisor import supervise
from tradewarden.http.tls import server_context
from tradewarden.policies import warnings

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp

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

    balance = Balance(settings.workers)

    def run_worker(index: int, sockets: Sequence[socket.socket], ready: Callable[[], None]) -> None:
        listener.run(_worker(settings, lineage, metrics, balance.share(index), index, sockets, ready))

    def run_clerk(ready: Callable[[], None]) -> None:
        listener.run(_clerk(settings, lineage, metrics.slot(clerk), ready))

    address = (settings.host, settings.port)
    on_ready = partial(print, banner(settings), file=sys.stderr, flush=True)
    return supervise(settings, [address], run_worker, run_clerk, _log, on_ready)


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
    share: Share,
    index: int,
    sockets: Sequence[socket.socket],
    ready: Callable[[], None],
) -> None:
    stop = asyncio.Event()
    listener.stop_on_signals(stop)
    slot = metrics.slot(index)
    warden = await Warden.start(settings, follow=lineage)
    warden.metrics = metrics
    deadlines = Deadlines(settings.request_seconds)
    ticking = asyncio.create_task(_every_second(warden, slot, deadlines))
    try:
        await listener.serve(
            _with_cors(Door(warden, ROUTES, slot, deadlines), settings),
            sockets,
            ServerLimits(body_seconds=settings.request_seconds, shutdown_seconds=settings.shutdown_seconds),
            await _tls(warden),
            ready,
            stop,
            on_refused=partial(_refused, warden),
            headers=(*EVERYWHERE, LOCKED_DOWN),
            share=share,
        )
    finally:
        ticking.cancel()
        deadlines.stop()
        await warden.close()


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
        await work(warden, stop, partial(_set_lag, slot))
    finally:
        await warden.close()


def _set_lag(slot: Slot, unshipped: int, unnumbered: int, seconds: float) -> None:
    slot.set(Gauge.AUDIT_UNSHIPPED_BYTES, unshipped)
    slot.set(Gauge.AUDIT_UNNUMBERED_ENTRIES, unnumbered)
    slot.set(Gauge.AUDIT_LAG_SECONDS, seconds)


async def _every_second(warden: Warden, slot: Slot, deadlines: Deadlines) -> None:
    """Set this worker's gauges, and close the windows in which strangers are counted."""
    opened = warden.clock.monotonic()
    await _count(warden, slot)
    while True:
        slot.set(Gauge.WRITER_QUEUE, warden.database.waiting)
        slot.set(Gauge.IN_FLIGHT, len(deadlines))
        if warden.clock.monotonic() - opened >= WINDOW_SECONDS:
            opened = warden.clock.monotonic()
            slot.measure()
            await close_windows(warden)
            await _count(warden, slot)
        await asyncio.sleep(_TICK_SECONDS)


async def _count(warden: Warden, slot: Slot) -> None:
    with suppress(TradewardenError):  # the gauges keep their last value; readiness tells why
        certificates, tokens = await warden.active()
        slot.set(Gauge.ACTIVE_TOKENS, tokens)
        slot.set(Gauge.ACTIVE_CERTIFICATES, certificates.active)
        if certificates.soonest_expiry:
            slot.set(Gauge.CERTIFICATE_EXPIRY_SECONDS, certificates.soonest_expiry - warden.clock.now())


async def _tls(warden: Warden) -> ssl.SSLContext | None:
    """Return the context of the listener: a given certificate, or outside development one of our CA."""
    settings = warden.settings
    if settings.tls_cert is not None and settings.tls_key is not None:
        return server_context(settings.tls_cert, settings.tls_key)
    if settings.development or settings.trusted_proxies:
        return None
    chain, key = await warden.listener_certificate()
    return server_context(chain.encode(), key.encode())


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

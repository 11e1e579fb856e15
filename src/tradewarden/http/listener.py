"""One worker's listener: accepts connections, serves them through the guarded protocol, and ends in order.

A worker accepts one connection a turn of its loop, so that workers which share a listening socket share the load, and a
TLS handshake counts as a connection from its first byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
import ssl
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

from uvicorn.config import Config
from uvicorn.server import ServerState

from tradewarden.http.balance import YIELD_SECONDS, Balance, Share
from tradewarden.http.guard import Guard
from tradewarden.http.handshake import ARRIVAL, Arrival, Farewells, reason_of
from tradewarden.http.protocol import GuardedProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from starlette.types import ASGIApp

    from tradewarden.http.head import ServerLimits
    from tradewarden.http.peers import Peers

_LOG: Final = logging.getLogger("tradewarden.http.listener")
_GC_ALLOCATIONS: Final = 20_000
_GRACE_SECONDS: Final = 0.05
"""How long connections may deliver what was already on its way when the stop came."""
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a worker's whole life on uvloop.

    Requests leave next to no cycles behind, so the youngest generation is looked through less often than by default.
    """
    import uvloop

    gc.set_threshold(_GC_ALLOCATIONS, 20, 100)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Let SIGTERM set `stop` in the running loop; SIGINT is the supervisor's business."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)


async def serve(  # noqa: PLR0913 - what differs between two listeners
    app: ASGIApp,
    sockets: Sequence[socket.socket],
    limits: ServerLimits,
    ssl_context: ssl.SSLContext | None,
    ready: Callable[[], None],
    stop: asyncio.Event,
    *,
    on_refused: Callable[[str, str], None] = lambda _reason, _address: None,
    headers: Sequence[tuple[bytes, bytes]] = (),
    share: Share | None = None,
    peers: Peers | None = None,
) -> None:
    """Serve until `stop` is set; then accept nothing more, answer what was accepted within `shutdown_seconds`, and end.

    `sockets` are bound, listening and stay open here; `ready` is called once requests are taken. `headers` go with the
    answers that the listener gives by itself, and `on_refused(reason, address)` is told of each. `share` keeps several
    workers on the same sockets even. `peers` is told of the clients of an mTLS listener.
    """
    block = b"".join([b"%b: %b\r\n" % header for header in headers])
    guard = Guard(limits, on_refused, block, share or Balance(1).share(0), peers)
    listener = Listener(app, guard, ssl_context)
    listener.open(sockets)
    ready()
    try:
        await stop.wait()
    finally:
        await listener.close()


class Listener:
    """The listening sockets of one worker and the connections that came through them."""

    def __init__(self, app: ASGIApp, guard: Guard, ssl_context: ssl.SSLContext | None) -> None:
        self._limits = limits = guard.limits
        self._ssl = ssl_context
        self._loop = asyncio.get_running_loop()
        self._share = guard.share
        self._yielded = False
        self._guard = guard
        self._farewells = Farewells(self._loop)
        self._state = ServerState()
        self._sockets: list[socket.socket] = []
        self._handshakes: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._config = Config(
            app,
            interface="asgi3",
            http=GuardedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        self._config.load()
        shortest = min(limits.header_seconds, limits.body_seconds, limits.keep_alive_seconds)
        self._tick_seconds = min(1.0, shortest / 4)

    def open(self, sockets: Sequence[socket.socket]) -> None:
        """Start to accept."""
        self._share.hold(0)
        self._tick()
        for listening in sockets:
            listening.setblocking(False)  # noqa: FBT003 - the library's signature
            self._sockets.append(listening)
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    async def close(self) -> None:
        """Accept what waits and no more; wait for the answers, cancel what is late, close everything."""
        for listening in self._sockets:
            self._loop.remove_reader(listening.fileno())
            self._take_all(listening)
            listening.close()
        self._share.leave()
        self._guard.draining = True
        await asyncio.sleep(_GRACE_SECONDS)
        for connection in list(self._guard.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.shutdown_seconds):
                await self._drain()
        await self._cancel()
        if self._timer is not None:
            self._timer.cancel()

    async def _drain(self) -> None:
        # Looked at, not waited for: an event would cost every request something for the one end of a worker.
        while self._state.tasks or any(each.unanswered for each in self._guard.connections):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def _cancel(self) -> None:
        self._farewells.close()
        late = [*self._state.tasks, *self._handshakes]
        if self._state.tasks:
            _LOG.warning("cancelling %d requests that did not end in time", len(self._state.tasks))
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=1)
        for connection in list(self._guard.connections):
            connection.transport.close()
        await asyncio.sleep(0)
        for connection in list(self._guard.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    def _tick(self) -> None:
        self._guard.tick(self._loop.time(), formatdate(usegmt=True))
        self._timer = self._loop.call_later(self._tick_seconds, self._tick)

    def _protocol(self) -> GuardedProtocol:
        return GuardedProtocol(self._config, self._state, self._guard, self._loop)

    def _accept(self, listening: socket.socket) -> None:
        if self._share.ahead() and not self._yielded:
            self._yielded = True
            self._loop.remove_reader(listening.fileno())
            self._loop.call_later(YIELD_SECONDS, self._resume, listening)
            return
        self._yielded = False
        try:
            self._take(listening)
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            _LOG.error("cannot accept connections now: %s", error.strerror)
            self._loop.remove_reader(listening.fileno())
            self._loop.call_later(1.0, self._resume, listening)

    def _take_all(self, listening: socket.socket) -> None:
        """Accept what the kernel holds for us: to those clients they are connected, and their requests may be sent."""
        with contextlib.suppress(OSError):
            for _ in range(self._limits.connections):
                if not self._take(listening):
                    return

    def _take(self, listening: socket.socket) -> bool:
        """Accept a connection that waits; tell whether there was one."""
        try:
            connection, address = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return False
        connection.setblocking(False)  # noqa: FBT003 - the library's signature
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._ssl is not None and len(self._handshakes) >= self._limits.connections:
            self._guard.on_refused("too_many_connections", address[0])
            connection.close()
            return True
        task = self._loop.create_task(self._connect(connection, address[0]))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)
        return True

    def _resume(self, listening: socket.socket) -> None:
        if not self._guard.draining:
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    async def _connect(self, connection: socket.socket, address: str) -> None:
        seconds = None if self._ssl is None else self._limits.header_seconds
        arrival = Arrival(connection)
        ARRIVAL.set(arrival)  # for this task, and for what the loop does on its behalf
        try:
            await self._loop.connect_accepted_socket(
                self._protocol, connection, ssl=self._ssl, ssl_handshake_timeout=seconds
            )
        except (OSError, ssl.SSLError) as error:
            connection.close()
            self._farewells.take(arrival.farewell)
            self._refused(error, address, arrival)

    def _refused(self, error: Exception, address: str, arrival: Arrival) -> None:
        """Tell of a failed handshake; a client that only went away, or never began, is one of many strangers."""
        why = reason_of(error)
        _LOG.info("TLS handshake failed: %s", why)
        if self._guard.peers is not None and isinstance(error, ssl.SSLError):
            self._guard.peers.refused(address, why, arrival.chain)
        else:
            self._guard.on_refused("tls_handshake", address)

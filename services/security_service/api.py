"""TradPal's API as an ASGI application over a `SecurityService`, and the service itself as a program.

`python -m services.security_service.api` is `tradewarden serve`: the same process, options and exit codes. The
application is for those who bring a server of their own.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from services.security_service.service import SecurityConfig, SecurityService
from tradewarden.app import close_windows
from tradewarden.audit.flood import WINDOW_SECONDS
from tradewarden.errors import TradewardenError, UnavailableError
from tradewarden.http.deadline import Deadlines
from tradewarden.http.metrics import Metrics
from tradewarden.http.pipeline import Door
from tradewarden.http.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from tradewarden.app import Warden

_ANYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound here; see SecurityAPI


class SecurityAPI:
    """The HTTP interface for a server of your own: this object, by TradPal's name its `app`, is the application.

    It starts and stops with the server (ASGI lifespan), or as `async with SecurityAPI() as api`. An application
    cannot know where its server listens, so it is judged as one that everybody may reach: nobody gets a token
    without credentials; `api.service.generate_jwt_token` gives the first one. CORS and TLS are the server's.
    """

    def __init__(self, config: SecurityConfig | None = None) -> None:
        config = config or SecurityConfig()
        self.service = SecurityService(config, settings=replace(config.settings, host=_ANYWHERE))
        self._open = AsyncExitStack()
        self._door: Door | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def app(self) -> ASGIApp:
        """The application."""
        return self

    async def start(self) -> None:
        """Open the service and answer from now on; raises `ConfigurationError`."""
        if self._door is not None:
            return
        await self.service.start()
        self._open.push_async_callback(self.service.stop)
        self._door = await self._open.enter_async_context(_door(self.service.warden))

    async def stop(self) -> None:
        """Answer no more and let everything go."""
        self._door = None
        await self._open.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through the server's lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._door is None:
            raise UnavailableError("The API is not started: enable the server's lifespan, or await api.start()")
        else:
            await self._door(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start and stop with the server."""
        await receive()
        try:
            await self.start()
        except TradewardenError as error:
            await send({"type": "lifespan.startup.failed", "message": error.detail})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})


def create_security_api(config: SecurityConfig | None = None) -> SecurityAPI:
    """Return the API over a service of this configuration, not started yet."""
    return SecurityAPI(config)


@asynccontextmanager
async def _door(warden: Warden) -> AsyncIterator[Door]:
    """Make the door of this process and tend it for as long as it is open."""
    metrics = Metrics(ROUTES, 1)
    warden.metrics = metrics
    deadlines = Deadlines(warden.settings.request_seconds)
    tending = asyncio.create_task(_close_windows(warden))
    try:
        yield Door(warden, ROUTES, metrics.slot(0), deadlines)
    finally:
        tending.cancel()
        with suppress(asyncio.CancelledError):
            await tending
        deadlines.stop()


async def _close_windows(warden: Warden) -> None:
    """Record what was only counted, a window at a time."""
    while True:
        await asyncio.sleep(WINDOW_SECONDS)
        await close_windows(warden)


def main() -> None:
    """Run the service as `tradewarden serve` does."""
    import sys

    from tradewarden.cli import main as tradewarden

    sys.argv[1:1] = ["serve"]
    tradewarden()


if __name__ == "__main__":
    main()

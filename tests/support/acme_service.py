"""A running service whose ACME validation looks where the tests answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.support.acme import Client, Pair
from tests.support.dns import Zone, zone
from tests.support.service import Service, free_port, start, stop
from tests.support.trial import done
from tests.support.wire import Wire

NAME = "web.test.internal"


class Installation(NamedTuple):
    """The service, the DNS server that it asks, and the port at which it looks at http-01 challenges."""

    service: Service
    names: Zone
    http_port: int

    @property
    def base(self) -> str:
        """Where it answers."""
        return self.service.url

    def admin(self) -> Wire:
        """Return a connection of its admin."""
        return Wire(self.base, token=self.service.admin_token)

    def key(self, service: str = "web", *names: str) -> dict[str, Any]:
        """Return a new external account key; the service is registered when it is not."""
        with self.admin() as wire:
            wire.ask("POST", "/services", {"service_name": service, "permissions": []})
            made: dict[str, Any] = done(
                wire.ask(
                    "POST", "/acme/eab", {"service_name": service, "dns_names": list(names or (".test.internal",))}
                )
            )
        return made

    def client(self, algorithm: str = "ES256", service: str = "web") -> Client:
        """Return a client with an account of its own."""
        made = Client(Wire(self.base), self.base, Pair(algorithm))
        assert made.open(self.key(service)).status == 201
        return made


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A service of two workers, in development."""
    port = free_port()
    with zone() as names:
        names.put(NAME, "A", "127.0.0.1")
        running = start(
            tmp_path_factory.mktemp("acme"),
            TRADEWARDEN_WORKERS="2",
            TRADEWARDEN_ACME_HTTP_PORT=str(port),
            TRADEWARDEN_ACME_DNS=names.address,
            TRADEWARDEN_RATE_LIMITS="anonymous=1000000/1,open=1000000/1",
        )
        yield Installation(running, names, port)
        assert stop(running) == 0, running.log.read_text()

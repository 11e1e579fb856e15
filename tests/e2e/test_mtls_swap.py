"""The listener's certificate is changed under a thousand open mTLS connections; none of them notices."""

from __future__ import annotations

import asyncio
import resource
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.mtls import Identity, ca_file, client_context, connect, issued, mtls_port
from tests.support.service import Service, start, stop, wait_until
from tests.support.trial import done, events
from tests.support.wire import Wire

CONNECTIONS = 1000
DESCRIPTORS = 2048
AT_ONCE = 32
PROMPT_SECONDS = 5.0
REQUEST = b"GET /secrets?limit=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

pytestmark = pytest.mark.slow


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with two workers that may open enough files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 < hard < DESCRIPTORS:
        pytest.skip(f"this machine lets a process open {hard} files; {DESCRIPTORS} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS), hard))
    try:
        running = start(tmp_path, TRADEWARDEN_WORKERS="2")
        yield running
        assert stop(running) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Client:
    """One connection, and how often it was answered by whom."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.worker = ""

    @property
    def shown(self) -> int:
        """The serial number of the server's certificate."""
        der = self._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).serial_number

    async def ask(self) -> None:
        """Make a call that must be answered on this very connection."""
        self._writer.write(REQUEST)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("http/1.1 200"), head
        assert "connection: close" not in head
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        await self._reader.readexactly(length)
        self.worker = head.partition("x-request-id: ")[2][:10]

    def close(self) -> None:
        """Let go."""
        self._writer.transport.abort()


@asynccontextmanager
async def clients(port: int, context: ssl.SSLContext, count: int) -> AsyncIterator[list[Client]]:
    """Open so many connections, some at a time."""
    made: list[Client] = []
    room = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with room:
            made.append(Client(*await asyncio.open_connection("127.0.0.1", port, ssl=context)))

    try:
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(one())
        yield made
    finally:
        for each in made:
            each.close()


async def all_answer(made: list[Client]) -> None:
    """Ask on every connection at once."""
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        for each in made:
            group.create_task(each.ask())


async def shown_by_each_worker(port: int, context: ssl.SSLContext) -> dict[str, set[int]]:
    """Return the certificates that new connections are shown, by the worker that took them."""
    found: dict[str, set[int]] = {}
    async with clients(port, context, 24) as made:
        await all_answer(made)
        for each in made:
            found.setdefault(each.worker, set()).add(each.shown)
    return found


async def swapped(port: int, context: ssl.SSLContext, before: int) -> set[int]:
    """Wait until both workers show another certificate; return which."""
    async with asyncio.timeout(PROMPT_SECONDS):
        while True:
            found = await shown_by_each_worker(port, context)
            shown = set().union(*found.values())
            if len(found) == 2 and before not in shown:
                return shown


async def test_a_thousand_connections_live_through_swaps(service: Service) -> None:
    """Every one answers before and after two swaps; both workers show one new certificate to new connections."""
    bot = issued(service, "bot", ["read"])
    context, port = client_context(service, bot), mtls_port(service)
    async with clients(port, context, CONNECTIONS) as held:
        await all_answer(held)
        (first,) = {each.shown for each in held}
        share = Counter(each.worker for each in held)
        assert len(share) == 2
        assert max(share.values()) < 0.6 * CONNECTIONS, share
        (service.data_dir / "listener.pem").unlink()
        (second,) = await swapped(port, context, first)
        await all_answer(held)
        await asyncio.to_thread(rotate, service, "issuing")
        (third,) = await swapped(port, context, second)
        await all_answer(held)
        assert len({first, second, third}) == 3
        assert {each.shown for each in held} == {first}


def rotate(service: Service, what: str) -> None:
    """Rotate a CA."""
    with Wire(service.url, token=service.admin_token) as admin:
        done(admin.ask("POST", "/ca/rotate", {"what": what}))


def test_after_a_rotation_old_and_new_clients_get_in(service: Service) -> None:
    """Certificates of the CA before and after count; the listener shows one of the new CA, which is recorded."""
    before = issued(service, "before", ["read"])
    with connect(service, before) as standing:
        done(standing.ask("GET", "/secrets?limit=1"))
        rotate(service, "issuing")
        after = issued(service, "after", ["read"])
        for identity in (before, after):
            wait_until(partial(gets_in, service, identity), "a good client is refused")
        done(standing.ask("GET", "/secrets?limit=1"))
    rotate(service, "root")
    for identity in (before, after):
        wait_until(partial(gets_in, service, identity), "a good client is refused")
    with Wire(service.url, token=service.admin_token) as admin:
        wait_until(lambda: bool(events(admin, action="renew", result="success")), "the renewal is not in the log")


def gets_in(service: Service, identity: Identity) -> bool:
    """Tell whether a client is answered, and trusts the server by the root that it knew from the start."""
    assert ca_file(service).exists()
    try:
        with connect(service, identity) as wire:
            return wire.ask("GET", "/secrets?limit=1").status == 200
    except OSError:
        return False

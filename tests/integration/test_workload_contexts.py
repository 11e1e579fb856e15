"""The contexts that an identity hands out: who is let in, who is not, and what happens while they are in use."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import uvloop
from cryptography.x509 import Certificate

from tests.support.service import wait_until
from tests.support.standin_ca import StandIn, authority, stand_in
from tests.support.tls_echo import EndedError, listening, ping, ping_again
from tests.support.workload import Issuer, identity
from tradewarden import ServiceIdentity
from tradewarden.errors import ConfigurationError
from tradewarden.workload.contexts import Contexts, LiveContext
from tradewarden.workload.errors import PeerNameError, PinMismatchError
from tradewarden.workload.pair import Pair
from tradewarden.workload.peer import Peer, peer, pin_text

DOMAIN = "trade.example"


class Party:
    """One end: contexts over a pair that can be changed."""

    def __init__(self, pair: Pair, crl: bytes = b"") -> None:
        self.contexts = Contexts()
        self.contexts.adopt(pair, crl)

    def client(self, rules: Peer | None = None, *, revocation: bool = False) -> LiveContext:
        """Return a context for calls."""
        return self.contexts.hand_out(LiveContext.client(rules or Peer(), check_revocation=revocation))

    def server(self, rules: Peer | None = None, *, revocation: bool = False, require: bool = True) -> LiveContext:
        """Return a context for a listener."""
        made = LiveContext.server(rules or Peer(), check_revocation=revocation, require_client=require)
        return self.contexts.hand_out(made)


ISSUER, STRANGER = Issuer(), Issuer()
ORDERS, TRADER = ISSUER.pair("orders"), ISSUER.pair("trader", hosts=False)


async def test_both_ends_are_proven() -> None:
    """Each side sees the other's certificate, over TLS 1.3, under strict checks and without a ticket."""
    heard: list[bytes] = []
    server = Party(ORDERS).server()
    async with listening(server, heard) as port:
        said, seen = await ping(Party(TRADER).client(), port)
    assert int(said.split()[1], 16) == TRADER.leaf.serial_number
    assert int(seen, 16) == ORDERS.leaf.serial_number
    assert server.minimum_version == ssl.TLSVersion.TLSv1_3
    assert server.num_tickets == 0
    assert ssl.VERIFY_X509_STRICT in server.verify_flags


@pytest.mark.parametrize("kind", ["none", "stranger"])
async def test_a_client_of_nobody_is_not_let_in(kind: str) -> None:
    """Without a certificate, or with one of another CA, nothing is heard."""
    heard: list[bytes] = []
    client = ssl.create_default_context(cadata=ISSUER.root.pem.decode())
    if kind == "stranger":
        mixed = STRANGER.pair("trader")
        client = Party(Pair.read(mixed.key_pem, mixed.chain_pem, ISSUER.root.pem)).client()
    async with listening(Party(ORDERS).server(), heard) as port:
        with pytest.raises((OSError, EndedError)):
            await ping(client, port)
    assert heard == []


async def test_a_server_of_another_ca_is_not_talked_to() -> None:
    """Only our CA counts, whatever the machine trusts."""
    heard: list[bytes] = []
    mixed = STRANGER.pair("orders")
    server = Party(Pair.read(mixed.key_pem, mixed.chain_pem, ISSUER.root.pem)).server()
    async with listening(server, heard) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await ping(Party(TRADER).client(), port)
    assert heard == []


async def test_tls_1_2_is_not_spoken() -> None:
    """A client that knows no newer version than 1.2 is refused."""
    old = ssl.create_default_context(cadata=ISSUER.root.pem.decode())
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening(Party(ORDERS).server(require=False), []) as port:
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await ping(old, port)


async def test_the_name_of_the_host_counts_without_a_peer() -> None:
    """A certificate that does not name the host is refused, as by any client."""
    async with listening(Party(TRADER).server(), []) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await ping(Party(ORDERS).client(), port)


PINNED = [ORDERS.leaf, ISSUER.issuing.certificate, ISSUER.root.certificate]


@pytest.mark.parametrize("certificate", PINNED, ids=["leaf", "issuing", "root"])
async def test_any_key_of_the_chain_may_be_pinned(certificate: Certificate) -> None:
    """The leaf's own key, the issuing CA's and the root's are in the verified chain."""
    rules = peer([pin_text(certificate), pin_text(STRANGER.root.certificate)], None, DOMAIN)
    async with listening(Party(ORDERS).server(), []) as port:
        assert (await ping(Party(TRADER).client(rules), port))[0].startswith("pong")


WRONG_PIN = [pin_text(STRANGER.root.certificate)]


async def test_a_wrong_pin_ends_the_handshake() -> None:
    """The call fails as a certificate error with a clear text, before a byte of it was sent."""
    heard: list[bytes] = []
    async with listening(Party(ORDERS).server(), heard) as port:
        with pytest.raises(PinMismatchError, match="none of its keys is pinned") as caught:
            await ping(Party(TRADER).client(peer(WRONG_PIN, None, DOMAIN)), port)
    assert isinstance(caught.value, ssl.SSLCertVerificationError)
    assert pin_text(ORDERS.leaf) in str(caught.value)
    assert heard == []


async def test_a_server_pins_its_clients() -> None:
    """A client whose keys are not pinned by the server is not heard."""
    heard: list[bytes] = []
    async with listening(Party(ORDERS).server(peer(WRONG_PIN, None, DOMAIN)), heard) as port:
        with pytest.raises((OSError, EndedError)):
            await ping(Party(TRADER).client(), port)
    assert heard == []


@pytest.mark.parametrize("name", ["orders", "spiffe://trade.example/orders"])
async def test_a_peer_is_known_by_its_spiffe_id(name: str) -> None:
    """A service's name or SPIFFE ID replaces the name of the host."""
    nameless = ISSUER.pair("orders", hosts=False)
    async with listening(Party(nameless).server(peer(None, ["trader"], DOMAIN)), []) as port:
        assert (await ping(Party(TRADER).client(peer(None, name, DOMAIN)), port))[0].startswith("pong")


async def test_another_peer_is_not_talked_to() -> None:
    """A server of our CA that is another service gets nothing; a client that is another one is not heard."""
    heard: list[bytes] = []
    async with listening(Party(ORDERS).server(), heard) as port:
        with pytest.raises(
            PeerNameError, match=r"is spiffe://trade\.example/orders, not spiffe://trade\.example/payments"
        ):
            await ping(Party(TRADER).client(peer(None, "payments", DOMAIN)), port)
    async with listening(Party(ORDERS).server(peer(None, "payments", DOMAIN)), heard) as port:
        with pytest.raises((OSError, EndedError)):
            await ping(Party(TRADER).client(), port)
    assert heard == []


async def test_a_swap_reaches_new_handshakes_and_leaves_open_ones() -> None:
    """Contexts in use show the new certificate from the next handshake on; open connections go on."""
    served, calling = Party(ORDERS), Party(TRADER)
    next_orders, next_trader = ISSUER.pair("orders"), ISSUER.pair("trader")
    client = calling.client()
    async with listening(served.server(), []) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
        before = await ping_again(reader, writer)
        served.contexts.adopt(next_orders, b"")
        calling.contexts.adopt(next_trader, b"")
        said, seen = await ping(client, port)
        assert int(said.split()[1], 16) == next_trader.leaf.serial_number
        assert int(seen, 16) == next_orders.leaf.serial_number
        assert await ping_again(reader, writer) == before
        writer.close()


async def test_roots_come_and_go_in_contexts_in_use() -> None:
    """A new root is trusted by contexts that were handed out before it, and an old one no longer when it is gone."""
    other = STRANGER.pair("orders")
    both = ISSUER.root.pem + STRANGER.root.pem
    calling = Party(TRADER)
    client = calling.client()
    async with listening(Party(Pair.read(other.key_pem, other.chain_pem, both)).server(), []) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await ping(client, port)
        calling.contexts.adopt(TRADER.with_roots(both), b"")
        assert (await ping(client, port))[0].startswith("pong")
        calling.contexts.adopt(TRADER, b"")
        with pytest.raises(ssl.SSLCertVerificationError):
            await ping(client, port)


async def test_alpn_outlives_a_swap() -> None:
    """What a library sets on the context goes with it."""
    served, calling = Party(ORDERS), Party(TRADER)
    server, client = served.server(), calling.client()
    server.set_alpn_protocols(["h2", "http/1.1"])
    client.set_alpn_protocols(["http/1.1"])
    for _ in range(2):
        async with listening(server, []) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            writer.close()
        served.contexts.adopt(ISSUER.pair("orders"), b"")
        calling.contexts.adopt(ISSUER.pair("trader"), b"")


ON_UVLOOP = [
    test_both_ends_are_proven,
    test_a_wrong_pin_ends_the_handshake,
    test_another_peer_is_not_talked_to,
    test_a_server_pins_its_clients,
    test_a_swap_reaches_new_handshakes_and_leaves_open_ones,
    test_roots_come_and_go_in_contexts_in_use,
    test_alpn_outlives_a_swap,
]


@pytest.mark.parametrize("behaviour", ON_UVLOOP)
def test_the_same_on_uvloop(behaviour: Callable[[], Coroutine[None, None, None]]) -> None:
    """Uvloop has a TLS implementation of its own above OpenSSL; the contexts do the same in it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(behaviour())


def _blocking_server(context: ssl.SSLContext, heard: list[bytes]) -> tuple[socket.socket, threading.Thread]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as talk:
                    while data := talk.recv(100):
                        heard.append(data)
                        talk.sendall(b"pong")
            except OSError:
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    return listener, thread


@pytest.mark.parametrize("by_itself", [True, False], ids=["handshake at connect", "handshake by the first write"])
@pytest.mark.parametrize("pinned", [True, False])
def test_plain_sockets_are_checked_too(by_itself: bool, pinned: bool) -> None:
    """`wrap_socket` does the same, also where OpenSSL would do the handshake by itself at the first write."""
    heard: list[bytes] = []
    rules = Peer() if pinned else peer(WRONG_PIN, None, DOMAIN)
    listener, thread = _blocking_server(Party(ORDERS).server(), heard)
    with closing(socket.create_connection(listener.getsockname())) as plain:
        try:
            client = Party(TRADER).client(rules)
            with client.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=by_itself) as talk:
                talk.sendall(b"ping")
                assert talk.recv(10) == b"pong"
                assert pinned
        except PinMismatchError:
            assert not pinned
    thread.join()
    assert heard == ([b"ping"] if pinned else [])


@pytest.mark.parametrize(
    ("pins", "names", "says"),
    [
        (["abc"], None, "not the base64"),
        ("abc", None, "as a collection"),
        ([], None, "Give pins .* no empty one"),
        (None, [], "^peer is an empty collection"),
        (None, "Not A Name", "neither a service's name"),
        (None, "spiffe://", "neither a service's name"),
    ],
)
def test_rules_that_are_none_are_refused(pins: list[str] | None, names: str | None, says: str) -> None:
    """A rule that would check nothing, or can never be met, is refused when it is given."""
    with pytest.raises(ConfigurationError, match=says):
        peer(pins, names, DOMAIN)


@pytest.fixture
def ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A service, asked for its revocation list often."""
    monkeypatch.setattr("tradewarden.workload.identity.CRL_SECONDS", 0.1)
    yield from stand_in(tmp_path)


async def _pings(client: ssl.SSLContext, port: int) -> bool:
    try:
        return (await ping(client, port))[0].startswith("pong")
    except (OSError, EndedError):
        return False


async def _until(client: ssl.SSLContext, port: int, *, heard: bool) -> None:
    """Return once the server hears this client, or does not."""
    async with asyncio.timeout(10):
        # The condition is the peer's own answer; there is nothing to wait on.
        while await _pings(client, port) is not heard:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_revoked_client_is_refused_by_a_running_server(ca: StandIn) -> None:
    """The list is fetched again and again, and the context in use follows it."""
    async with (
        identity(ca, "orders", check_revocation=True) as orders,
        identity(ca, "trader") as trader,
        listening(orders.server_context(), []) as port,
    ):
        client = trader.client_context()
        assert (await ping(client, port))[0].startswith("pong")
        ca.revoked.append(trader.pair.leaf.serial_number)
        await _until(client, port, heard=False)
        assert await _pings(orders.client_context(), port)


async def test_a_lapsed_list_fails_closed(ca: StandIn) -> None:
    """When the list could not be renewed in time nobody is let in, and everybody once it can."""
    ca.crl_life = 2.0
    async with (
        identity(ca, "orders", check_revocation=True) as orders,
        identity(ca, "trader") as trader,
        listening(orders.server_context(), []) as port,
    ):
        client = trader.client_context()
        assert (await ping(client, port))[0].startswith("pong")
        ca.down = True
        await _until(client, port, heard=False)
        ca.down, ca.crl_life = False, 3600.0
        await _until(client, port, heard=True)


@pytest.mark.parametrize("way", ["as a server", "as a client"])
async def test_a_list_that_is_missing_is_fetched_at_once(
    ca: StandIn, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A peer of a CA that nobody told of is refused once, not for as long as lists are good."""
    monkeypatch.setattr("tradewarden.workload.identity.CRL_SECONDS", 3600.0)
    async with identity(ca, "orders", check_revocation=True) as orders:
        ca.retired.append(ca.issuing)
        ca.issuing = authority("the CA after it", ca.root)
        async with identity(ca, "trader") as trader:
            server, client = (orders, trader) if way == "as a server" else (trader, orders)
            async with listening(server.server_context(), []) as port:
                context = client.client_context(peer=server.pair.service_name)
                assert not await _pings(context, port)
                await _until(context, port, heard=True)


async def test_contexts_follow_a_renewal_by_themselves(ca: StandIn) -> None:
    """From enrolment to a renewal nothing has to be done with a context that was handed out once."""
    ca.wear_out()
    async with identity(ca, "orders") as orders:
        first = orders.pair.leaf.serial_number
        server, client = orders.server_context(), orders.client_context(peer="orders")
        ca.wear_out(3600)
        async with listening(server, []) as port:
            await asyncio.to_thread(
                wait_until, lambda: orders.pair.leaf.serial_number != first, "the certificate was not renewed"
            )
            said, seen = await ping(client, port)
        assert int(said.split()[1], 16) == int(seen, 16) == orders.pair.leaf.serial_number != first


def test_revocation_needs_an_authenticated_source(tmp_path: Path) -> None:
    """Lists over plain HTTP are not taken, so asking for the check without another address is a mistake."""
    with pytest.raises(ConfigurationError, match="check_revocation"):
        ServiceIdentity(tmp_path, "http://127.0.0.1:8002", check_revocation=True)


def test_no_context_before_the_start(tmp_path: Path) -> None:
    """Without a certificate there is no context, and the message says why."""
    with pytest.raises(ConfigurationError, match="start the identity first"):
        ServiceIdentity(tmp_path, "https://127.0.0.1:8002").client_context()

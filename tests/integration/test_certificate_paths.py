"""Chains with one thing wrong are refused in the handshake, by the mTLS listener and by a service's own context."""

from __future__ import annotations

import ssl

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.handshakes import shake
from tests.support.paths import BAD, Held, Made, World, careless, load
from tradewarden.http.tls import LiveContext, Trust, server_context
from tradewarden.pki.peer import identifier
from tradewarden.workload.contexts import behind
from tradewarden.workload.pair import Pair

WORLD = World()


def listener() -> ssl.SSLContext:
    """Return the mTLS listener's context: both of our CAs are known to it, as in a worker."""
    der = [ca.certificate.public_bytes(Encoding.DER) for ca in (WORLD.root, WORLD.issuing)]
    live = LiveContext(identifier("trade.example"))
    live.swap(server_context(pem(WORLD.bot, WORLD.issuing), key(WORLD.bot), Trust(der)))
    return live.first


def pem(*chain: Held) -> bytes:
    """Return certificates as PEM."""
    return b"".join(each.certificate.public_bytes(Encoding.PEM) for each in chain)


def key(held: Held) -> bytes:
    """Return a private key as PEM."""
    return held.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def caller(chain: list[Held]) -> ssl.SSLContext:
    """Return a client that shows a chain."""
    context = careless(ssl.PROTOCOL_TLS_CLIENT)
    load(context, chain)
    return context


def test_a_good_chain_comes_through_both_ways() -> None:
    """The chains below differ from one that is accepted in one thing each."""
    good = [WORLD.bot, WORLD.issuing]
    ours, _ = shake(listener(), caller(good))
    assert ours.getpeercert(binary_form=True) == WORLD.bot.certificate.public_bytes(Encoding.DER)
    server = careless(ssl.PROTOCOL_TLS_SERVER)
    load(server, good)
    pair = Pair.read(key(WORLD.bot), pem(*good), pem(WORLD.root))
    shake(server, behind(ssl.PROTOCOL_TLS_CLIENT, pair, b""))


def test_a_good_chain_through_another_ca_of_ours_comes_through() -> None:
    """What makes the chains through other CAs bad is not that there is another CA."""
    shake(listener(), caller(WORLD.under(Made(name="Second", ca=True, signs=True))))


@pytest.mark.parametrize("case", list(BAD))
def test_a_client_with_a_bad_chain_is_refused(case: str) -> None:
    """The mTLS listener refuses it in the handshake."""
    with pytest.raises(ssl.SSLCertVerificationError, match=BAD[case].says):
        shake(listener(), caller(BAD[case].chain(WORLD)))


@pytest.mark.parametrize("case", list(BAD))
def test_a_server_with_a_bad_chain_is_refused(case: str) -> None:
    """A service's own client context refuses it before anything is sent."""
    server = careless(ssl.PROTOCOL_TLS_SERVER)
    load(server, BAD[case].chain(WORLD))
    pair = Pair.read(key(WORLD.bot), pem(WORLD.bot, WORLD.issuing), pem(WORLD.root))
    with pytest.raises(ssl.SSLCertVerificationError, match=BAD[case].says):
        shake(server, behind(ssl.PROTOCOL_TLS_CLIENT, pair, b""))

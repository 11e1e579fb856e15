"""The day an issuing CA's key is stolen: who holds a certificate by it is nobody, and its thief is not the service.

The lists are what `/ca/crls` gives after `ca rotate issuing --compromised`; the peers are contexts of identities with
`check_revocation`, and openssl.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.pki import POLICY
from tests.support.rotation import Installation, issue, rotate
from tests.support.standin_ca import Authority as Ca
from tests.support.standin_ca import leaf, pem_key
from tests.support.tls_echo import EndedError, listening, ping
from tradewarden.pki.authority import Authority
from tradewarden.pki.cas.rotating import What
from tradewarden.pki.certificate.pem import certificate_pem
from tradewarden.pki.credentials import Credentials
from tradewarden.workload.contexts import Contexts, LiveContext, trusting
from tradewarden.workload.errors import PeerRefusedError
from tradewarden.workload.lists import read_lists
from tradewarden.workload.pair import Pair
from tradewarden.workload.peer import Peer, peer


class Theft(NamedTuple):
    """An installation that lost an issuing CA: its lists before and after, and pairs of that CA by their kind."""

    authority: Authority
    before: bytes
    after: bytes
    lost: dict[str, Pair]


def pair(made: Credentials, roots: str = "") -> Pair:
    """Return a certificate and its key with the roots that its holder trusts."""
    key, trusted = made.private_key or "", roots or made.ca_certificate
    return Pair.read(key.encode(), made.certificate_chain.encode(), trusted.encode())


def forged(stolen: Ca, roots: bytes) -> Pair:
    """Return a certificate for the service `orders`, made with the CA's stolen key; no inventory has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    chain = leaf(stolen, key.public_key(), "orders", 3600).public_bytes(Encoding.PEM) + stolen.pem
    return Pair.read(pem_key(key), chain, roots)


@asynccontextmanager
async def installation(directory: Path) -> AsyncIterator[Authority]:
    """Open an authority whose clock is the machine's."""
    home = await Installation.make(directory)
    home.clock.time = time.time()
    authority = await home.start(first=True)
    try:
        yield authority
    finally:
        await authority.close()


@pytest.fixture
async def theft(tmp_path: Path) -> AsyncIterator[Theft]:
    """An issuing CA's key was stolen, and the CA rotated."""
    async with installation(tmp_path / "data") as authority:
        old = authority.cas.known.issuing
        stolen = Ca(old.certificate, old.signer()._key)  # type: ignore[arg-type]  # P-256 by its policy
        issued = pair(await issue(authority, "orders", dns_names=("localhost",)))
        before = (await authority.revocation.bundle()).pem
        await rotate(authority, compromised=True)
        after = (await authority.revocation.bundle()).pem
        lost = {"issued before": issued, "forged": forged(stolen, issued.roots_pem)}
        yield Theft(authority, before, after, lost)


def party(held: Pair, lists: bytes) -> Contexts:
    """Return the contexts of an identity."""
    made = Contexts()
    made.adopt(held, lists)
    return made


async def talks(server: Pair, client: Pair, lists: bytes, *, check: tuple[bool, bool] = (True, True)) -> bool:
    """Tell whether two identities with these lists accept each other; `check`: whether each looks at them."""
    listener, caller = party(server, lists), party(client, lists)
    orders = peer(None, "orders", POLICY.trust_domain)
    heard: list[bytes] = []
    context = listener.hand_out(LiveContext.server(Peer(), check_revocation=check[0], require_client=True))
    async with listening(context, heard) as port:
        try:
            said, _ = await ping(caller.hand_out(LiveContext.client(orders, check_revocation=check[1])), port)
        except (OSError, EndedError):
            assert not heard
            return False
    return said.startswith("pong")


@pytest.mark.parametrize("kept", [False, True], ids=["the bundle", "with the CA's own list from before"])
@pytest.mark.parametrize("way", ["as a server", "as a client"])
@pytest.mark.parametrize("kind", ["issued before", "forged"])
async def test_nobody_of_a_compromised_ca_is_a_peer(theft: Theft, kind: str, way: str, kept: bool) -> None:
    """What it issued and what its thief signs is refused by both ends, also where the CA's own list is still held."""
    lists = theft.after + (theft.before if kept else b"")
    lost = theft.lost[kind]
    if way == "as a server":
        trader = pair(await issue(theft.authority, "trader"))
        assert not await talks(lost, trader, lists, check=(False, True))
        assert await talks(lost, trader, lists, check=(False, False))
    else:
        orders = pair(await issue(theft.authority, "orders", dns_names=("localhost",)))
        assert not await talks(orders, lost, lists, check=(True, False))
        assert await talks(orders, lost, lists, check=(False, False))


async def test_everybody_else_goes_on(theft: Theft) -> None:
    """With the same lists two services of the CA that took over accept each other."""
    orders = pair(await issue(theft.authority, "orders", dns_names=("localhost",)))
    assert await talks(orders, pair(await issue(theft.authority, "trader")), theft.after)


@pytest.mark.parametrize("kind", ["issued before", "forged"])
@pytest.mark.parametrize("how", ["-crl_check", "-crl_check_all"])
async def test_openssl_refuses_them_too(theft: Theft, tmp_path: Path, kind: str, how: str) -> None:
    """Whether it looks at the certificate's CA alone or at the whole chain: no list of a revoked CA is given."""
    assert not _verifies(tmp_path, theft.lost[kind], theft.after, how)
    assert _verifies(tmp_path, pair(await issue(theft.authority)), theft.after, how)


def _verifies(folder: Path, held: Pair, lists: bytes, how: str) -> bool:
    for name, content in (("roots", held.roots_pem), ("chain", held.chain_pem), ("lists", lists)):
        (folder / f"{name}.pem").write_bytes(content)
    command = ["openssl", "verify", "-CAfile", "roots.pem", "-untrusted", "chain.pem", how, "-CRLfile", "lists.pem"]
    return subprocess.run([*command, "chain.pem"], cwd=folder, capture_output=True, check=False).returncode == 0


async def test_whole_chains_are_checked_through_a_change_of_the_root(tmp_path: Path) -> None:
    """With the lists of the moment who knows the old root, the new one or both accepts whoever was certified since."""
    async with installation(tmp_path / "data") as authority:
        old = authority.ca_certificate()
        early = await issue(authority, "trader")
        await rotate(authority, What.ROOT)
        both = authority.ca_certificate()
        late = await issue(authority, "orders", dns_names=("localhost",))
        lists = (await authority.revocation.bundle()).pem
        for roots in (old, both.removeprefix(old), both):
            trader = pair(await issue(authority, "trader"), roots)
            assert await talks(pair(late, roots), trader, lists)
        assert await talks(pair(late, both), pair(early, both), lists)
        await rotate(authority, What.ROOT, finish=True)
        new = authority.ca_certificate()
        lists = (await authority.revocation.bundle()).pem
        assert await talks(pair(late, new), pair(await issue(authority, "trader"), new), lists)


async def test_a_chain_below_a_new_root_needs_that_roots_list(tmp_path: Path) -> None:
    """Lists from before serve for chains from before; what is issued below the new root waits for the next fetch."""
    async with installation(tmp_path / "data") as authority:
        before = (await authority.revocation.bundle()).pem
        old = authority.ca_certificate()
        orders = await issue(authority, "orders", dns_names=("localhost",))
        trader = pair(await issue(authority, "trader"))
        await rotate(authority, What.ROOT)
        both, lists = authority.ca_certificate(), (await authority.revocation.bundle()).pem
        assert await talks(pair(orders, both), trader, before)
        late = pair(await issue(authority, "orders", dns_names=("localhost",)), old)
        assert await talks(late, trader, lists)
        assert not await talks(late, trader, before)


async def test_a_peer_that_lists_name_is_told_by_its_reason(theft: Theft) -> None:
    """A context that asks lists without requiring any names the CA that is revoked."""
    asked = Peer(lists=tuple(read_lists(theft.after).values()))
    for lost in theft.lost.values():
        listener = party(lost, b"").hand_out(LiveContext.server(Peer(), check_revocation=False, require_client=False))
        async with listening(listener, []) as port:
            assert (await ping(trusting(lost.roots_pem), port))[0] == "pong -"
            with pytest.raises(PeerRefusedError, match=r"CN=Tradewarden Issuing CA .* is revoked"):
                await ping(trusting(lost.roots_pem, asked), port)


async def test_a_root_that_was_lost_during_its_change_does_not_come_back(tmp_path: Path) -> None:
    """The new root certified the old one's key for the overlap; its list takes that back, and nobody vouches for it."""
    async with installation(tmp_path / "data") as authority:
        await rotate(authority, What.ROOT)
        old, new = (certificate_pem(each).encode() for each in authority.trusted_roots())
        crosses = authority.cas.known.cross_bundle.encode()
        knows_new = pair(await issue(authority), new.decode())
        lists = read_lists((await authority.revocation.bundle()).pem).values()
        assert knows_new.vouched(old, crosses, time.time(), lists) == old
        await rotate(authority, What.ROOT, compromised=True)
        lists = read_lists((await authority.revocation.bundle()).pem).values()
        assert knows_new.vouched(old, crosses, time.time(), lists) == b""
        assert authority.cas.known.cross_bundle == ""

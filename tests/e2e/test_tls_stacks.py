"""A running service with other people's TLS stacks as clients: OpenSSL's, Go's, Java's and Python's.

Each verifies chains that were issued, knowing nothing but a root; each calls the mTLS listener with a certificate of
its own; and each that checks revocation does so over HTTP, by where the certificates point. Before, while and after the
root is changed.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.handshakes import shake
from tests.support.mtls import Identity, ca_file, issued, mtls_url, revoke
from tests.support.service import Service, start, stop, wait_until
from tests.support.tls_stacks import Go, Java, OpenSsl, Stack, fetch_list, list_place
from tests.support.trial import done
from tests.support.wire import Wire

OPEN = {"TRADEWARDEN_RATE_LIMITS": "open=100000/1,anonymous=100000/1"}
PURPOSES = pytest.mark.parametrize("purpose", ["client", "server"])


class Revoking(NamedTuple):
    """An installation, a service's certificate that counts, and one that was revoked."""

    service: Service
    good: Identity
    bad: Identity

    @property
    def root(self) -> Path:
        """The root that everybody trusts."""
        return ca_file(self.service)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Revoking]:
    """An installation of one root."""
    service = start(tmp_path_factory.mktemp("stacks"), **OPEN)
    good, bad = issued(service, "bot"), issued(service, "lost")
    revoke(service, bad)
    yield Revoking(service, good, bad)
    assert stop(service) == 0


class Changed(NamedTuple):
    """An installation whose root is being changed, what was issued before and since, and both roots (PEM)."""

    service: Service
    early: Identity
    late: Identity
    old: Path
    new: Path


def change(folder: Path) -> Changed:
    """Start an installation and change its root."""
    service = start(folder, **OPEN)
    early = issued(service, "early")
    rotate(service)
    late = issued(service, "late")
    old, new = x509.load_pem_x509_certificates(httpx.get(f"{service.url}/ca/certificate").content)
    paths = folder / "old.pem", folder / "new.pem"
    for path, root in zip(paths, (old, new), strict=True):
        path.write_bytes(root.public_bytes(Encoding.PEM))
    wait_until(lambda: accepted(service, late, paths[1]), "the listener does not follow")
    return Changed(service, early, late, *paths)


def accepted(service: Service, shown: Identity, roots: Path) -> bool:
    """Tell whether the listener is accepted by a client that knows these roots alone."""
    context = ssl.create_default_context(cafile=roots)
    context.load_cert_chain(shown.certificate, shown.key)
    try:
        return httpx.get(f"{mtls_url(service)}/health/live", verify=context, trust_env=False).is_success
    except httpx.TransportError:
        return False


def rotate(service: Service, *, finish: bool = False) -> None:
    """Change the root, or end the change."""
    with Wire(service.url, token=service.admin_token) as admin:
        done(admin.ask("POST", "/ca/rotate", {"what": "root", "finish": finish}))


@pytest.fixture(scope="module")
def overlap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Changed]:
    """An installation that trusts two roots."""
    changed = change(tmp_path_factory.mktemp("overlap"))
    yield changed
    assert stop(changed.service) == 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Changed]:
    """An installation that trusts its second root alone; `late` was issued since."""
    changed = change(tmp_path_factory.mktemp("finished"))
    rotate(changed.service, finish=True)
    later = issued(changed.service, "later")
    wait_until(lambda: not accepted(changed.service, later, changed.old), "the old root goes on")
    yield changed._replace(late=later)
    assert stop(changed.service) == 0


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the clients in other languages are built, once."""
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="session")
def go(programs: Path) -> Go:
    """Go's stack."""
    return Go(programs)


@pytest.fixture(params=["openssl", "go", "java by OCSP", "java by CRL"])
def stack(request: pytest.FixtureRequest, programs: Path) -> Stack:
    """Every stack that is on the machine."""
    if request.param == "openssl":
        return OpenSsl(programs)
    if request.param == "go":
        found: Go = request.getfixturevalue("go")
        return found
    return Java(programs, "ocsp" if request.param == "java by OCSP" else "crl")


# --- one root ---------------------------------------------------------------------------------------


@PURPOSES
def test_an_issued_chain_is_accepted(stack: Stack, world: Revoking, purpose: str) -> None:
    """For a client and for a server, by name."""
    told = stack.verify(world.good.certificate, world.root, purpose, "bot")
    assert told.good, told


def test_a_chain_of_another_root_is_refused(stack: Stack, world: Revoking, overlap: Changed) -> None:
    """Without the root there is no trust."""
    told = stack.verify(world.good.certificate, overlap.old, "client", "bot")
    assert not told.good
    assert any(each in told.why for each in ("unable to get", "unknown authority", "unable to find valid")), told


@PURPOSES
def test_a_revoked_certificate_is_refused(stack: Stack, world: Revoking, purpose: str) -> None:
    """By the list or the answer that it points to, in every stack that looks."""
    told = stack.verify(world.bad.certificate, world.root, purpose, "lost")
    if stack.checks_revocation:
        assert not told.good
        assert "revoked" in told.why, told
    else:
        assert told.good, "it looks after all: say so in tests/support/tls_stacks.py"


def test_the_listener_is_called(stack: Stack, world: Revoking) -> None:
    """The service's own certificate is accepted, revocation and all, and the caller is who its certificate says."""
    told = stack.get(f"{mtls_url(world.service)}/secrets?limit=1", world.good, world.root)
    assert told.said.startswith("200"), told
    denied = stack.get(f"{mtls_url(world.service)}/services?limit=1", world.good, world.root)
    assert denied.said.startswith("403") or not denied.good, denied


def test_the_listener_refuses_a_revoked_caller(stack: Stack, world: Revoking) -> None:
    """No request of its is answered."""
    told = stack.get(f"{mtls_url(world.service)}/secrets?limit=1", world.bad, world.root)
    assert not told.good, told
    assert "200" not in told.said


def test_go_reads_the_lists(go: Go, world: Revoking, tmp_path: Path) -> None:
    """Shards and the complete list are read, verified under the issuing CA, and tell the good from the revoked."""
    issuer = tmp_path / "issuer.pem"
    issuer.write_bytes(_chain(world.good)[1].public_bytes(Encoding.PEM))
    for identity, status in ((world.good, "good"), (world.bad, "revoked")):
        for number, url in enumerate((list_place(_chain(identity)[0]), f"{world.service.url}/ca/crl")):
            found = tmp_path / f"{status}{number}.crl"
            found.write_bytes(httpx.get(url).content)
            told = go.crl(found, issuer, identity.serial)
            assert (told.good, told.said) == (True, status), told


def _chain(identity: Identity) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(identity.certificate.read_bytes())


def test_pythons_ssl_checks_the_whole_chain(world: Revoking, tmp_path: Path) -> None:
    """With the lists of every CA it accepts the good certificate and refuses the revoked one, on both sides."""
    lists = {fetch_list(each): None for identity in (world.good, world.bad) for each in _chain(identity)}
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(b"".join([world.root.read_bytes(), *lists]))
    plain, checking = _contexts(world.good, world.root), _contexts(world.good, trusted)
    for context in checking:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN | ssl.VERIFY_X509_STRICT
        context.verify_mode = ssl.CERT_REQUIRED
    shake(*checking)
    server, client = _contexts(world.bad, world.root)
    for pair in ((checking[0], client), (server, checking[1])):
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate revoked"):
            shake(*pair)
    shake(plain[0], client)


def _contexts(shown: Identity, trusted: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server and a client that show a certificate; the handshakes here are not about names."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made[1].check_hostname = False
    for context in made:
        context.load_cert_chain(shown.certificate, shown.key)
        context.load_verify_locations(trusted)
    return made


# --- every algorithm --------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["P-384", "Ed25519", "RSA-3072"])
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Revoking]:
    """An installation whose CAs have other keys."""
    folder = tmp_path_factory.mktemp("algorithm")
    service = start(folder, TRADEWARDEN_CA_ALGORITHM=request.param, **OPEN)
    good, bad = issued(service, "bot"), issued(service, "lost")
    revoke(service, bad)
    yield Revoking(service, good, bad)
    assert stop(service) == 0


def test_every_kind_of_ca_is_understood(stack: Stack, other: Revoking) -> None:
    """Signatures of CAs with every kind of key are verified: on certificates, on lists, on answers, in a handshake."""
    told = stack.get(f"{mtls_url(other.service)}/secrets?limit=1", other.good, other.root)
    assert told.said.startswith("200"), told
    assert stack.verify(other.good.certificate, other.root, "server", "bot").good
    told = stack.verify(other.bad.certificate, other.root, "client", "lost")
    assert (told.good, "revoked" in told.why) == (not stack.checks_revocation, stack.checks_revocation), told


# --- two roots --------------------------------------------------------------------------------------


@pytest.mark.parametrize("knows", ["old", "new"])
def test_both_roots_lead_to_what_is_issued_during_a_change(stack: Stack, overlap: Changed, knows: str) -> None:
    """Who knows only one of the roots accepts a new chain, revocation and all, and talks to the listener."""
    roots = getattr(overlap, knows)
    told = stack.verify(overlap.late.certificate, roots, "server", "late")
    assert told.good, told
    told = stack.get(f"{mtls_url(overlap.service)}/secrets?limit=1", overlap.late, roots)
    assert told.said.startswith("200"), told


def test_what_was_issued_before_a_change_goes_on(stack: Stack, overlap: Changed) -> None:
    """The chain that a service loaded before is good for all who know the old root; the listener takes it."""
    told = stack.verify(overlap.early.certificate, overlap.old, "server", "early")
    assert told.good, told
    for roots in (overlap.old, overlap.new):
        told = stack.get(f"{mtls_url(overlap.service)}/secrets?limit=1", overlap.early, roots)
        assert told.said.startswith("200"), told


def test_after_a_change_the_new_root_alone_counts(stack: Stack, finished: Changed) -> None:
    """A new chain leads there and nowhere else."""
    for purpose in ("client", "server"):
        told = stack.verify(finished.late.certificate, finished.new, purpose, "later")
        assert told.good, told
    assert not stack.verify(finished.late.certificate, finished.old, "client", "later").good
    told = stack.get(f"{mtls_url(finished.service)}/secrets?limit=1", finished.late, finished.new)
    assert told.said.startswith("200"), told
    assert not stack.get(f"{mtls_url(finished.service)}/secrets?limit=1", finished.early, finished.new).good

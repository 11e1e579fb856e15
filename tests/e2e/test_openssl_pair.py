"""Two services that are both OpenSSL: `s_server` and `s_client` talk mTLS with issued certificates, or refuse to."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509

from tests.support.mtls import SERVER, Identity, TestCa, ca_file, revoke, store
from tests.support.service import Service, free_port, start, stop, wait_until
from tests.support.tls_stacks import Told, fetch_list, run
from tests.support.trial import done
from tests.support.wire import Wire

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
STRICT = ["-tls1_3", "-x509_strict", "-crl_check_all", "-no-CApath", "-no-CAstore", "-verify_return_error"]
LATER = 2 * 3600
"""Seconds: an hour after the short certificate's end."""


class Cast(NamedTuple):
    """Two services; `trust` holds our root and the lists of our CAs, `bad` is what nobody should accept."""

    trust: Path
    orders: Identity
    prices: Identity
    bad: dict[str, Identity]


def issued(service: Service, name: str, **asked: object) -> Identity:
    """Have a certificate issued."""
    with Wire(service.url, token=service.admin_token) as admin:
        made = done(admin.ask("POST", "/credentials/issue", {"service_name": name, **asked}))
    chain, key = made["certificate_chain"].encode(), made["private_key"].encode()
    return store(service.data_dir.parent, name, chain, key, int(made["serial_number"], 16))


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    """Everybody, by a running service."""
    folder = tmp_path_factory.mktemp("pair")
    service = start(folder)
    foreign = TestCa(folder / "foreign", "somebody else's CA")
    orders, prices = issued(service, "orders"), issued(service, "prices")
    bad = {
        "expired": issued(service, "orders", ttl_hours=1),
        "revoked": issued(service, "orders"),
        "client only": issued(service, "orders", profile="client"),
        "server only": issued(service, "orders", profile="server"),
        "wrong CA": foreign.leaf("orders", ["spiffe://tradewarden.internal/orders"]),
        "wrong CA, server": foreign.leaf("orders", ["spiffe://tradewarden.internal/orders"], purpose=SERVER),
    }
    revoke(service, bad["revoked"])
    shown = (orders, prices, bad["expired"], bad["revoked"], bad["client only"], bad["server only"])
    chains = [x509.load_pem_x509_certificates(each.certificate.read_bytes()) for each in shown]
    lists = dict.fromkeys(fetch_list(certificate) for chain in chains for certificate in chain)
    trust = folder / "trust.pem"
    trust.write_bytes(b"".join([ca_file(service).read_bytes(), *lists]))
    yield Cast(trust, orders, prices, bad)
    assert stop(service) == 0


def own(shown: Identity) -> list[object]:
    """Return the arguments by which openssl shows a certificate with what is above it."""
    return ["-cert", shown.certificate, "-cert_chain", shown.certificate, "-key", shown.key]


@contextmanager
def serving(folder: Path, trust: Path, shown: Identity, *more: str) -> Iterator[tuple[int, Path]]:
    """Run a server that sends back what it is told, reversed, to one client; gives its port and its log."""
    port, log = free_port(), folder / "server.log"
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-naccept", "1", "-rev", "-Verify", "3"]
    command += [*map(str, own(shown)), "-CAfile", str(trust), *STRICT, *more]
    with log.open("wb") as out, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out) as process:
        try:
            wait_until(lambda: b"ACCEPT" in log.read_bytes() or process.poll() is not None, "it does not listen")
            assert process.poll() is None, log.read_text()
            yield port, log
            process.wait(10)
        finally:
            process.kill()


def call(folder: Path, port: int, trust: Path, shown: Identity | None, *more: str) -> Told:
    """Say a word to the server that calls itself `orders`."""
    named = ["-servername", "orders", "-verify_hostname", "orders", "-quiet"]
    arguments = [*(own(shown) if shown else []), "-CAfile", trust, *STRICT, *named, *more]
    return run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *arguments], folder, "mutual\nCLOSE\n")


def later() -> list[str]:
    """Return the arguments that make openssl judge as of two hours from now."""
    return ["-attime", str(int(time.time()) + LATER)]


def test_two_services_talk(cast: Cast, tmp_path: Path) -> None:
    """Each has verified the other: chain, purpose, revocation of everything, and the server's name."""
    with serving(tmp_path, cast.trust, cast.orders) as (port, log):
        told = call(tmp_path, port, cast.trust, cast.prices)
    assert "lautum" in told.said, told
    assert "CN = prices" in log.read_text()


def test_two_services_talk_two_hours_later(cast: Cast, tmp_path: Path) -> None:
    """What is refused as expired below is refused for nothing else."""
    with serving(tmp_path, cast.trust, cast.orders, *later()) as (port, _):
        told = call(tmp_path, port, cast.trust, cast.prices, *later())
    assert "lautum" in told.said, told


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("none", "peer did not return a certificate"),
        ("wrong CA", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
        ("revoked", "certificate revoked"),
        ("server only", "unsuitable certificate purpose|unsupported certificate purpose"),
    ],
)
def test_a_client_is_refused(cast: Cast, tmp_path: Path, what: str, why: str) -> None:
    """The server says why, and its answer never comes."""
    more = later() if what == "expired" else []
    with serving(tmp_path, cast.trust, cast.orders, *more) as (port, log):
        told = call(tmp_path, port, cast.trust, cast.bad.get(what))
    assert "lautum" not in told.said
    assert any(each in log.read_text() for each in why.split("|")), log.read_text()


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("wrong CA, server", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
        ("revoked", "certificate revoked"),
        ("client only", "unsuitable certificate purpose|unsupported certificate purpose"),
        ("wrong name", "hostname mismatch"),
    ],
)
def test_a_server_is_refused(cast: Cast, tmp_path: Path, what: str, why: str) -> None:
    """The client says why, and sends nothing."""
    more = later() if what == "expired" else []
    with serving(tmp_path, cast.trust, cast.bad.get(what, cast.prices)) as (port, _):
        told = call(tmp_path, port, cast.trust, cast.orders, *more)
    assert not told.good
    assert "lautum" not in told.said
    assert any(each in told.why.lower() for each in why.split("|")), told

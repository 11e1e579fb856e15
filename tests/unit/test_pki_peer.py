"""Whom a client certificate names: exactly one SPIFFE ID, of our trust domain, of a service."""

from __future__ import annotations

import base64
import ssl
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.mtls import TestCa
from tradewarden.errors import InvalidInputError
from tradewarden.pki.peer import identifier, shown_by

OURS = "spiffe://trade.example/bot"
identify = identifier("trade.example")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCa:
    """A CA that signs whatever a test wants."""
    return TestCa(tmp_path_factory.mktemp("ca"))


def der(ca: TestCa, *uris: str) -> bytes:
    """Return a certificate with these URIs among its names."""
    return ssl.PEM_cert_to_DER_cert(Path(ca.leaf("bot", uris).certificate).read_text())


def test_a_service_is_known_by_its_spiffe_id(ca: TestCa) -> None:
    """Name, serial number, end and thumbprint (RFC 8705) are those of the certificate."""
    leaf = ca.leaf("bot", [OURS])
    certificate = ssl.PEM_cert_to_DER_cert(leaf.certificate.read_text())
    peer = identify(certificate)
    assert (peer.service_name, peer.serial, peer.subject, peer.der) == ("bot", leaf.serial, "CN=bot", certificate)
    assert base64.urlsafe_b64decode(peer.thumbprint + "=") == sha256(certificate).digest()
    assert "=" not in peer.thumbprint
    assert shown_by(certificate) == (leaf.serial, "CN=bot")


@pytest.mark.parametrize(
    "uris",
    [
        (),
        (OURS, "spiffe://trade.example/other"),
        (OURS, "https://trade.example/"),
        (OURS, OURS),
        ("spiffe://other.example/bot",),
        ("spiffe://trade.example.org/bot",),
        ("spiffe://trade.example:443/bot",),
        ("spiffe://user@trade.example/bot",),
        ("SPIFFE://trade.example/bot",),
        ("https://trade.example/bot",),
        ("spiffe://trade.example/",),
        ("spiffe://trade.example",),
        ("spiffe://trade.example//bot",),
        ("spiffe://trade.example/bot/",),
        ("spiffe://trade.example/a/bot",),
        ("spiffe://trade.example/../bot",),
        ("spiffe://trade.example/b%6ft",),
        ("spiffe://trade.example/bot?admin",),
        ("spiffe://trade.example/bot#admin",),
        ("spiffe://trade.example/Bot",),
        ("spiffe://trade.example/" + "b" * 64,),
        ("spiffe://trade.example/tradewarden",),
    ],
)
def test_every_other_name_is_nobody(ca: TestCa, uris: tuple[str, ...]) -> None:
    """None, two, another domain's, or what is no service's name: refused, never repaired."""
    with pytest.raises(InvalidInputError):
        identify(der(ca, *uris))


@pytest.mark.parametrize("data", [b"", b"rubbish", bytes(500)])
def test_what_is_no_certificate_is_nobody(data: bytes) -> None:
    """An unreadable certificate is refused, and shown as nothing."""
    with pytest.raises(InvalidInputError):
        identify(data)
    assert shown_by(data) == ("", "")

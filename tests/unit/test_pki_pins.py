"""The pin set: whose keys are in it, how long it holds, and that others can verify it."""

from __future__ import annotations

from base64 import b64decode, b64encode, urlsafe_b64decode
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.support.pki import DAY
from tests.support.rotation import Installation, certificates, issue, rotate
from tradewarden.pki.cas.rotating import What
from tradewarden.pki.certificate.algorithm import Algorithm

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.pki.authority import Authority
    from tradewarden.pki.cas.pins import PinSet

_ALGORITHMS: dict[Algorithm, tuple[str, type[ECKey | OKPKey | RSAKey]]] = {
    Algorithm.P256: ("ES256", ECKey),
    Algorithm.P384: ("ES384", ECKey),
    Algorithm.ED25519: ("EdDSA", OKPKey),
    Algorithm.RSA3072: ("PS256", RSAKey),
}


@pytest.fixture
async def home(tmp_path: Path) -> Installation:
    """Give an installation that was never started."""
    return await Installation.make(tmp_path / "data")


def pin(certificate: x509.Certificate) -> str:
    """Return a certificate's pin as RFC 7469 section 2.4 makes it."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(sha256(key).digest()).decode()


async def pins(authority: Authority) -> PinSet:
    """Return the set as it is now."""
    return (await authority.cas.pins()).pin_set


def hashes(found: PinSet) -> set[str]:
    """Return the pins alone."""
    return {each.sha256 for each in found.pins}


async def test_the_set_holds_root_issuing_and_backup(home: Installation) -> None:
    """What is trusted, what issues and what will issue next are pinned, and nothing else."""
    authority = await home.start(first=True)
    found = await pins(authority)
    assert [(each.role, each.state) for each in found.pins] == [
        ("root", "active"), ("issuing", "active"), ("issuing", "next"),
    ]  # fmt: skip
    chain = certificates((await issue(authority)).certificate_chain)
    (root,) = certificates(authority.ca_certificate())
    assert [pin(root), pin(chain[1])] == [each.sha256 for each in found.pins[:2]]
    assert found.trust_domain == "trade.example"
    assert (found.issued_at, found.valid_until) == ("2026-01-01T00:00:00.000000Z", "2026-01-31T00:00:00.000000Z")
    assert found.rotation.next_issuing_from.startswith("2029-05")
    await authority.close()


async def test_pins_hold_through_renewals_and_one_rotation(home: Installation) -> None:
    """Issuing changes nothing; after a rotation of either CA every new chain still meets an old pin."""
    authority = await home.start(first=True)
    before = await pins(authority)
    await issue(authority)
    assert await pins(authority) == before
    for what in What:
        old = await pins(authority)
        await rotate(authority, what)
        chain = certificates((await issue(authority)).certificate_chain)
        assert pin(chain[1]) in hashes(old)
        after = await pins(authority)
        assert pin(chain[1]) in hashes(after)
        assert after.version > old.version
    assert [each.state for each in (await pins(authority)).pins] == ["active", "next", "active", "next"]
    assert (await pins(authority)).rotation.root_overlap_until == "2027-01-01T00:00:00.000000Z"
    again = await home.start()
    assert await pins(again) == await pins(authority)
    await again.close()
    await authority.close()


async def test_a_set_is_kept_for_a_day(home: Installation) -> None:
    """It is signed once a day and never promises more than the issuing CA's time."""
    authority = await home.start(first=True)
    first = await authority.cas.pins()
    home.clock.time += DAY - 1
    assert await authority.cas.pins() is first
    home.clock.time += 1
    assert (await pins(authority)).issued_at == "2026-01-02T00:00:00.000000Z"
    home.clock.time = authority.ca_expires_at - DAY
    assert (await pins(authority)).valid_until.startswith("2031-01-01")
    await authority.close()


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")  # of the name EdDSA
@pytest.mark.parametrize("algorithm", Algorithm)
async def test_others_verify_the_set(tmp_path: Path, algorithm: Algorithm) -> None:
    """The JWS verifies with another library, under a certificate that a root of ours stands above."""
    home = await Installation.make(tmp_path / "data", algorithm=algorithm)
    authority = await home.start(first=True)
    signed = await authority.cas.pins()
    header: dict[str, Any] = msgspec.json.decode(urlsafe_b64decode(signed.jws.partition(".")[0] + "=="))
    alg, kind = _ALGORITHMS[algorithm]
    assert (header["alg"], header["typ"]) == (alg, "tradewarden-pins+jws")
    signer = x509.load_der_x509_certificate(b64decode(header["x5c"][0]))
    signer.verify_directly_issued_by(certificates(authority.ca_certificate())[0])
    pem = signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    registry = jws.JWSRegistry(algorithms=[alg])
    registry.max_header_length = 8192  # its default has no room for a chain
    read = jws.deserialize_compact(signed.jws, kind.import_key(pem), registry=registry)
    assert read.payload == msgspec.json.encode(signed.pin_set)
    await authority.close()

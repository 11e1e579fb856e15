"""Which roots an identity knows for the service's, although nobody knows who gave the answer."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.support.standin_ca import YEAR, Authority, authority, cross
from tests.support.workload import Issuer

NEW, STRANGER = authority("root 2"), authority("root 2")
ISSUER = Issuer()
OLD = ISSUER.root
PAIR = ISSUER.pair()


def vouched(offered: bytes, *crosses: Authority, later: float = 0.0) -> bytes:
    """Return what an identity that trusts the old root takes of these roots."""
    return PAIR.vouched(offered, b"".join(each.pem for each in crosses), time.time() + later)


def test_the_old_root_vouches_for_the_new_one() -> None:
    """While both are trusted each has certified the other; no other root comes in beside them."""
    offered = OLD.pem + NEW.pem + authority("root 3").pem + STRANGER.pem
    assert vouched(offered, cross(OLD, NEW), cross(NEW, OLD)) == NEW.pem


@pytest.mark.parametrize(
    "crosses",
    [(), (cross(NEW, STRANGER),), (cross(OLD, NEW),), (cross(NEW, OLD, path_length=0),), (ISSUER.issuing,)],
    ids=["none", "by another root", "the other way round", "for no CAs", "of an issuing CA"],
)
def test_nothing_else_vouches_for_a_root(crosses: tuple[Authority, ...]) -> None:
    """Without a certificate by a trusted root that lets the other certify CAs, no root is taken."""
    assert vouched(OLD.pem + NEW.pem + STRANGER.pem + ISSUER.issuing.pem, *crosses) == b""


def test_a_cross_certificate_that_has_ended_vouches_for_nothing() -> None:
    """It counts up to its end."""
    assert vouched(NEW.pem, cross(NEW, OLD), later=YEAR - 60) == NEW.pem
    assert vouched(NEW.pem, cross(NEW, OLD), later=YEAR + 60) == b""


def test_name_and_key_and_signature_belong_together() -> None:
    """What is offered has to sign itself, which the certificate by the old root does not, and under the name in it."""
    crossed = cross(NEW, OLD)
    renamed = Authority(authority("root 3").certificate, NEW.key)
    assert vouched(crossed.pem + cross(renamed, renamed).pem, crossed) == b""


def test_a_cross_certificate_that_is_revoked_vouches_for_nothing() -> None:
    """It is on the list of the root that gave it; another's list with that number on it, or a forged one, is none."""
    crossed = cross(NEW, OLD)
    lists = [_list(OLD, OLD, crossed), _list(STRANGER, STRANGER, crossed), _list(OLD, STRANGER, crossed)]
    assert PAIR.vouched(NEW.pem, crossed.pem, time.time(), lists[1:]) == NEW.pem
    assert PAIR.vouched(NEW.pem, crossed.pem, time.time(), lists) == b""


def _list(named: Authority, signer: Authority, revoked: Authority) -> x509.CertificateRevocationList:
    """Sign a list in a CA's name that ended long ago: what was revoked stays so."""
    now = datetime.now(UTC)
    entry = x509.RevokedCertificateBuilder(revoked.certificate.serial_number, now - timedelta(days=3)).build()
    builder = x509.CertificateRevocationListBuilder(
        named.certificate.subject, now - timedelta(days=3), now - timedelta(days=2), revoked_certificates=[entry]
    )
    return builder.sign(signer.key, hashes.SHA256())

"""Which roots an identity knows for the service's, although nobody knows who gave the answer."""

from __future__ import annotations

import time

import pytest

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
